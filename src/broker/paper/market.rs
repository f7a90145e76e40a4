//! The market of one instrument: a price that wanders, and the day's figures that follow.

use super::book::Book;
use super::random::Stream;
use crate::topic::Instrument;

/// Smallest price step, in hundredths.
pub const TICK: i64 = 5;

/// The state of one instrument's market. All prices are in hundredths and multiples of [`TICK`].
///
/// Its day begins with its first trade and lasts as long as the process: `volume` never falls.
#[derive(Clone, Debug)]
pub struct Market {
    random: Stream,
    /// Price of the last trade.
    pub ltp: i64,
    /// First price of the day.
    pub open: i64,
    /// Highest price of the day.
    pub high: i64,
    /// Lowest price of the day.
    pub low: i64,
    /// Last price of the day before.
    pub close: i64,
    /// Units traded this day.
    pub volume: i64,
    /// Units of the last trade.
    pub last_quantity: i64,
    /// Milliseconds since 1970 at which the last trade happened. Never falls.
    pub traded_ms: u64,
    /// What can be bought and sold now.
    pub book: Book,
    /// Hundredths times units traded this day.
    turnover: i128,
}

impl Market {
    /// Opens the market: the first trade of the day.
    #[must_use]
    pub fn open(seed: u64, instrument: &Instrument, now_ms: u64) -> Self {
        let mut random = Stream::of(seed, instrument);
        let close = first_price(&mut random);
        let gap = close / TICK / 200;
        let open = close + TICK * random.between(-gap, gap);
        let last_quantity = random.between(1, 500);
        let volume = last_quantity;
        Self {
            book: Book::around(open, &mut random),
            random,
            ltp: open,
            open,
            high: open,
            low: open,
            close,
            volume,
            last_quantity,
            traded_ms: now_ms,
            turnover: i128::from(open) * i128::from(volume),
        }
    }

    /// One more trade. A clock that was set back leaves `traded_ms` where it was.
    pub fn trade(&mut self, now_ms: u64) {
        // About 0.02 % of the price, at least one tick, either way or none.
        let reach = (self.ltp / TICK / 5_000).max(1);
        let (low, high) = self.circuit();
        self.ltp = (self.ltp + TICK * self.random.between(-reach, reach)).clamp(low, high);
        self.high = self.high.max(self.ltp);
        self.low = self.low.min(self.ltp);
        self.last_quantity = self.random.between(1, 500);
        self.volume = self.volume.saturating_add(self.last_quantity);
        self.turnover =
            self.turnover.saturating_add(i128::from(self.ltp) * i128::from(self.last_quantity));
        self.traded_ms = self.traded_ms.max(now_ms);
        self.book = Book::around(self.ltp, &mut self.random);
    }

    /// The prices between which trade is allowed: a fifth below and above the close.
    #[must_use]
    pub const fn circuit(&self) -> (i64, i64) {
        let width = self.close / 5 / TICK * TICK;
        (self.close - width, self.close + width)
    }

    /// The average price of the day's trades in hundredths, rounded down.
    #[must_use]
    pub fn average(&self) -> i64 {
        let average = self.turnover / i128::from(self.volume.max(1));
        i64::try_from(average).expect("an average lies between the lowest and the highest")
    }

    /// Hundredths gained since the close.
    #[must_use]
    pub const fn change(&self) -> i64 {
        self.ltp - self.close
    }

    /// Hundredths of a percent gained since the close, rounded towards zero.
    #[must_use]
    pub const fn change_percent(&self) -> i64 {
        self.change() * 10_000 / self.close
    }

    /// A number from 0 to `below` - 1 out of the instrument's stream.
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        let highest = i64::try_from(below).unwrap_or(i64::MAX).max(1) - 1;
        self.random.between(0, highest).unsigned_abs()
    }
}

/// In hundredths, between 50 and 5,000; cheap instruments are more common than dear ones.
fn first_price(random: &mut Stream) -> i64 {
    let (low, high) = match random.between(1, 3) {
        1 => (5_000, 25_000),
        2 => (25_000, 120_000),
        _ => (120_000, 500_000),
    };
    TICK * random.between(low / TICK, high / TICK)
}

// Twenty percent below the cheapest close the book still has all its bids.
const _: () = assert!(5_000 - 5_000 / 5 >= Book::ROOM);

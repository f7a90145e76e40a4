//! The order book around a price.

use super::market::TICK;
use super::random::Stream;

/// Levels on each side of the book.
pub const LEVELS: usize = 5;

/// Five levels to buy and five to sell, the best ones first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// Bids, in strictly descending order of price.
    pub buy: [Level; LEVELS],
    /// Offers, in strictly ascending order of price; the first is above the first bid.
    pub sell: [Level; LEVELS],
}

/// Orders at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Hundredths.
    pub price: i64,
    /// Units wanted or offered in all.
    pub quantity: i64,
    /// Number of orders.
    pub orders: i64,
}

impl Book {
    /// A book in which the last trade at `ltp` hundredths took the best bid or the best offer.
    /// `ltp` must be at least [`Book::ROOM`].
    pub(super) fn around(ltp: i64, random: &mut Stream) -> Self {
        let spread = TICK * random.between(1, 3);
        let best_buy = if random.one_in(2) { ltp } else { ltp - spread };
        let best_sell = best_buy + spread;
        Self { buy: side(best_buy, -TICK, random), sell: side(best_sell, TICK, random) }
    }

    /// Lowest last price, in hundredths, that leaves room for five bids above zero.
    pub(super) const ROOM: i64 = TICK * (3 + 2 * LEVELS as i64);

    /// Units wanted on all levels.
    #[must_use]
    pub fn buy_quantity(&self) -> i64 {
        self.buy.iter().map(|level| level.quantity).sum()
    }

    /// Units offered on all levels.
    #[must_use]
    pub fn sell_quantity(&self) -> i64 {
        self.sell.iter().map(|level| level.quantity).sum()
    }
}

fn side(best: i64, away: i64, random: &mut Stream) -> [Level; LEVELS] {
    let mut price = best;
    std::array::from_fn(|index| {
        if index > 0 {
            price += away * random.between(1, 2);
        }
        let orders = random.between(1, 40);
        Level { price, quantity: orders * random.between(1, 150), orders }
    })
}

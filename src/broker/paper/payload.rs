//! A market as the JSON of a tick.

use std::fmt::{self, Write};

use super::book::Level;
use super::market::Market;
use crate::topic::Mode;

/// The payload of one tick: prices with two decimals, quantities as integers.
pub(super) fn payload(market: &Market, mode: Mode, seq: u64) -> String {
    let mut json = String::with_capacity(match mode {
        Mode::Ltp => 96,
        Mode::Quote => 448,
        Mode::Depth => 1_024,
    });
    // Writing to a String cannot fail.
    let _ = write!(
        json,
        r#"{{"ltp":{},"timestamp":{ms},"ltt":{ms},"seq":{seq}"#,
        Price(market.ltp),
        ms = market.traded_ms,
    );
    match mode {
        Mode::Ltp => {}
        Mode::Quote => {
            let _ = quote(&mut json, market);
        }
        Mode::Depth => {
            let _ = quote(&mut json, market);
            let _ = depth(&mut json, market);
        }
    }
    json.push('}');
    json
}

fn quote(json: &mut String, market: &Market) -> fmt::Result {
    write!(
        json,
        r#","open":{},"high":{},"low":{},"close":{},"volume":{},"last_trade_quantity":{},"#,
        Price(market.open),
        Price(market.high),
        Price(market.low),
        Price(market.close),
        market.volume,
        market.last_quantity,
    )?;
    write!(
        json,
        r#""avg_trade_price":{},"change":{},"change_percent":{},"#,
        Price(market.average()),
        Price(market.change()),
        Price(market.change_percent()),
    )?;
    write!(
        json,
        r#""total_buy_quantity":{},"total_sell_quantity":{}"#,
        market.book.buy_quantity(),
        market.book.sell_quantity(),
    )
}

fn depth(json: &mut String, market: &Market) -> fmt::Result {
    json.push_str(r#","depth":{"buy":["#);
    levels(json, &market.book.buy)?;
    json.push_str(r#"],"sell":["#);
    levels(json, &market.book.sell)?;
    json.push_str("]}");
    Ok(())
}

fn levels(json: &mut String, levels: &[Level]) -> fmt::Result {
    for (index, level) in levels.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write!(
            json,
            r#"{{"price":{},"quantity":{},"orders":{}}}"#,
            Price(level.price),
            level.quantity,
            level.orders
        )?;
    }
    Ok(())
}

/// Hundredths, shown with two decimals: a reader that guesses types always sees the same one.
struct Price(i64);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let hundredths = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::topic::Instrument;

    #[test]
    fn prices_have_two_decimals_and_at_most_one_sign() {
        let shown: Vec<String> =
            [0, 5, -5, 100, -100, 288_505].map(|price| Price(price).to_string()).to_vec();
        assert_eq!(shown, ["0.00", "0.05", "-0.05", "1.00", "-1.00", "2885.05"]);
    }

    #[test]
    fn the_three_payloads_of_one_instant_read_as_documented() {
        let mut market = Market::open(1, &Instrument::new("NSE", "RELIANCE"), 1_000);
        market.trade(1_500);
        let shown: Vec<String> = Mode::ALL.map(|mode| payload(&market, mode, 2)).to_vec();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_take_ticks_with_it() {
        let mut market = Market::open(1, &Instrument::new("NSE", "RELIANCE"), 1_000);
        market.trade(400);
        assert_eq!(market.traded_ms, 1_000);
    }

    fn assert_consistent(market: &Market) {
        let tick: Value = serde_json::from_str(&payload(market, Mode::Depth, 1)).unwrap();
        let number = |name: &str| tick[name].as_f64().unwrap();
        assert!(number("low") > 0.0);
        assert!(number("low") <= number("ltp") && number("ltp") <= number("high"));
        assert!(number("low") <= number("open") && number("open") <= number("high"));
        assert!(number("low") - 0.01 < number("avg_trade_price"));
        assert!(number("avg_trade_price") <= number("high"));

        let prices = |side: &str| -> Vec<f64> {
            let levels = tick["depth"][side].as_array().unwrap();
            assert_eq!(levels.len(), 5);
            for level in levels {
                assert!(level["orders"].as_u64().unwrap() >= 1);
                assert!(level["quantity"].as_u64() >= level["orders"].as_u64());
            }
            levels.iter().map(|level| level["price"].as_f64().unwrap()).collect()
        };
        let (buy, sell) = (prices("buy"), prices("sell"));
        assert!(buy.is_sorted_by(|better, worse| better > worse), "{buy:?}");
        assert!(sell.is_sorted_by(|better, worse| better < worse), "{sell:?}");
        assert!(buy[0] < sell[0]);
        assert!(buy[4] > 0.0);
        assert!(buy[0] <= number("ltp") && number("ltp") <= sell[0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_tick_of_every_market_is_consistent(seed: u64, symbol in "[A-Z&:_]{1,12}") {
            let mut market = Market::open(seed, &Instrument::new("NSE", symbol), 0);
            let (low, high) = market.circuit();
            assert_consistent(&market);
            for step in 1..200 {
                let before = market.clone();
                market.trade(step);
                assert_consistent(&market);
                prop_assert!(market.volume > before.volume);
                prop_assert!(market.high >= before.high && market.low <= before.low);
                prop_assert!(low <= market.ltp && market.ltp <= high);
                prop_assert_eq!(market.ltp % super::super::market::TICK, 0);
                prop_assert_eq!(market.open, before.open);
            }
        }

        #[test]
        fn the_same_seed_trades_the_same(seed: u64) {
            let instrument = Instrument::new("NSE_INDEX", "NIFTY");
            let mut one = Market::open(seed, &instrument, 0);
            let mut other = Market::open(seed, &instrument, 0);
            for step in 0..50 {
                one.trade(step);
                other.trade(step);
                let one = payload(&one, Mode::Depth, step);
                prop_assert_eq!(one, payload(&other, Mode::Depth, step));
            }
        }
    }
}

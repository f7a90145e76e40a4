//! What the brokers' entries must satisfy.

use std::collections::BTreeMap;

use super::Findings;
use crate::config::{BrokerEntry, BrokerKind, Config};

/// First segments of bus topics that a broker's name would be mistaken for.
const NOT_A_BROKER: &[&str] = &[
    "nse", "nfo", "cds", "bse", "bfo", "bcd", "mcx", "ncdex", "nco", "crypto", "global", "cache",
    "analyze",
];
const BROKER_NAME_BYTES_MAX: usize = 32;
const TICKS_PER_SECOND_MIN: f64 = 0.01;
const TICKS_PER_SECOND_MAX: f64 = 1_000.0;
/// TOML has no larger number, and `tickgate config` prints TOML.
const SEED_MAX: u64 = i64::MAX as u64;
const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 10_000.0;
const HOUR_MS: u64 = 3_600_000;
/// A year: more than anybody records.
const FROM_MS_MAX: u64 = 366 * 24 * HOUR_MS;

impl Findings {
    pub(super) fn brokers(&mut self, config: &Config) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, broker) in config.brokers.iter().enumerate() {
            let key = |name: &str| format!("brokers.{index}.{name}");
            if let Some(why) = bad_broker_name(&broker.name, &config.bus.two_segment_exchanges) {
                self.add(
                    &[&key("name")],
                    format!("`{}` may not be {:?}: {why}", key("name"), broker.name),
                );
            }
            if let Some(first) = seen.insert(&broker.name, index) {
                self.add(
                    &[&key("name")],
                    format!(
                        "`brokers.{first}` and `brokers.{index}` are both named {:?}",
                        broker.name
                    ),
                );
            }
            self.of_other_kinds(broker, &key);
            for (name, why) in broker.quirks.problems(broker.kind) {
                self.add(&[&key(name)], format!("`{}` {why}", key(name)));
            }
            match broker.kind {
                BrokerKind::Remote => self.remote(broker, &key),
                BrokerKind::Paper => self.paper(broker, &key),
                BrokerKind::Replay => self.replay(broker, &key),
            }
        }
    }

    /// Keys that a broker of this kind has no use for.
    fn of_other_kinds(&mut self, broker: &BrokerEntry, key: &impl Fn(&str) -> String) {
        for (kind, name, given) in [
            (BrokerKind::Remote, "address", broker.address.is_some()),
            (BrokerKind::Paper, "seed", broker.seed.is_some()),
            (BrokerKind::Paper, "ticks_per_second", broker.ticks_per_second.is_some()),
            (BrokerKind::Replay, "file", broker.file.is_some()),
            (BrokerKind::Replay, "speed", broker.speed.is_some()),
            (BrokerKind::Replay, "loop", broker.repeat.is_some()),
            (BrokerKind::Replay, "from_ms", broker.from_ms.is_some()),
            (BrokerKind::Replay, "start", broker.start.is_some()),
            (BrokerKind::Replay, "start_delay_ms", broker.start_delay_ms.is_some()),
        ] {
            if given && broker.kind != kind {
                let (name, kind) = (key(name), kind.word());
                self.add(&[&name], format!("`{name}` is for {kind} brokers alone"));
            }
        }
    }

    fn remote(&mut self, broker: &BrokerEntry, key: &impl Fn(&str) -> String) {
        match &broker.address {
            Some(address) => {
                self.endpoint(&key("address"), address, 1);
            }
            None => self.add(
                &[&key("address"), &key("kind")],
                format!(
                    "`{}` is missing: a remote broker needs the address of its host, as \
                     tcp://127.0.0.1:5560",
                    key("address")
                ),
            ),
        }
    }

    fn paper(&mut self, broker: &BrokerEntry, key: &impl Fn(&str) -> String) {
        self.whole(&key("seed"), broker.seed, (0, SEED_MAX), "");
        let range = (TICKS_PER_SECOND_MIN, TICKS_PER_SECOND_MAX);
        self.real(&key("ticks_per_second"), broker.ticks_per_second, range);
    }

    fn replay(&mut self, broker: &BrokerEntry, key: &impl Fn(&str) -> String) {
        if broker.file.as_ref().is_none_or(|file| file.as_os_str().is_empty()) {
            self.add(
                &[&key("file"), &key("kind")],
                format!(
                    "`{}` is missing: a replay broker needs a recording, which `tickgate record` \
                     or `tickgate import` makes",
                    key("file")
                ),
            );
        }
        self.real(&key("speed"), broker.speed, (SPEED_MIN, SPEED_MAX));
        self.whole(&key("from_ms"), broker.from_ms, (0, FROM_MS_MAX), " ms");
        self.whole(&key("start_delay_ms"), broker.start_delay_ms, (0, HOUR_MS), " ms");
    }

    fn whole(&mut self, key: &str, given: Option<u64>, (min, max): (u64, u64), unit: &str) {
        if let Some(number) = given.filter(|number| !(min..=max).contains(number)) {
            let message = format!("`{key}` must be between {min} and {max}{unit}, got {number}");
            self.add(&[key], message);
        }
    }

    fn real(&mut self, key: &str, given: Option<f64>, (min, max): (f64, f64)) {
        if let Some(number) = given.filter(|number| !(min..=max).contains(number)) {
            self.add(&[key], format!("`{key}` must be between {min} and {max}, got {number}"));
        }
    }
}

/// Why a broker cannot have this name on the bus.
fn bad_broker_name(name: &str, two_segment_exchanges: &[String]) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_exchange = NOT_A_BROKER.contains(&name)
        || two_segment_exchanges
            .iter()
            .filter_map(|exchange| exchange.split('_').next())
            .any(|first| first.eq_ignore_ascii_case(name));
    if name.contains('_') {
        Some("`_` separates the parts of a bus topic, use `-`")
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some("upper case is for exchanges on the bus, use lower case")
    } else if name.is_empty() || name.len() > BROKER_NAME_BYTES_MAX || !name.bytes().all(allowed) {
        Some("a name is 1 to 32 lower-case letters, digits and `-`")
    } else if is_exchange {
        Some("topics on the bus begin with it that belong to no broker")
    } else {
        None
    }
}

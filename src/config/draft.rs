//! A configuration that is being put together, with the place of every value.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::Config;
use super::address::Address;
use super::broker::{BROKER_KEYS, BROKERS, BrokerDraft};
use super::channel::{CHANNEL, CHANNEL_KEYS, ChannelDraft};
use super::market::{MARKET, MARKET_KEYS, MarketDraft};
use super::problem::{BadConfig, Place, Problem};
use super::schema::{KEYS, Key};
use super::validate;
use super::value::{Given, Slot};

/// Starts with the defaults; later values win.
#[derive(Debug, Default)]
pub(super) struct Draft {
    config: Config,
    brokers: Vec<BrokerDraft>,
    channels: Vec<ChannelDraft>,
    markets: Vec<MarketDraft>,
    /// By dotted key, e.g. `server.listen` or `brokers.0.name`; `brokers.0` is the whole entry.
    places: BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Draft {
    pub(super) fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::at(place, message));
    }

    /// How many entries an array of tables has.
    pub(super) fn count(&self, array: &str) -> usize {
        match array {
            CHANNEL => self.channels.len(),
            MARKET => self.markets.len(),
            _ => self.brokers.len(),
        }
    }

    /// Adds an entry to an array of tables.
    pub(super) fn add(&mut self, array: &str, place: Place) {
        self.places.insert(format!("{array}.{}", self.count(array)), place);
        match array {
            CHANNEL => self.channels.push(ChannelDraft::default()),
            MARKET => self.markets.push(MarketDraft::default()),
            _ => self.brokers.push(BrokerDraft::default()),
        }
    }

    /// Sets a key outside `[[brokers]]`. `false` if there is no such key.
    pub(super) fn set<'a>(
        &mut self,
        section: &str,
        name: &str,
        place: Place,
        given: impl FnOnce(&Slot<Config>) -> Given<'a>,
    ) -> bool {
        let Some(key) = KEYS.iter().find(|key| key.section == section && key.name == name) else {
            return false;
        };
        let result = key.slot.set(&mut self.config, given(&key.slot));
        self.settle(format!("{section}.{name}"), place, result);
        true
    }

    /// Sets a key outside `[[brokers]]` to what holds if nobody says otherwise.
    pub(super) fn presume(&mut self, section: &str, name: &str, text: &str) {
        let key = KEYS.iter().find(|key| key.section == section && key.name == name);
        let slot = &key.expect("a key").slot;
        let given = slot.read(text);
        slot.set(&mut self.config, given).expect("a good value");
    }

    /// Where the value of a key was set, if it was.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    /// Sets a key of the entry `index`, which exists, of an array of tables: what a file says, or
    /// the text of a variable. `false` if there is no such key.
    pub(super) fn set_entry(
        &mut self,
        (array, index): (&str, usize),
        name: &str,
        place: Place,
        written: Written<'_>,
    ) -> bool {
        let result = match array {
            CHANNEL => set_in(CHANNEL_KEYS, &mut self.channels[index], name, written),
            MARKET => set_in(MARKET_KEYS, &mut self.markets[index], name, written),
            _ => set_in(BROKER_KEYS, &mut self.brokers[index], name, written),
        };
        let Some(result) = result else { return false };
        self.settle(format!("{array}.{index}.{name}"), place, result);
        true
    }

    /// The entries of an array of tables, or `None` if one is incomplete: later ones would be named
    /// by a wrong number.
    fn entries<T>(
        &mut self,
        array: &str,
        finished: Vec<Result<T, &'static str>>,
    ) -> Option<Vec<T>> {
        let broken: Vec<Place> = self.problems.iter().filter_map(|p| p.place.clone()).collect();
        let mut entries = Vec::with_capacity(finished.len());
        for (index, entry) in finished.into_iter().enumerate() {
            let missing = match entry {
                Ok(entry) => {
                    entries.push(entry);
                    continue;
                }
                Err(missing) => missing,
            };
            let entry = format!("{array}.{index}");
            // What was refused is not missing as well.
            let refused = [format!("{entry}.{missing}"), entry.clone()]
                .iter()
                .any(|key| self.places.get(key).is_some_and(|place| broken.contains(place)));
            if !refused {
                let place = self.places.get(&entry).cloned();
                let message = match (array, missing) {
                    (CHANNEL, "kind") => {
                        format!("`{entry}` has no `kind`: \"interactive\" or \"broadcast\"")
                    }
                    (_, "kind") => {
                        format!("`{entry}` has no `kind`: \"paper\", \"replay\" or \"remote\"")
                    }
                    _ => format!("`{entry}` has no `{missing}`"),
                };
                self.problems.push(Problem { place, message });
            }
            return None;
        }
        Some(entries)
    }

    fn settle(&mut self, key: String, place: Place, result: Result<(), String>) {
        if let Err(message) = result {
            self.problem(place.clone(), format!("`{key}` {message}"));
        }
        self.places.insert(key, place);
    }

    /// The whole, checked.
    pub(super) fn finish(mut self) -> Result<Config, BadConfig> {
        let brokers = std::mem::take(&mut self.brokers).into_iter().map(BrokerDraft::finish);
        let channels = std::mem::take(&mut self.channels).into_iter().map(ChannelDraft::finish);
        let brokers = self.entries(BROKERS, brokers.collect());
        let channels = self.entries(CHANNEL, channels.collect());
        let markets = std::mem::take(&mut self.markets).into_iter().map(MarketDraft::finish);
        let markets = self.entries(MARKET, markets.collect());
        let (Some(brokers), Some(channels), Some(markets)) = (brokers, channels, markets) else {
            return BadConfig::unless_empty(self.problems).map(|()| self.config);
        };
        let Self { mut config, places, mut problems, .. } = self;
        (config.brokers, config.channel, config.market) = (brokers, channels, markets);
        if is_public(&config) {
            config.limits.publish(|name| places.contains_key(&format!("limits.{name}")));
        }
        let mut findings = validate::findings(&config);
        findings.extend(validate::exposure(&config, places.contains_key("auth.demo_key")));
        for finding in findings {
            let place = finding.keys.iter().find_map(|key| places.get(key)).cloned();
            problems.push(Problem { place, message: finding.message });
        }
        BadConfig::unless_empty(problems).map(|()| config)
    }
}

/// A value of an entry, where it was written.
pub(super) enum Written<'a> {
    File(&'a DeValue<'a>),
    Variable(&'a str),
}

fn set_in<T>(
    keys: &[Key<T>],
    entry: &mut T,
    name: &str,
    written: Written<'_>,
) -> Option<Result<(), String>> {
    let key = keys.iter().find(|key| key.name == name)?;
    let given = match written {
        Written::File(value) => Given::from_toml(value),
        Written::Variable(text) => key.slot.read(text),
    };
    Some(key.slot.set(entry, given))
}

/// Whether clients come from anywhere, or are to be treated as if they did.
fn is_public(config: &Config) -> bool {
    match config.limits.profile.as_str() {
        "public" => true,
        "local" => false,
        _ => Address::parse(&config.server.listen).is_ok_and(|address| !address.is_loopback()),
    }
}

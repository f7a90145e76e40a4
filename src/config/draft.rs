//! A configuration that is being put together, with the place of every value.

use std::collections::BTreeMap;

use super::Config;
use super::address::Address;
use super::problem::{BadConfig, Place, Problem};
use super::schema::{BROKER_KEYS, BROKERS, BrokerDraft, KEYS};
use super::validate;
use super::value::{Given, Slot};

/// Starts with the defaults; later values win.
#[derive(Debug, Default)]
pub(super) struct Draft {
    config: Config,
    brokers: Vec<BrokerDraft>,
    /// By dotted key, e.g. `server.listen` or `brokers.0.name`; `brokers.0` is the whole entry.
    places: BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Draft {
    pub(super) fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::at(place, message));
    }

    pub(super) const fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    pub(super) fn add_broker(&mut self, place: Place) {
        self.places.insert(format!("{BROKERS}.{}", self.brokers.len()), place);
        self.brokers.push(BrokerDraft::default());
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

    /// Sets a key of the broker entry `index`, which exists. `false` if there is no such key.
    pub(super) fn set_broker<'a>(
        &mut self,
        index: usize,
        name: &str,
        place: Place,
        given: impl FnOnce(&Slot<BrokerDraft>) -> Given<'a>,
    ) -> bool {
        let (Some(key), Some(broker)) =
            (BROKER_KEYS.iter().find(|key| key.name == name), self.brokers.get_mut(index))
        else {
            return false;
        };
        let result = key.slot.set(broker, given(&key.slot));
        self.settle(format!("{BROKERS}.{index}.{name}"), place, result);
        true
    }

    fn settle(&mut self, key: String, place: Place, result: Result<(), String>) {
        if let Err(message) = result {
            self.problem(place.clone(), format!("`{key}` {message}"));
        }
        self.places.insert(key, place);
    }

    /// The whole, checked.
    pub(super) fn finish(self) -> Result<Config, BadConfig> {
        let Self { mut config, brokers, places, mut problems } = self;
        let broken: Vec<Place> = problems.iter().filter_map(|p| p.place.clone()).collect();
        for (index, broker) in brokers.into_iter().enumerate() {
            match broker.finish() {
                Ok(entry) => config.brokers.push(entry),
                Err(missing) => {
                    let entry = format!("{BROKERS}.{index}");
                    // What was refused is not missing as well.
                    let refused = [format!("{entry}.{missing}"), entry.clone()]
                        .iter()
                        .any(|key| places.get(key).is_some_and(|place| broken.contains(place)));
                    if !refused {
                        let place = places.get(&entry).cloned();
                        let message = match missing {
                            "kind" => format!("`{entry}` has no `kind`: \"paper\" or \"remote\""),
                            _ => format!("`{entry}` has no `{missing}`"),
                        };
                        problems.push(Problem { place, message });
                    }
                    // Later entries would be named by a wrong number.
                    return BadConfig::unless_empty(problems).map(|()| config);
                }
            }
        }
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

/// Whether clients come from anywhere, or are to be treated as if they did.
fn is_public(config: &Config) -> bool {
    match config.limits.profile.as_str() {
        "public" => true,
        "local" => false,
        _ => Address::parse(&config.server.listen).is_ok_and(|address| !address.is_loopback()),
    }
}

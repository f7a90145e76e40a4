//! Environment variables that override the file.
//!
//! `TICKGATE_<SECTION>_<KEY>` for every key, and `TICKGATE_BROKERS_<N>_<KEY>` for the entries of
//! `[[brokers]]`, counted from zero, and alike for those of `[[channel]]` and `[[market]]`. The
//! number behind the last one adds an entry.

use std::collections::BTreeMap;

use super::broker::BROKERS;
use super::draft::{Draft, Written};
use super::problem::{Place, nearest};
use super::schema::{ARRAYS, KEYS, entry_keys};

const PREFIX: &str = "TICKGATE_";

/// Variables that are none of the configuration's. `TICKGATE_KEY` is the key for `tail`.
const RESERVED: &[&str] = &["TICKGATE_KEY"];

/// Reads `variables` into `draft`, and returns the names that it used. Those without our prefix
/// are passed over.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    draft: &mut Draft,
) -> Vec<String> {
    // Sorted by entry, so that entry 10 is added behind entry 9.
    let ours: BTreeMap<_, String> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !is_foreign(name))
        .map(|(name, text)| {
            ((entry_key(&name).map(|(array, index, _)| (array, index)), name), text)
        })
        .collect();
    let mut used = Vec::new();
    for ((_, name), text) in ours {
        if read_one(&name, &text, draft) {
            used.push(name);
        }
    }
    used
}

fn read_one(name: &str, text: &str, draft: &mut Draft) -> bool {
    let place = Place::Environment(name.to_owned());
    let Some((array, index, key_name)) = entry_key(name) else {
        let key = KEYS.iter().find(|key| variable(key.section, key.name) == name);
        let Some(key) = key else {
            draft.problem(place, unknown(name));
            return false;
        };
        return draft.set(key.section, key.name, place, |slot| slot.read(text));
    };
    let Some(key_name) = entry_names(array).find(|known| known.to_uppercase() == key_name) else {
        draft.problem(place, unknown(name));
        return false;
    };
    let count = draft.count(array);
    if index > count {
        let next = variable(array, &format!("{count}_{key_name}"));
        draft.problem(place, format!("leaves a gap: the next entry would be {next}"));
        return false;
    }
    if index == count {
        draft.add(array, place.clone());
    }
    draft.set_entry((array, index), key_name, place, Written::Variable(text))
}

/// The keys of the entries of an array of tables.
fn entry_names(array: &str) -> impl Iterator<Item = &'static str> {
    entry_keys().filter(move |(of, _)| *of == array).map(|(_, name)| name)
}

/// The name of the variable of a key.
fn variable(section: &str, name: &str) -> String {
    format!("{PREFIX}{section}_{name}").to_uppercase()
}

/// Splits `TICKGATE_BROKERS_<N>_<KEY>`, and that of another array alike.
fn entry_key(name: &str) -> Option<(&'static str, usize, &str)> {
    ARRAYS.into_iter().find_map(|array| {
        let prefix = variable(array, "");
        let (index, key) = name.strip_prefix(&prefix)?.split_once('_')?;
        let canonical = index == "0" || !index.starts_with(['0', '+']);
        canonical.then(|| index.parse().ok()).flatten().map(|index| (array, index, key))
    })
}

/// Variables that others put there: our own of other commands, and those that Kubernetes sets for
/// a service named `tickgate`.
fn is_foreign(name: &str) -> bool {
    RESERVED.contains(&name)
        || name == "TICKGATE_PORT"
        || name.starts_with("TICKGATE_PORT_")
        || name.starts_with("TICKGATE_SERVICE_")
}

fn unknown(name: &str) -> String {
    let (array, index) = entry_key(name).map_or((BROKERS, 0), |(array, index, _)| (array, index));
    let entry = entry_names(array).map(|key| variable(array, &format!("{index}_{key}")));
    let all: Vec<String> = KEYS
        .iter()
        .map(|key| variable(key.section, key.name))
        .chain(entry)
        .chain(RESERVED.iter().map(|name| (*name).to_owned()))
        .collect();
    // Every name has the prefix, so it says nothing about nearness.
    let bare = |name: &'_ str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let bare_names: Vec<String> = all.iter().map(|name| bare(name)).collect();
    let without_section = KEYS.iter().find(|key| key.name.to_uppercase() == bare(name));
    let meant = match without_section {
        Some(key) => Some(variable(key.section, key.name)),
        None => nearest(&bare(name), bare_names.iter().map(String::as_str))
            .map(|near| format!("{PREFIX}{near}")),
    };
    match meant {
        Some(meant) => format!("is not a setting; did you mean {meant}?"),
        None => "is not a setting; `tickgate config` lists the keys, \
                 TICKGATE_<SECTION>_<KEY> is the variable of each"
            .into(),
    }
}

//! `[broker]`, and what of `[[brokers]]` says how brokers differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BrokerKind;
use crate::topic::Mode;

/// Longest linger.
const LINGER_MAX_MS: u64 = 3_600_000;
/// Fewest and most calls per second.
const CALLS_PER_SECOND_MIN: f64 = 0.1;
const CALLS_PER_SECOND_MAX: f64 = 100_000.0;

/// `[broker]`: deadlines and pauses, the same for all brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerTimes {
    /// How long a broker may take to open or close a session.
    pub connect_timeout_ms: u64,
    /// How long a broker may take to answer a subscribe or unsubscribe.
    pub answer_timeout_ms: u64,
    /// How long a client's request may wait for its broker in all.
    pub request_timeout_ms: u64,
    /// First pause before a failed command is tried again; doubles up to the maximum.
    pub retry_min_ms: u64,
    /// Longest pause before a failed command is tried again.
    pub retry_max_ms: u64,
    /// Names that `get_supported_brokers` lists; none: those of `[[brokers]]`.
    pub supported: Vec<String>,
}

/// How a broker differs from others. The default: it does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quirks {
    /// How long a session or topic that nobody needs any more is kept, so that who comes back at
    /// once (a page that is loaded again) does not have the broker asked anew.
    pub linger_ms: u64,
    /// Whether the session of a user whose last client has left stays open, without topics.
    pub keep_session: bool,
    /// Whether a login elsewhere ends the session, and it that one: it is not fought over, but
    /// reopened ever more rarely until it has lasted for a while.
    pub single_session: bool,
    /// Connections that one user may have at the broker.
    pub connections_per_user: usize,
    /// Topics that one connection can carry; 0: as many as are wanted.
    pub topics_per_connection: usize,
    /// Commands that the broker takes per second, from all users together. Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<f64>,
    /// Subscribes of one user that the broker takes as one call.
    pub batch_max: usize,
    /// Levels of the book that it has: `5 20`, or for one exchange `NSE: 5 20 50`. Empty: whatever
    /// is asked for.
    pub depth_levels: Vec<String>,
    /// Modes that it has, of LTP, Quote and Depth. What it lacks is served from the next higher
    /// one.
    pub modes: Vec<String>,
    /// Whether a session that cannot be opened with the credentials it has is tried once more at
    /// once, since whoever opens it may find fresh ones.
    pub reinitialize: bool,
}

/// The levels of the book that a broker has, by exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepthLevels {
    by_exchange: BTreeMap<String, Vec<u32>>,
    elsewhere: Vec<u32>,
}

impl DepthLevels {
    /// Reads what a configuration says.
    ///
    /// # Errors
    ///
    /// Fails with the first entry that says nothing, and why.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut all = Self::default();
        for entry in entries {
            let (exchange, levels) = match entry.split_once(':') {
                Some((exchange, levels)) => (Some(exchange.trim()), levels),
                None => (None, entry.as_str()),
            };
            let read = |word: &str| word.parse().ok().filter(|level| *level > 0);
            let levels: Option<Vec<u32>> = levels.split_whitespace().map(read).collect();
            let usable = |levels: &Vec<u32>| !levels.is_empty() && exchange != Some("");
            let Some(mut levels) = levels.filter(usable) else {
                return Err(format!(
                    "{entry:?} is neither levels as \"5 20\" nor \"NSE: 5 20 50\""
                ));
            };
            levels.sort_unstable();
            let known = match exchange {
                Some(exchange) => all.by_exchange.insert(exchange.into(), levels).is_some(),
                None => !std::mem::replace(&mut all.elsewhere, levels).is_empty(),
            };
            if known {
                return Err(format!("{entry:?} gives levels that were given before"));
            }
        }
        Ok(all)
    }

    /// What to ask for where `asked` is wanted: the most that is not more, or else the least that
    /// there is.
    #[must_use]
    pub fn fit(&self, exchange: &str, asked: u32) -> u32 {
        let levels = self.by_exchange.get(exchange).unwrap_or(&self.elsewhere);
        let fits = levels.iter().rev().find(|level| **level <= asked);
        fits.or(levels.first()).copied().unwrap_or(asked)
    }
}

impl Quirks {
    /// What is usual for a kind of broker.
    #[must_use]
    pub fn of(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Paper | BrokerKind::Replay => Self::default(),
            BrokerKind::Remote => Self { linger_ms: 5_000, reinitialize: true, ..Self::default() },
        }
    }

    /// What is wrong with it at this kind of broker: the key, and a sentence behind its name.
    pub(super) fn problems(&self, kind: BrokerKind) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.linger_ms > LINGER_MAX_MS {
            let linger_ms = self.linger_ms;
            let sentence = format!("must be at most {LINGER_MAX_MS} ms, got {linger_ms} ms");
            problems.push(("linger_ms", sentence));
        }
        if let Some(rate) = self.calls_per_second
            && !(CALLS_PER_SECOND_MIN..=CALLS_PER_SECOND_MAX).contains(&rate)
        {
            let (min, max) = (CALLS_PER_SECOND_MIN, CALLS_PER_SECOND_MAX);
            let sentence = format!("must be between {min} and {max}, got {rate}");
            problems.push(("calls_per_second", sentence));
        }
        if self.connections_per_user > 1 && self.topics_per_connection == 0 {
            let sentence = "needs `topics_per_connection`: how full the first has to be".into();
            problems.push(("connections_per_user", sentence));
        }
        if self.connections_per_user > 1 && self.single_session {
            let sentence = "cannot be more than 1 where `single_session` is true".into();
            problems.push(("connections_per_user", sentence));
        }
        if self.connections_per_user > 1 && kind.is_inside() {
            problems.push(("connections_per_user", "is for brokers with connections".into()));
        }
        if let Err(why) = DepthLevels::parse(&self.depth_levels) {
            problems.push(("depth_levels", format!("is wrong: {why}")));
        }
        if let Err(why) = self.modes() {
            problems.push(("modes", why));
        }
        problems
    }

    /// The modes that it has, the leanest first.
    ///
    /// # Errors
    ///
    /// Fails if there are none, or if one is none.
    pub fn modes(&self) -> Result<Vec<Mode>, String> {
        let modes = Mode::ALL.into_iter();
        let has = |mode: &Mode| self.modes.iter().any(|it| it.eq_ignore_ascii_case(mode.label()));
        let modes: Vec<Mode> = modes.filter(has).collect();
        if modes.is_empty() || modes.len() != self.modes.len() {
            let got = &self.modes;
            return Err(format!("must list some of \"LTP\", \"Quote\", \"Depth\", got {got:?}"));
        }
        Ok(modes)
    }

    /// Topics that a user may have at the broker at once. `None`: as many as are wanted.
    #[must_use]
    pub fn topics_per_user(&self) -> Option<usize> {
        let each = self.topics_per_connection;
        (each > 0).then(|| each.saturating_mul(self.connections_per_user))
    }
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            linger_ms: 0,
            keep_session: false,
            single_session: false,
            connections_per_user: 1,
            topics_per_connection: 0,
            calls_per_second: None,
            batch_max: 1,
            depth_levels: Vec::new(),
            modes: Mode::ALL.map(|mode| mode.label().to_owned()).to_vec(),
            reinitialize: false,
        }
    }
}

impl Default for BrokerTimes {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 15_000,
            answer_timeout_ms: 8_000,
            request_timeout_ms: 20_000,
            retry_min_ms: 500,
            retry_max_ms: 30_000,
            supported: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(entries: &[&str]) -> Result<DepthLevels, String> {
        DepthLevels::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_most_that_is_not_more_is_asked_for() {
        let levels = levels(&["5 20", "NFO: 50 5"]).expect("valid");
        let fits = |exchange, asked| levels.fit(exchange, asked);
        assert_eq!([fits("NSE", 5), fits("NSE", 19), fits("NSE", 200)], [5, 5, 20]);
        assert_eq!([fits("NFO", 20), fits("NFO", 50)], [5, 50]);
        assert_eq!(fits("NSE", 1), 5, "there is no less");
        assert_eq!(DepthLevels::default().fit("NSE", 7), 7, "nothing is known of it");
    }

    #[test]
    fn what_says_no_levels_is_refused() {
        for bad in
            [&["five"][..], &["NSE:"], &["5,20"], &[":5"], &["5 0"], &["5", "20"], &["A:5", "A:5"]]
        {
            assert!(levels(bad).is_err(), "{bad:?}");
        }
    }
}

//! `[[channel]]`: paths under which clients connect, and what holds there.

use serde::{Deserialize, Serialize};

use super::schema::Key;
use super::value::Slot;
use crate::topic::{Instrument, Mode, Role, Topic};

/// The section of channels.
pub(super) const CHANNEL: &str = "channel";

/// Most channels one gateway can have.
pub const CHANNELS_MAX: usize = 32;

/// `[[channel]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelEntry {
    /// Where clients connect, e.g. `/ws/market`.
    pub path: String,
    /// What clients do there.
    pub kind: ChannelKind,
    /// What a client has to show.
    #[serde(default)]
    pub auth: ChannelAuth,
    /// The roles that may come in; empty: every role.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Connections; further ones are turned away with HTTP 503.
    #[serde(default = "default_clients_max")]
    pub clients_max: usize,
    /// Topics that one client may hold; 0: as many as `[limits]` says.
    #[serde(default)]
    pub subscriptions_per_client_max: usize,
    /// What becomes of ticks for a client that lags.
    #[serde(default)]
    pub outbox: OutboxPolicy,
    /// Ticks that wait for one client before that; 0: as many as `[outbox]` says.
    #[serde(default)]
    pub ticks_max: usize,
    /// `interactive`: the fastest pace of a subscription; 0: every value.
    #[serde(default)]
    pub pace_ms: u64,
    /// `broadcast`: what is sent, as `EXCHANGE:SYMBOL[:MODE]`.
    #[serde(default)]
    pub topics: Vec<String>,
    /// `broadcast`: how often.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// Broadcast: how long its topics stay subscribed after the last listener has left.
    #[serde(default = "default_linger_ms")]
    pub linger_ms: u64,
    /// `broadcast`: topics whose latest value is kept.
    #[serde(default = "default_topics_max")]
    pub topics_max: usize,
    /// `broadcast`: the broker at which topics without `*` are subscribed. Absent: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// `broadcast`: the user as whom they are subscribed. Required if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Kinds of channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Each client subscribes to what it wants.
    Interactive,
    /// All clients get the same, at intervals.
    Broadcast,
}

/// What a client of a channel has to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelAuth {
    /// A credential, with the upgrade request or in a message.
    #[default]
    Message,
    /// A credential with the upgrade request.
    Door,
    /// Nothing. Who shows no credential is anonymous.
    Anonymous,
}

/// What becomes of ticks for a client that lags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxPolicy {
    /// The latest of each topic is kept.
    #[default]
    Conflate,
    /// The oldest goes.
    DropOldest,
    /// The client is closed with 1013.
    Disconnect,
}

impl ChannelKind {
    /// As the configuration writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Broadcast => "broadcast",
        }
    }
}

impl ChannelAuth {
    /// As the configuration writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Door => "door",
            Self::Anonymous => "anonymous",
        }
    }
}

impl ChannelEntry {
    /// A channel of which nothing is said but where and what it is.
    #[must_use]
    pub fn new(path: &str, kind: ChannelKind) -> Self {
        Self {
            path: path.into(),
            kind,
            auth: ChannelAuth::default(),
            roles: Vec::new(),
            clients_max: default_clients_max(),
            subscriptions_per_client_max: 0,
            outbox: OutboxPolicy::default(),
            ticks_max: 0,
            pace_ms: 0,
            topics: Vec::new(),
            interval_ms: default_interval_ms(),
            linger_ms: default_linger_ms(),
            topics_max: default_topics_max(),
            broker: None,
            user: None,
        }
    }

    /// Whether this role may come in.
    #[must_use]
    pub fn admits(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|word| word == role.as_str())
    }

    /// What is broadcast. What is no pattern is left out; a validated configuration has none.
    #[must_use]
    pub fn patterns(&self) -> Vec<TopicPattern> {
        self.topics.iter().filter_map(|text| TopicPattern::parse(text)).collect()
    }
}

/// Topics that a channel broadcasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicPattern {
    /// One topic.
    Exact(Topic),
    /// Those of an exchange whose symbol begins with this, in one mode.
    Wild {
        /// E.g. `NSE_INDEX`.
        exchange: String,
        /// May be empty.
        prefix: String,
        /// How much is broadcast of them.
        mode: Mode,
    },
}

impl TopicPattern {
    /// Reads `EXCHANGE:SYMBOL[:MODE]`; the symbol may be or end in `*`, the mode is LTP unless it
    /// is said. A symbol may itself contain `:`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (exchange, rest) = text.split_once(':')?;
        let (symbol, mode) = match rest.rsplit_once(':') {
            Some((symbol, word)) => match Mode::from_name(word) {
                Some(mode) => (symbol, mode),
                None => (rest, Mode::Ltp),
            },
            None => (rest, Mode::Ltp),
        };
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| !c.is_whitespace() && !c.is_control())
        };
        if !is_name(exchange) || !is_name(symbol) || exchange.contains('*') {
            return None;
        }
        match symbol.strip_suffix('*') {
            Some(prefix) if prefix.contains('*') => None,
            Some(prefix) => {
                Some(Self::Wild { exchange: exchange.into(), prefix: prefix.into(), mode })
            }
            None if symbol.contains('*') => None,
            None => Some(Self::Exact(Topic::new(Instrument::new(exchange, symbol), mode))),
        }
    }
}

const fn default_clients_max() -> usize {
    1_000
}

const fn default_interval_ms() -> u64 {
    1_000
}

const fn default_linger_ms() -> u64 {
    10_000
}

const fn default_topics_max() -> usize {
    1_000
}

/// A `[[channel]]` entry of which parts may still be missing.
#[derive(Debug)]
pub(super) struct ChannelDraft {
    path: Option<String>,
    kind: String,
    auth: String,
    outbox: String,
    entry: ChannelEntry,
}

impl Default for ChannelDraft {
    fn default() -> Self {
        Self {
            path: None,
            kind: String::new(),
            auth: AUTHS[0].into(),
            outbox: OUTBOXES[0].into(),
            entry: ChannelEntry::new("", ChannelKind::Interactive),
        }
    }
}

const KINDS: &[&str] = &["interactive", "broadcast"];
const AUTHS: &[&str] = &["message", "door", "anonymous"];
const OUTBOXES: &[&str] = &["conflate", "drop_oldest", "disconnect"];

impl ChannelDraft {
    /// The entry, or the name of the key that is missing.
    pub(super) fn finish(self) -> Result<ChannelEntry, &'static str> {
        let kind = match self.kind.as_str() {
            "broadcast" => ChannelKind::Broadcast,
            "interactive" => ChannelKind::Interactive,
            _ => return Err("kind"),
        };
        let auth = match self.auth.as_str() {
            "door" => ChannelAuth::Door,
            "anonymous" => ChannelAuth::Anonymous,
            _ => ChannelAuth::Message,
        };
        let outbox = match self.outbox.as_str() {
            "drop_oldest" => OutboxPolicy::DropOldest,
            "disconnect" => OutboxPolicy::Disconnect,
            _ => OutboxPolicy::Conflate,
        };
        let path = self.path.ok_or("path")?;
        Ok(ChannelEntry { path, kind, auth, outbox, ..self.entry })
    }
}

/// Every key of one `[[channel]]` entry.
pub(super) const CHANNEL_KEYS: &[Key<ChannelDraft>] = &[
    key("path", Slot::MaybeText(|c| &mut c.path)),
    key("kind", Slot::Choice(|c| &mut c.kind, KINDS)),
    key("auth", Slot::Choice(|c| &mut c.auth, AUTHS)),
    key("roles", Slot::List(|c| &mut c.entry.roles)),
    key("clients_max", Slot::Count(|c| &mut c.entry.clients_max, 1..=1_000_000)),
    key(
        "subscriptions_per_client_max",
        Slot::Count(|c| &mut c.entry.subscriptions_per_client_max, 0..=1_000_000),
    ),
    key("outbox", Slot::Choice(|c| &mut c.outbox, OUTBOXES)),
    key("ticks_max", Slot::Count(|c| &mut c.entry.ticks_max, 0..=1_048_576)),
    key("pace_ms", Slot::Millis(|c| &mut c.entry.pace_ms, 0..=3_600_000)),
    key("topics", Slot::List(|c| &mut c.entry.topics)),
    key("interval_ms", Slot::Millis(|c| &mut c.entry.interval_ms, 10..=3_600_000)),
    key("linger_ms", Slot::Millis(|c| &mut c.entry.linger_ms, 0..=3_600_000)),
    key("topics_max", Slot::Count(|c| &mut c.entry.topics_max, 1..=10_000)),
    key("broker", Slot::MaybeText(|c| &mut c.entry.broker)),
    key("user", Slot::MaybeText(|c| &mut c.entry.user)),
];

const fn key(name: &'static str, slot: Slot<ChannelDraft>) -> Key<ChannelDraft> {
    Key { section: CHANNEL, name, slot }
}

impl ChannelEntry {
    /// What is wrong with its numbers, by key.
    pub(super) fn out_of_range(&self) -> Vec<(&'static str, String)> {
        let mut draft = ChannelDraft { entry: self.clone(), ..ChannelDraft::default() };
        let numbers = CHANNEL_KEYS.iter().filter(|key| !matches!(key.slot, Slot::Choice(..)));
        numbers.filter_map(|key| Some((key.name, key.slot.out_of_range(&mut draft)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_topic_or_the_beginning_of_symbols() {
        let exact = |exchange, symbol, mode| {
            Some(TopicPattern::Exact(Topic::new(Instrument::new(exchange, symbol), mode)))
        };
        let wild = |exchange: &str, prefix: &str, mode| {
            let (exchange, prefix) = (exchange.into(), prefix.into());
            Some(TopicPattern::Wild { exchange, prefix, mode })
        };
        for (text, pattern) in [
            ("NSE_INDEX:NIFTY", exact("NSE_INDEX", "NIFTY", Mode::Ltp)),
            ("NSE:TCS:quote", exact("NSE", "TCS", Mode::Quote)),
            ("NSE:TCS:20:Depth", exact("NSE", "TCS:20", Mode::Depth)),
            ("NSE:TCS:20", exact("NSE", "TCS:20", Mode::Ltp)),
            ("NSE:*", wild("NSE", "", Mode::Ltp)),
            ("NFO:NIFTY*:Quote", wild("NFO", "NIFTY", Mode::Quote)),
            ("NSE", None),
            ("NSE:", None),
            (":TCS", None),
            ("*:TCS", None),
            ("NSE:A*B", None),
            ("NSE:A**", None),
            ("NSE:A B", None),
        ] {
            assert_eq!(TopicPattern::parse(text), pattern, "{text}");
        }
    }
}

//! The environment of an OpenAlgo installation, as settings of ours.
//!
//! What its WebSocket proxy reads, from the process's environment and from the installation's
//! `.env`, is put below our own file and variables: those win.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::broker::BROKERS;
use super::dotenv;
use super::draft::{Draft, Written};
use super::problem::Place;

/// Where an adapter host listens unless it is told otherwise.
const HOST: &str = "tcp://127.0.0.1:5600";
const PEPPER: &str = "API_KEY_PEPPER";
const STATS_FILE: &str = "log/ws_proxy_stats.json";
const SECONDS_MAX: u64 = 3_600;

/// What the proxy reads and the gateway has no use for, and why.
const NOTED: &[(&str, &str)] = &[
    ("MAX_SYMBOLS_PER_WEBSOCKET", "the adapter host reads it"),
    ("MAX_WEBSOCKET_CONNECTIONS", "the adapter host reads it"),
    ("ENABLE_CONNECTION_POOLING", "the adapter host reads it"),
    ("WS_MAX_QUEUE", "what waits for a client is bounded by [outbox]"),
    ("WEBSOCKET_URL", "OpenAlgo tells it to browsers"),
];

/// An installation whose environment was read.
#[derive(Clone, PartialEq)]
pub struct Installation {
    /// Where it is.
    pub root: PathBuf,
    /// What it said, in the order in which it is shown.
    pub settings: Vec<Setting>,
    pepper: Option<String>,
}

/// What became of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub variable: String,
    /// Where it was set; absent: it is OpenAlgo's default.
    pub place: Option<Place>,
    /// Our key, or why there is none.
    pub became: Became,
}

/// What a variable is in our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// The value of this key.
    Key(&'static str),
    /// It would be the value of this key, if our own file or variables did not set it.
    Overridden(&'static str),
    /// It is used, but for no key.
    Used(&'static str),
    /// It was read, and nothing follows from it.
    Noted(&'static str),
}

impl fmt::Debug for Installation {
    /// Without the pepper.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation")
            .field("root", &self.root)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Installation {
    /// A variable that a secret of ours is read from, if the installation has it.
    #[must_use]
    pub fn secret(&self, variable: &str) -> Option<String> {
        self.pepper.clone().filter(|_| variable == PEPPER)
    }
}

/// A variable's value, and where it was set.
type Given = (String, Place);

/// Reads an installation into a draft, in two steps: what is below our own settings, and, once
/// those are in the draft, what depends on them.
pub(super) struct Reader<'a> {
    root: &'a Path,
    /// Its `.env`, for problems that are nowhere in it.
    file: String,
    environment: &'a BTreeMap<String, String>,
    lines: BTreeMap<String, Given>,
    settings: Vec<Setting>,
}

impl<'a> Reader<'a> {
    /// `text` is that of the installation's `.env`, if it has one; `environment` is that of the
    /// process, and wins.
    pub(super) fn new(
        root: &'a Path,
        text: Option<&str>,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        let file = root.join(".env").display().to_string();
        let lines = dotenv::parse(&file, text.unwrap_or(""));
        // Of one that is set twice the last holds, as in python-dotenv.
        let lines = lines.into_iter().map(|line| (line.name, (line.value, line.place))).collect();
        Self { root, file, environment, lines, settings: Vec::new() }
    }

    /// Puts what the installation says into the draft.
    pub(super) fn below(&mut self, draft: &mut Draft) {
        self.address(draft, ["WEBSOCKET_HOST", "WEBSOCKET_PORT", "8765"], "server.listen", "");
        self.address(draft, ["ZMQ_HOST", "ZMQ_PORT", "5555"], "bus.bind", "tcp://");
        if let Some((seconds, place)) = self.seconds(draft, "WS_AUTH_GRACE_SECONDS") {
            let key = "server.auth_timeout_ms";
            set(draft, key, place.clone(), &(seconds * 1_000).to_string());
            self.settle("WS_AUTH_GRACE_SECONDS", Some(place), Became::Key(key));
        }
        self.silence(draft);
        self.heartbeat(draft);
        self.database(draft);
        self.stats_file(draft);
        self.log_level(draft);
        self.supported(draft);
        for (variable, why) in NOTED {
            if let Some((_, place)) = self.given(variable) {
                self.settle(variable, Some(place), Became::Noted(why));
            }
        }
    }

    /// Adds the broker if our own settings name none, and says what became of everything.
    pub(super) fn finish(mut self, draft: &mut Draft) -> Installation {
        self.broker(draft);
        let mut settings = std::mem::take(&mut self.settings);
        for setting in &mut settings {
            if let (Became::Key(key), Some(place)) = (&setting.became, &setting.place)
                && draft.place(key).is_some_and(|now| now != place)
                && !self.shares(draft, key)
            {
                setting.became = Became::Overridden(key);
            }
        }
        let pepper = self.given(PEPPER).map(|(pepper, _)| pepper);
        Installation { root: self.root.to_owned(), settings, pepper }
    }

    /// Whether what holds for a key is another variable of the installation: a host and its port
    /// are one key.
    fn shares(&self, draft: &Draft, key: &str) -> bool {
        let ours =
            |name: &str| self.given(name).is_some_and(|(_, at)| draft.place(key) == Some(&at));
        match key {
            "server.listen" => ours("WEBSOCKET_HOST") || ours("WEBSOCKET_PORT"),
            "bus.bind" => ours("ZMQ_HOST") || ours("ZMQ_PORT"),
            "server.silence_timeout_ms" => ours("WS_PING_INTERVAL") || ours("WS_PING_TIMEOUT"),
            _ => false,
        }
    }

    /// The value of a variable. An empty one is none.
    fn given(&self, name: &str) -> Option<Given> {
        let in_process = self.environment.get(name);
        let in_process =
            in_process.map(|value| (value.clone(), Place::Environment(name.to_owned())));
        in_process.or_else(|| self.lines.get(name).cloned()).filter(|(value, _)| !value.is_empty())
    }

    fn settle(&mut self, variable: &str, place: Option<Place>, became: Became) {
        self.settings.push(Setting { variable: variable.to_owned(), place, became });
    }

    /// A host and a port, either of which may be left to its default.
    fn address(
        &mut self,
        draft: &mut Draft,
        [host_name, port_name, port_default]: [&str; 3],
        key: &'static str,
        scheme: &str,
    ) {
        let (host, port) = (self.given(host_name), self.given(port_name));
        let Some(place) = port.as_ref().or(host.as_ref()).map(|(_, place)| place.clone()) else {
            return;
        };
        let host_text = host.as_ref().map_or("127.0.0.1", |(host, _)| host.as_str());
        let port_text = port.as_ref().map_or(port_default, |(port, _)| port.as_str());
        if port_text.parse::<u16>().is_err() {
            let problem = format!("{port_name} must be a port, 1 to 65535, got `{port_text}`");
            draft.problem(place, problem);
            return;
        }
        let host_text =
            if host_text.contains(':') { format!("[{host_text}]") } else { host_text.to_owned() };
        set(draft, key, place, &format!("{scheme}{host_text}:{port_text}"));
        for (name, given) in [(host_name, host), (port_name, port)] {
            if let Some((_, place)) = given {
                self.settle(name, Some(place), Became::Key(key));
            }
        }
    }

    /// A whole number of seconds, if the variable is set and is one.
    fn seconds(&self, draft: &mut Draft, name: &str) -> Option<(u64, Place)> {
        let (text, place) = self.given(name)?;
        match text.parse() {
            Ok(seconds) if (1..=SECONDS_MAX).contains(&seconds) => Some((seconds, place)),
            Ok(_) | Err(_) => {
                let problem = format!(
                    "{name} must be a whole number of seconds, 1 to {SECONDS_MAX}, got `{text}`"
                );
                draft.problem(place, problem);
                None
            }
        }
    }

    /// When a silent topic is stale; 0: nobody is told.
    fn silence(&mut self, draft: &mut Draft) {
        let name = "WS_STALE_TICK_WARN_SECONDS";
        let Some((text, place)) = self.given(name) else { return };
        if text == "0" {
            set(draft, "feed.status", place.clone(), "false");
            self.settle(name, Some(place), Became::Key("feed.status"));
        } else if let Some((seconds, place)) = self.seconds(draft, name) {
            let key = "feed.stale_after_ms";
            set(draft, key, place.clone(), &(seconds * 1_000).to_string());
            if seconds < 5 {
                set(draft, "feed.stale_min_ms", place.clone(), &(seconds * 1_000).to_string());
            }
            self.settle(name, Some(place), Became::Key(key));
        }
    }

    /// The proxy pings after one time, and closes when another has passed without a pong.
    fn heartbeat(&mut self, draft: &mut Draft) {
        let interval = self.seconds(draft, "WS_PING_INTERVAL");
        let timeout = self.seconds(draft, "WS_PING_TIMEOUT");
        let Some((_, place)) = timeout.as_ref().or(interval.as_ref()) else { return };
        let seconds = |given: &Option<(u64, Place)>| given.as_ref().map_or(20, |(s, _)| *s);
        let silence = (seconds(&interval) + seconds(&timeout)) * 1_000;
        let interval_ms = (seconds(&interval) * 1_000).to_string();
        let interval_place = interval.as_ref().map_or(place, |(_, at)| at).clone();
        set(draft, "server.ping_interval_ms", interval_place, &interval_ms);
        set(draft, "server.silence_timeout_ms", place.clone(), &silence.to_string());
        if let Some((_, place)) = interval {
            self.settle("WS_PING_INTERVAL", Some(place), Became::Key("server.ping_interval_ms"));
        }
        if let Some((_, place)) = timeout {
            self.settle("WS_PING_TIMEOUT", Some(place), Became::Key("server.silence_timeout_ms"));
        }
    }

    fn database(&mut self, draft: &mut Draft) {
        let key = "auth.openalgo_database";
        let given = self.given("DATABASE_URL");
        let url = given.as_ref().map_or("sqlite:///db/openalgo.db", |(url, _)| url.as_str());
        let place = given.as_ref().map(|(_, place)| place.clone());
        let Some(path) = url.strip_prefix("sqlite:///").filter(|path| !path.is_empty()) else {
            // The URL of another database holds its password.
            let problem = "DATABASE_URL must be sqlite:///…: only SQLite can be read here";
            draft.problem(place.unwrap_or_else(|| self.nowhere()), problem);
            return;
        };
        let path = self.root.join(path).display().to_string();
        match place.clone() {
            Some(place) => set(draft, key, place, &path),
            None => draft.presume("auth", "openalgo_database", &path),
        }
        self.settle("DATABASE_URL", place, Became::Key(key));
        // OpenAlgo has none.
        draft.presume("auth", "demo_key", "false");
        match self.given(PEPPER) {
            Some((_, place)) => {
                self.settle(PEPPER, Some(place), Became::Used("the pepper of its keys"));
            }
            None => draft.problem(self.nowhere(), format!("{PEPPER} is not set")),
        }
    }

    fn stats_file(&mut self, draft: &mut Draft) {
        let (key, given) = ("admin.stats_file", self.given("WS_PROXY_STATS_FILE"));
        let path = given.as_ref().map_or(STATS_FILE, |(path, _)| path.as_str());
        let path = self.root.join(path).display().to_string();
        let place = given.map(|(_, place)| place);
        match place.clone() {
            Some(place) => set(draft, key, place, &path),
            None => draft.presume("admin", "stats_file", &path),
        }
        self.settle("WS_PROXY_STATS_FILE", place, Became::Key(key));
    }

    fn log_level(&mut self, draft: &mut Draft) {
        let Some((text, place)) = self.given("LOG_LEVEL") else { return };
        let level = match text.to_uppercase().as_str() {
            "DEBUG" => "debug",
            "INFO" => "info",
            "WARNING" | "WARN" => "warn",
            "ERROR" | "CRITICAL" => "error",
            _ => {
                let why = "it is no level of the gateway";
                self.settle("LOG_LEVEL", Some(place), Became::Noted(why));
                return;
            }
        };
        set(draft, "log.level", place.clone(), level);
        self.settle("LOG_LEVEL", Some(place), Became::Key("log.level"));
    }

    /// Brokers that OpenAlgo could be used with, which is what clients are told.
    fn supported(&mut self, draft: &mut Draft) {
        if let Some((names, place)) = self.given("VALID_BROKERS") {
            set(draft, "broker.supported", place.clone(), &names);
            self.settle("VALID_BROKERS", Some(place), Became::Key("broker.supported"));
        }
    }

    /// The broker that OpenAlgo logs in with: the one of its redirect, or the only one there is.
    fn broker(&mut self, draft: &mut Draft) {
        let is_own = draft.count(BROKERS) > 0;
        let valid = self.given("VALID_BROKERS").unwrap_or_else(|| (String::new(), self.nowhere()));
        let names: Vec<String> =
            valid.0.split(',').map(|name| name.trim().to_lowercase()).collect();
        let redirect = self.given("REDIRECT_URL");
        let named =
            redirect.as_ref().and_then(|(url, place)| Some((broker_of(url)?, place.clone())));
        if let Some((_, place)) = redirect.clone() {
            let became = match (&named, is_own) {
                (None, _) => Became::Noted("it names no broker"),
                (Some(_), true) => Became::Overridden("brokers"),
                (Some(_), false) => Became::Key("brokers"),
            };
            self.settle("REDIRECT_URL", Some(place), became);
        }
        let only = (names.len() == 1 && !names[0].is_empty()).then(|| (names[0].clone(), valid.1));
        let is_known = |name: &String| valid.0.is_empty() || names.contains(name);
        match named.or(only) {
            _ if is_own => {}
            Some((name, place)) if is_known(&name) => {
                draft.add(BROKERS, place.clone());
                for (key, value) in [("name", name.as_str()), ("kind", "remote"), ("address", HOST)]
                {
                    let written = Written::Variable(value);
                    draft.set_entry((BROKERS, 0), key, place.clone(), written);
                }
            }
            Some((name, place)) => {
                let problem = format!("REDIRECT_URL names `{name}`, which is not in VALID_BROKERS");
                draft.problem(place, problem);
            }
            None => {
                let place = redirect.map_or_else(|| self.nowhere(), |(_, place)| place);
                let problem = "REDIRECT_URL names no broker, as http://…/BROKER/callback does; \
                    write it there, or configure [[brokers]]";
                draft.problem(place, problem);
            }
        }
    }

    fn nowhere(&self) -> Place {
        Place::in_file(&self.file, "", 0)
    }
}

/// `zerodha` of `http://127.0.0.1:5000/zerodha/callback`.
fn broker_of(url: &str) -> Option<String> {
    let (before, _) = url.trim_end_matches('/').rsplit_once("/callback")?;
    let (_, name) = before.rsplit_once('/')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_lowercase())
}

fn set(draft: &mut Draft, key: &'static str, place: Place, text: &str) {
    let (section, name) = key.split_once('.').expect("a section and a name");
    let known = draft.set(section, name, place, |slot| slot.read(text));
    assert!(known, "there is no key {key}");
}

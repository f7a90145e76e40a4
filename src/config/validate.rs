//! What a configuration must satisfy beyond the type of each value.

mod admin;
mod audit;
mod brokers;
mod channels;
mod limits;
mod log;
mod market;
mod tls;

pub use log::bad_log_filter;

use std::collections::BTreeMap;

use super::address::Address;
use super::origin::Origin;
use super::schema::KEYS;
use super::{Auth, Config};

/// Something that is wrong, and the keys that have to do with it, the likeliest first.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) keys: Vec<String>,
    pub(super) message: String,
}

/// Everything that is wrong with `config`, wherever its values came from.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    found.ranges(config);
    found.addresses(config);
    found.tls(&config.server);
    found.auth(&config.auth);
    found.admin_socket(&config.admin);
    found.audit(&config.audit);
    found.bus(config);
    found.feed(&config.feed);
    found.markets(config);
    found.limits(config);
    found.roles(config);
    found.broker_times(config);
    found.brokers(config);
    found.channels(config);
    found.log(&config.log.level);
    found.0
}

/// What is wrong with letting others than this machine in. Asked where keys come from files; a
/// gateway that is handed its keys has no use for it.
pub(super) fn exposure(config: &Config, demo_key_is_explicit: bool) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    let listen = &config.server.listen;
    let auth = &config.auth;
    let files = [&auth.keys_file, &auth.jwt_keys_file, &auth.openalgo_database];
    let knows_strangers = files.into_iter().any(Option::is_some);
    if !knows_strangers && !config.auth.demo_key {
        found.add(
            &["auth.demo_key"],
            "`auth.demo_key` is false and `auth.keys_file` is not set, so nobody could log in: \
             make a key with `tickgate keys new USER` and set `auth.keys_file`",
        );
        return found.0;
    }
    if Address::parse(listen).is_ok_and(|address| !address.is_loopback()) {
        if config.auth.demo_key && demo_key_is_explicit {
            found.add(
                &["auth.demo_key", "server.listen"],
                format!(
                    "`auth.demo_key` is true while `server.listen` is {listen}: everybody knows \
                     the demo key, so set it to false or listen on 127.0.0.1"
                ),
            );
        }
        if !knows_strangers {
            found.add(
                &["server.listen"],
                format!(
                    "`server.listen` is {listen}, beyond this machine, but nobody there could log \
                     in: make a key with `tickgate keys new USER` and set `auth.keys_file`"
                ),
            );
        }
    }
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, keys: &[&str], message: impl Into<String>) {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self.0.push(Finding { keys, message: message.into() });
    }

    fn ranges(&mut self, config: &Config) {
        let mut copy = config.clone();
        for key in KEYS {
            if let Some(message) = key.slot.out_of_range(&mut copy) {
                let key = format!("{}.{}", key.section, key.name);
                self.add(&[&key], format!("`{key}` {message}"));
            }
        }
    }

    fn addresses(&mut self, config: &Config) {
        let mut listeners: BTreeMap<Address, &str> = BTreeMap::new();
        self.listener("server.listen", &config.server.listen, &mut listeners);
        if !config.admin.listen.is_empty() {
            let address = self.listener("admin.listen", &config.admin.listen, &mut listeners);
            if address.is_some_and(|address| !address.is_loopback()) {
                self.add(
                    &["admin.listen"],
                    format!(
                        "`admin.listen` must be on loopback, as 127.0.0.1:8766, because it asks \
                         nobody who they are; got {:?}",
                        config.admin.listen
                    ),
                );
            }
        }
        for text in &config.bus.bind {
            if let Some(address) = self.endpoint("bus.bind", text, 0) {
                self.once("bus.bind", address, &mut listeners);
            }
        }
        let mut publishers = BTreeMap::new();
        for text in &config.bus.connect {
            if let Some(address) = self.endpoint("bus.connect", text, 1) {
                self.once("bus.connect", address, &mut publishers);
            }
        }
    }

    fn auth(&mut self, auth: &Auth) {
        for (key, path) in [
            ("auth.keys_file", &auth.keys_file),
            ("auth.jwt_keys_file", &auth.jwt_keys_file),
            ("auth.openalgo_database", &auth.openalgo_database),
        ] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                self.add(&[key], format!("`{key}` is empty; leave it out instead"));
            }
        }
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if auth.cookie.is_empty() || !auth.cookie.chars().all(of_name) {
            let cookie = &auth.cookie;
            self.add(
                &["auth.cookie"],
                format!("`auth.cookie` must be letters, digits, `_`, `-` and `.`, got {cookie:?}"),
            );
        }
        for origin in auth.origins.iter().filter(|origin| *origin != "*") {
            if let Err(error) = Origin::parse(origin) {
                self.add(&["auth.origins"], format!("`auth.origins`: {error}, got {origin:?}"));
            }
        }
        if auth.jwt_user_claim.is_empty() {
            self.add(
                &["auth.jwt_user_claim"],
                "`auth.jwt_user_claim` is empty, so no JWT could name its user; leave it out for \
                 \"sub\"",
            );
        }
    }

    fn listener<'a>(
        &mut self,
        key: &'a str,
        text: &str,
        others: &mut BTreeMap<Address, &'a str>,
    ) -> Option<Address> {
        match Address::parse(text) {
            Ok(address) => {
                self.once(key, address.clone(), others);
                Some(address)
            }
            Err(reason) => {
                self.add(
                    &[key],
                    format!(
                        "`{key}` must be host:port, as 127.0.0.1:8765, got {text:?} ({reason})"
                    ),
                );
                None
            }
        }
    }

    /// The address of an endpoint whose port is at least `port_min`.
    fn endpoint(&mut self, key: &str, text: &str, port_min: u16) -> Option<Address> {
        let why = match Address::parse_tcp(text) {
            Ok(address) if address.port >= port_min => return Some(address),
            Ok(_) => "port 0 cannot be connected to".to_owned(),
            Err(reason) => reason.to_string(),
        };
        self.add(
            &[key],
            format!(
                "`{key}` must be tcp://host:port, as tcp://127.0.0.1:5555, got {text:?} ({why})"
            ),
        );
        None
    }

    /// Two sockets cannot have one address.
    fn once<'a>(
        &mut self,
        key: &'a str,
        address: Address,
        others: &mut BTreeMap<Address, &'a str>,
    ) {
        if address.port == 0 {
            return;
        }
        match others.get(&address) {
            Some(other) if *other == key => {
                self.add(&[key], format!("`{key}` names {address} twice"));
            }
            Some(other) => {
                self.add(&[key, other], format!("`{other}` and `{key}` are both {address}"));
            }
            None => {
                others.insert(address, key);
            }
        }
    }

    fn bus(&mut self, config: &Config) {
        let bus = &config.bus;
        self.ordered("bus.reconnect", bus.reconnect_min_ms, bus.reconnect_max_ms);
        if bus.bind.is_empty() && bus.connect.is_empty() {
            self.add(
                &["bus.bind", "bus.connect"],
                "`bus.bind` and `bus.connect` are both empty, so no tick could ever come in",
            );
        } else if let Some(broker) = config.broker_inside().filter(|_| bus.bind.is_empty()) {
            let kind = broker.kind.word();
            self.add(
                &["bus.bind"],
                format!(
                    "`bus.bind` is empty, but the {kind} broker publishes to the address bound there"
                ),
            );
        }
        for name in &bus.two_segment_exchanges {
            let is_segment = |text: &str| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            };
            let fits = name
                .split_once('_')
                .is_some_and(|(first, second)| is_segment(first) && is_segment(second));
            if !fits {
                self.add(
                    &["bus.two_segment_exchanges"],
                    format!(
                        "`bus.two_segment_exchanges` takes names of two segments, as NSE_INDEX, \
                         got {name:?}"
                    ),
                );
            }
        }
    }

    fn broker_times(&mut self, config: &Config) {
        self.ordered("broker.retry", config.broker.retry_min_ms, config.broker.retry_max_ms);
    }

    fn ordered(&mut self, stem: &str, min: u64, max: u64) {
        self.at_most((&format!("{stem}_min_ms"), min), (&format!("{stem}_max_ms"), max));
    }

    /// Two times, of which the first may not be longer.
    fn at_most(&mut self, (low, min): (&str, u64), (high, max): (&str, u64)) {
        if min > max {
            self.add(
                &[low, high],
                format!("`{low}` ({min} ms) is greater than `{high}` ({max} ms)"),
            );
        }
    }
}

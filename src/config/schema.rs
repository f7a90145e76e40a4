//! Every key: its section, its name, what it holds and its limits.

use super::broker::{BROKER_KEYS, BROKERS};
use super::channel::{CHANNEL, CHANNEL_KEYS};
use super::market::{MARKET, MARKET_KEYS};
use super::value::Slot;
use super::{BUS_SUBSCRIBES, Config, PROFILES, SHARDS_MAX};

/// One key of a section.
#[derive(Debug)]
pub(super) struct Key<T> {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) slot: Slot<T>,
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const MIB: usize = 1_048_576;

/// Every key outside `[[brokers]]`, in the order of the example file.
pub(super) const KEYS: &[Key<Config>] = &[
    key("server", "listen", Slot::Text(|c| &mut c.server.listen)),
    key("server", "tls_certificate", Slot::MaybePath(|c| &mut c.server.tls_certificate)),
    key("server", "tls_key", Slot::MaybePath(|c| &mut c.server.tls_key)),
    key("server", "handshake_timeout_ms", millis(|c| &mut c.server.handshake_timeout_ms)),
    key("server", "auth_timeout_ms", millis(|c| &mut c.server.auth_timeout_ms)),
    key("server", "close_timeout_ms", millis(|c| &mut c.server.close_timeout_ms)),
    key("server", "drain_timeout_ms", millis(|c| &mut c.server.drain_timeout_ms)),
    key("server", "ping_interval_ms", millis(|c| &mut c.server.ping_interval_ms)),
    key("server", "silence_timeout_ms", millis(|c| &mut c.server.silence_timeout_ms)),
    key("server", "shards", Slot::Count(|c| &mut c.server.shards, 0..=SHARDS_MAX)),
    key("limits", "profile", Slot::Choice(|c| &mut c.limits.profile, PROFILES)),
    key("limits", "clients_max", Slot::Count(|c| &mut c.limits.clients_max, 1..=1_000_000)),
    key(
        "limits",
        "connections_per_address_max",
        Slot::Count(|c| &mut c.limits.connections_per_address_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "clients_per_user_max",
        Slot::Count(|c| &mut c.limits.clients_per_user_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "message_bytes_max",
        Slot::Bytes(|c| &mut c.limits.message_bytes_max, 1_024..=16 * MIB),
    ),
    key(
        "limits",
        "messages_per_minute_max",
        Slot::Count(|c| &mut c.limits.messages_per_minute_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "message_burst_max",
        Slot::Count(|c| &mut c.limits.message_burst_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "bytes_per_minute_max",
        Slot::Bytes(|c| &mut c.limits.bytes_per_minute_max, 1_024..=1_024 * MIB),
    ),
    key(
        "limits",
        "requests_in_flight_max",
        Slot::Count(|c| &mut c.limits.requests_in_flight_max, 1..=65_536),
    ),
    key(
        "limits",
        "subscriptions_per_client_max",
        Slot::Count(|c| &mut c.limits.subscriptions_per_client_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "subscriptions_per_user_max",
        Slot::Count(|c| &mut c.limits.subscriptions_per_user_max, 1..=10_000_000),
    ),
    key(
        "limits",
        "auth_failures_per_address_max",
        Slot::Count(|c| &mut c.limits.auth_failures_per_address_max, 1..=1_000_000),
    ),
    key(
        "limits",
        "symbols_per_request_max",
        Slot::Count(|c| &mut c.limits.symbols_per_request_max, 1..=100_000),
    ),
    key(
        "limits",
        "json_elements_max",
        Slot::Count(|c| &mut c.limits.json_elements_max, 16..=10_000_000),
    ),
    key("limits", "name_bytes_max", Slot::Bytes(|c| &mut c.limits.name_bytes_max, 1..=256)),
    key("limits", "trusted_proxies", Slot::List(|c| &mut c.limits.trusted_proxies)),
    key("conduct", "warn_at", Slot::Count(|c| &mut c.conduct.warn_at, 1..=1_000_000)),
    key("conduct", "throttle_at", Slot::Count(|c| &mut c.conduct.throttle_at, 1..=1_000_000)),
    key("conduct", "close_at", Slot::Count(|c| &mut c.conduct.close_at, 1..=1_000_000)),
    key(
        "conduct",
        "decay_per_minute",
        Slot::Count(|c| &mut c.conduct.decay_per_minute, 1..=1_000_000),
    ),
    key("conduct", "throttle_ms", millis(|c| &mut c.conduct.throttle_ms)),
    key("conduct", "strikes_max", Slot::Count(|c| &mut c.conduct.strikes_max, 0..=1_000_000)),
    key("conduct", "block_ms", Slot::Millis(|c| &mut c.conduct.block_ms, 1..=DAY_MS)),
    key("conduct", "block_max_ms", Slot::Millis(|c| &mut c.conduct.block_max_ms, 1..=DAY_MS)),
    key("conduct", "memory_ms", Slot::Millis(|c| &mut c.conduct.memory_ms, 1..=DAY_MS)),
    key("conduct", "remembered_max", Slot::Count(|c| &mut c.conduct.remembered_max, 1..=1_000_000)),
    key("conduct", "auth_delay_ms", millis(|c| &mut c.conduct.auth_delay_ms)),
    key("conduct", "auth_delay_max_ms", millis(|c| &mut c.conduct.auth_delay_max_ms)),
    key("outbox", "ticks_max", Slot::Count(|c| &mut c.outbox.ticks_max, 1..=1_048_576)),
    key(
        "outbox",
        "tick_bytes_max",
        Slot::Bytes(|c| &mut c.outbox.tick_bytes_max, 4_096..=1_024 * MIB),
    ),
    key(
        "outbox",
        "latest_bytes_max",
        Slot::Bytes(|c| &mut c.outbox.latest_bytes_max, 4_096..=1_024 * MIB),
    ),
    key(
        "outbox",
        "control_bytes_max",
        Slot::Bytes(|c| &mut c.outbox.control_bytes_max, 4_096..=1_024 * MIB),
    ),
    key(
        "outbox",
        "write_bytes_max",
        Slot::Bytes(|c| &mut c.outbox.write_bytes_max, 1_024..=16 * MIB),
    ),
    key("outbox", "stall_timeout_ms", millis(|c| &mut c.outbox.stall_timeout_ms)),
    key("outbox", "batch_window_ms", Slot::Millis(|c| &mut c.outbox.batch_window_ms, 0..=1_000)),
    key("ticks", "seq", Slot::Flag(|c| &mut c.ticks.seq)),
    key("ticks", "snapshot", Slot::Flag(|c| &mut c.ticks.snapshot)),
    key("bus", "bind", Slot::List(|c| &mut c.bus.bind)),
    key("bus", "connect", Slot::List(|c| &mut c.bus.connect)),
    key("bus", "subscribe", Slot::Choice(|c| &mut c.bus.subscribe, BUS_SUBSCRIBES)),
    key("bus", "prefixes", Slot::List(|c| &mut c.bus.prefixes)),
    key("bus", "source_window_ms", millis(|c| &mut c.bus.source_window_ms)),
    key(
        "bus",
        "heartbeat_interval_ms",
        // ZMTP carries three times as much in 16 bits of tenths of a second.
        Slot::Millis(|c| &mut c.bus.heartbeat_interval_ms, 1..=1_800_000),
    ),
    key("bus", "handshake_timeout_ms", millis(|c| &mut c.bus.handshake_timeout_ms)),
    key("bus", "reconnect_min_ms", millis(|c| &mut c.bus.reconnect_min_ms)),
    key("bus", "reconnect_max_ms", millis(|c| &mut c.bus.reconnect_max_ms)),
    key("bus", "frame_bytes_max", Slot::Bytes(|c| &mut c.bus.frame_bytes_max, 1_024..=256 * MIB)),
    key("bus", "waiting_ticks_max", Slot::Count(|c| &mut c.bus.waiting_ticks_max, 1..=MIB)),
    key("bus", "two_segment_exchanges", Slot::List(|c| &mut c.bus.two_segment_exchanges)),
    key("feed", "status", Slot::Flag(|c| &mut c.feed.status)),
    key("feed", "stale_after_ms", Slot::Millis(|c| &mut c.feed.stale_after_ms, 100..=DAY_MS)),
    key("feed", "stale_max_ms", Slot::Millis(|c| &mut c.feed.stale_max_ms, 100..=DAY_MS)),
    key("feed", "stale_min_ms", Slot::Millis(|c| &mut c.feed.stale_min_ms, 100..=DAY_MS)),
    key("feed", "stale_factor", Slot::Count(|c| &mut c.feed.stale_factor, 2..=100)),
    key("admin", "listen", Slot::Text(|c| &mut c.admin.listen)),
    key("admin", "socket", Slot::Text(|c| &mut c.admin.socket)),
    key("admin", "stats_file", Slot::MaybePath(|c| &mut c.admin.stats_file)),
    key("auth", "keys_file", Slot::MaybePath(|c| &mut c.auth.keys_file)),
    key("auth", "demo_key", Slot::Flag(|c| &mut c.auth.demo_key)),
    key("auth", "jwt_keys_file", Slot::MaybePath(|c| &mut c.auth.jwt_keys_file)),
    key("auth", "jwt_issuer", Slot::MaybeText(|c| &mut c.auth.jwt_issuer)),
    key("auth", "jwt_audience", Slot::MaybeText(|c| &mut c.auth.jwt_audience)),
    key("auth", "jwt_leeway_ms", Slot::Millis(|c| &mut c.auth.jwt_leeway_ms, 0..=300_000)),
    key("auth", "jwt_user_claim", Slot::Text(|c| &mut c.auth.jwt_user_claim)),
    key("auth", "jwt_role_max", Slot::Role(|c| &mut c.auth.jwt_role_max)),
    key("auth", "openalgo_database", Slot::MaybePath(|c| &mut c.auth.openalgo_database)),
    key("auth", "openalgo_pepper_variable", Slot::Text(|c| &mut c.auth.openalgo_pepper_variable)),
    key("auth", "openalgo_checks_max", Slot::Count(|c| &mut c.auth.openalgo_checks_max, 1..=64)),
    key("auth", "ws_token_ttl_ms", Slot::Millis(|c| &mut c.auth.ws_token_ttl_ms, 1_000..=300_000)),
    key("auth", "cookie", Slot::Text(|c| &mut c.auth.cookie)),
    key("auth", "origins", Slot::List(|c| &mut c.auth.origins)),
    key("roles", "anonymous_allow", Slot::List(|c| &mut c.roles.anonymous_allow)),
    key(
        "roles",
        "anonymous_subscriptions_max",
        role_limit(|c| &mut c.roles.anonymous_subscriptions_max),
    ),
    key("roles", "viewer_allow", Slot::List(|c| &mut c.roles.viewer_allow)),
    key("roles", "viewer_subscriptions_max", role_limit(|c| &mut c.roles.viewer_subscriptions_max)),
    key("roles", "trader_allow", Slot::List(|c| &mut c.roles.trader_allow)),
    key("roles", "trader_subscriptions_max", role_limit(|c| &mut c.roles.trader_subscriptions_max)),
    key("roles", "analyst_allow", Slot::List(|c| &mut c.roles.analyst_allow)),
    key(
        "roles",
        "analyst_subscriptions_max",
        role_limit(|c| &mut c.roles.analyst_subscriptions_max),
    ),
    key("roles", "admin_allow", Slot::List(|c| &mut c.roles.admin_allow)),
    key("roles", "admin_subscriptions_max", role_limit(|c| &mut c.roles.admin_subscriptions_max)),
    key("roles", "super_admin_allow", Slot::List(|c| &mut c.roles.super_admin_allow)),
    key(
        "roles",
        "super_admin_subscriptions_max",
        role_limit(|c| &mut c.roles.super_admin_subscriptions_max),
    ),
    key("broker", "connect_timeout_ms", millis(|c| &mut c.broker.connect_timeout_ms)),
    key("broker", "answer_timeout_ms", millis(|c| &mut c.broker.answer_timeout_ms)),
    key("broker", "request_timeout_ms", millis(|c| &mut c.broker.request_timeout_ms)),
    key("broker", "retry_min_ms", millis(|c| &mut c.broker.retry_min_ms)),
    key("broker", "retry_max_ms", millis(|c| &mut c.broker.retry_max_ms)),
    key("broker", "supported", Slot::List(|c| &mut c.broker.supported)),
    key("audit", "file", Slot::MaybePath(|c| &mut c.audit.file)),
    key(
        "audit",
        "rotate_bytes_max",
        Slot::Bytes(|c| &mut c.audit.rotate_bytes_max, 4_096..=1_024 * MIB),
    ),
    key("audit", "rotate_age_ms", Slot::Millis(|c| &mut c.audit.rotate_age_ms, 1..=366 * DAY_MS)),
    key("audit", "files_max", Slot::Count(|c| &mut c.audit.files_max, 1..=1_000)),
    key("log", "level", Slot::Text(|c| &mut c.log.level)),
    key("log", "json", Slot::Flag(|c| &mut c.log.json)),
];

/// The names of all sections, each once.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections.extend(ARRAYS);
    sections
}

/// The sections that are arrays of tables.
pub(super) const ARRAYS: [&str; 3] = [BROKERS, CHANNEL, MARKET];

/// The names of a section's keys.
pub(super) fn names(section: &str) -> Vec<&'static str> {
    let plain = KEYS.iter().map(|key| (key.section, key.name));
    plain.chain(entry_keys()).filter(|(of, _)| *of == section).map(|(_, name)| name).collect()
}

/// Section and name of every key of every array of tables.
pub(super) fn entry_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    let brokers = BROKER_KEYS.iter().map(|key| (key.section, key.name));
    let channels = CHANNEL_KEYS.iter().map(|key| (key.section, key.name));
    let markets = MARKET_KEYS.iter().map(|key| (key.section, key.name));
    brokers.chain(channels).chain(markets)
}

pub(super) const fn key<T>(section: &'static str, name: &'static str, slot: Slot<T>) -> Key<T> {
    Key { section, name, slot }
}

const fn role_limit(at: fn(&mut Config) -> &mut usize) -> Slot<Config> {
    Slot::Count(at, 0..=1_000_000)
}

const fn millis(at: fn(&mut Config) -> &mut u64) -> Slot<Config> {
    Slot::Millis(at, 1..=HOUR_MS)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{
        BrokerEntry, BrokerKind, ChannelEntry, ChannelKind, MarketEntry, Quirks, ReplayStart,
    };

    /// A configuration in which every optional value is there.
    fn full() -> Config {
        let mut config = Config::default();
        config.server.tls_certificate = Some(PathBuf::from("certificate.pem"));
        config.server.tls_key = Some(PathBuf::from("key.pem"));
        config.auth.keys_file = Some(PathBuf::from("keys.toml"));
        config.auth.jwt_keys_file = Some(PathBuf::from("jwks.json"));
        config.auth.openalgo_database = Some(PathBuf::from("openalgo.db"));
        config.admin.stats_file = Some(PathBuf::from("stats.json"));
        config.audit.file = Some(PathBuf::from("audit.jsonl"));
        config.auth.jwt_issuer = Some("issuer".into());
        config.auth.jwt_audience = Some("audience".into());
        config.brokers.push(BrokerEntry {
            name: "a".into(),
            kind: BrokerKind::Paper,
            address: Some("tcp://a:1".into()),
            seed: Some(1),
            ticks_per_second: Some(1.0),
            file: Some(PathBuf::from("market.tick")),
            speed: Some(1.0),
            repeat: Some(true),
            from_ms: Some(1),
            start: Some(ReplayStart::Gateway),
            start_delay_ms: Some(1),
            quirks: Quirks { calls_per_second: Some(1.0), ..Quirks::default() },
        });
        config.channel.push(ChannelEntry {
            broker: Some("a".into()),
            user: Some("u".into()),
            ..ChannelEntry::new("/", ChannelKind::Broadcast)
        });
        config.market.push(MarketEntry {
            exchanges: vec!["NSE".into()],
            utc_offset: "+05:30".into(),
            days: vec!["mon".into()],
            open: "09:15".into(),
            close: "15:30".into(),
            holidays: Vec::new(),
            stale_after_ms: Some(1),
        });
        config
    }

    #[test]
    fn the_schema_names_exactly_the_keys_of_the_structs() {
        let value = toml::Table::try_from(full()).expect("serializes");
        let mut keys = Vec::new();
        for (section, value) in &value {
            let table = match value {
                toml::Value::Array(entries) => entries[0].as_table(),
                other => other.as_table(),
            };
            keys.extend(table.expect("a table").keys().map(|name| format!("{section}.{name}")));
        }
        keys.sort();

        let mut schema: Vec<_> = sections()
            .into_iter()
            .flat_map(|section| names(section).into_iter().map(move |n| format!("{section}.{n}")))
            .collect();
        schema.sort();
        assert_eq!(schema, keys);
    }
}

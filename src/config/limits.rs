//! `[limits]` and `[conduct]`: how much clients may ask, and what is done with those who ask more.

use serde::{Deserialize, Serialize};

/// `[limits]`
///
/// What depends on the profile is shown as `local` has it; see [`Limits::public`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Where the limits that are not set come from: [`PROFILES`].
    pub profile: String,
    /// Connections in all; further ones are turned away with HTTP 503.
    pub clients_max: usize,
    /// Connections from one IPv4 address or one IPv6 /64; further ones are turned away with HTTP
    /// 429. Depends on the profile.
    pub connections_per_address_max: usize,
    /// Authenticated connections of one user. Depends on the profile.
    pub clients_per_user_max: usize,
    /// Bytes of one message from a client; a larger one closes it with 1009.
    pub message_bytes_max: usize,
    /// Messages of one client a minute. Depends on the profile.
    pub messages_per_minute_max: usize,
    /// Messages that one client may send at once after a silence. Depends on the profile.
    pub message_burst_max: usize,
    /// Bytes that one client may send a minute. Depends on the profile.
    pub bytes_per_minute_max: usize,
    /// Requests of one client that wait for their answer; beyond, its socket is not read.
    pub requests_in_flight_max: usize,
    /// Topics that one client may hold. Depends on the profile.
    pub subscriptions_per_client_max: usize,
    /// Topics that the clients of one user may hold together, each counted for each client.
    /// Depends on the profile.
    pub subscriptions_per_user_max: usize,
    /// Failed authentications from one address before further ones have to wait. Depends on the
    /// profile.
    pub auth_failures_per_address_max: usize,
    /// Entries in one request's `symbols`.
    pub symbols_per_request_max: usize,
    /// Values in one message: those of arrays and objects, which count too.
    pub json_elements_max: usize,
    /// Bytes of an exchange or symbol name.
    pub name_bytes_max: usize,
    /// Networks of proxies whose `X-Forwarded-For` is believed, as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
}

/// Whose limits hold where none is set: those for programs of one machine, those for the world, or
/// the first on loopback and else the second.
pub const PROFILES: &[&str] = &["auto", "local", "public"];

/// `[conduct]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conduct {
    /// Threat level from which on a client's refusals are warnings.
    pub warn_at: usize,
    /// Threat level from which on a client that breaks a rule is not read for a while.
    pub throttle_at: usize,
    /// Threat level at which a client is closed with 4429.
    pub close_at: usize,
    /// How far a threat level falls in a minute.
    pub decay_per_minute: usize,
    /// How long a throttled client is not read.
    pub throttle_ms: u64,
    /// Clients of one address closed with 4429 before it is blocked; 0: it never is.
    pub strikes_max: usize,
    /// How long an address that breaks rules is blocked; doubles with each further block.
    pub block_ms: u64,
    /// The longest block that nobody has asked for.
    pub block_max_ms: u64,
    /// How long failed authentications, strikes and blocks of an address are remembered after the
    /// last of them.
    pub memory_ms: u64,
    /// Blocks, and addresses remembered, at a time; beyond, the oldest makes room.
    pub remembered_max: usize,
    /// How long an address with too many failed authentications waits for its next one; doubles
    /// with each further failure.
    pub auth_delay_ms: u64,
    /// The longest such wait.
    pub auth_delay_max_ms: u64,
}

impl Limits {
    /// The limits for programs of one machine, which share its address.
    #[must_use]
    pub fn local() -> Self {
        Self {
            profile: "auto".into(),
            clients_max: 20_000,
            connections_per_address_max: 500,
            clients_per_user_max: 100,
            message_bytes_max: 65_536,
            messages_per_minute_max: 1_200,
            message_burst_max: 300,
            bytes_per_minute_max: 16_777_216,
            requests_in_flight_max: 64,
            subscriptions_per_client_max: 1_000,
            subscriptions_per_user_max: 20_000,
            auth_failures_per_address_max: 100,
            symbols_per_request_max: 1_000,
            json_elements_max: 10_000,
            name_bytes_max: 64,
            trusted_proxies: Vec::new(),
        }
    }

    /// The limits for clients from anywhere.
    #[must_use]
    pub fn public() -> Self {
        Self {
            connections_per_address_max: 10,
            clients_per_user_max: 5,
            messages_per_minute_max: 60,
            message_burst_max: 60,
            bytes_per_minute_max: 1_048_576,
            subscriptions_per_client_max: 100,
            subscriptions_per_user_max: 500,
            auth_failures_per_address_max: 10,
            ..Self::local()
        }
    }

    /// Takes the public profile's value for each limit of which `is_set` says that it was not set.
    pub(super) fn publish(&mut self, is_set: impl Fn(&str) -> bool) {
        let public = Self::public();
        let mut take = |name, at: fn(&mut Self) -> &mut usize, value: usize| {
            if !is_set(name) {
                *at(self) = value;
            }
        };
        take(
            "connections_per_address_max",
            |l| &mut l.connections_per_address_max,
            public.connections_per_address_max,
        );
        take("clients_per_user_max", |l| &mut l.clients_per_user_max, public.clients_per_user_max);
        take(
            "messages_per_minute_max",
            |l| &mut l.messages_per_minute_max,
            public.messages_per_minute_max,
        );
        take("message_burst_max", |l| &mut l.message_burst_max, public.message_burst_max);
        take("bytes_per_minute_max", |l| &mut l.bytes_per_minute_max, public.bytes_per_minute_max);
        take(
            "subscriptions_per_client_max",
            |l| &mut l.subscriptions_per_client_max,
            public.subscriptions_per_client_max,
        );
        take(
            "subscriptions_per_user_max",
            |l| &mut l.subscriptions_per_user_max,
            public.subscriptions_per_user_max,
        );
        take(
            "auth_failures_per_address_max",
            |l| &mut l.auth_failures_per_address_max,
            public.auth_failures_per_address_max,
        );
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::local()
    }
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            warn_at: 20,
            throttle_at: 40,
            close_at: 120,
            decay_per_minute: 60,
            throttle_ms: 1_000,
            strikes_max: 3,
            block_ms: 60_000,
            block_max_ms: 3_600_000,
            memory_ms: 600_000,
            remembered_max: 10_000,
            auth_delay_ms: 1_000,
            auth_delay_max_ms: 60_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_takes_every_limit_of_the_public_profile_but_those_that_are_set() {
        let mut limits = Limits::local();
        limits.publish(|_| false);
        assert_eq!(limits, Limits::public());
        let mut limits = Limits { message_burst_max: 7, ..Limits::local() };
        limits.publish(|name| name == "message_burst_max");
        assert_eq!(limits, Limits { message_burst_max: 7, ..Limits::public() });
    }
}

//! What the limits, and what is done at them, must satisfy together.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Findings;
use crate::config::{Action, Config};
use crate::topic::Role;

impl Findings {
    pub(super) fn roles(&mut self, config: &Config) {
        for role in Role::ALL {
            let key = format!("roles.{role}_allow");
            for word in config.roles.of(role).0 {
                if Action::from_word(word).is_none() {
                    let words = Action::ALL.map(Action::word).join(", ");
                    self.add(&[&key], format!("`{key}` takes {words}, got {word:?}"));
                }
            }
        }
    }

    pub(super) fn limits(&mut self, config: &Config) {
        let (limits, conduct, server) = (&config.limits, &config.conduct, &config.server);
        for text in &limits.trusted_proxies {
            if text.parse::<IpNet>().is_err() && text.parse::<IpAddr>().is_err() {
                self.add(
                    &["limits.trusted_proxies"],
                    format!(
                        "`limits.trusted_proxies` takes addresses and networks, as 10.0.0.0/8, got \
                         {text:?}"
                    ),
                );
            }
        }
        let levels = [
            ("warn_at", conduct.warn_at),
            ("throttle_at", conduct.throttle_at),
            ("close_at", conduct.close_at),
        ];
        for pair in levels.windows(2) {
            let [(low, at), (high, next)] = pair else { continue };
            if at > next {
                let (low, high) = (format!("conduct.{low}"), format!("conduct.{high}"));
                self.add(
                    &[&low, &high],
                    format!("`{low}` ({at}) is greater than `{high}` ({next})"),
                );
            }
        }
        self.at_most(
            ("conduct.block_ms", conduct.block_ms),
            ("conduct.block_max_ms", conduct.block_max_ms),
        );
        self.at_most(
            ("conduct.auth_delay_ms", conduct.auth_delay_ms),
            ("conduct.auth_delay_max_ms", conduct.auth_delay_max_ms),
        );
        self.at_most(
            ("server.ping_interval_ms", server.ping_interval_ms),
            ("server.silence_timeout_ms", server.silence_timeout_ms),
        );
    }
}

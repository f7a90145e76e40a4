//! Which broker host.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The only one on the network, as traces call it too.
const ONLY_HOST: &str = "broker";
/// The only one in the gateway's configuration.
const ONLY_NAME: &str = "simbroker";
/// Where each listens.
const PORT: u16 = 5560;

/// A broker host: the only one of its world, or one of several, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub struct BrokerHost(Option<Arc<str>>);

impl BrokerHost {
    /// The only one of its world.
    pub const ONLY: Self = Self(None);

    /// One of several.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Some(name.into()))
    }

    /// The one that is reached at `host:port`.
    #[must_use]
    pub fn at(addr: &str) -> Self {
        match addr.rsplit_once(':').map_or(addr, |(host, _)| host) {
            ONLY_HOST => Self::ONLY,
            name => Self::named(name),
        }
    }

    /// Whether there is no other.
    #[must_use]
    pub const fn is_only(&self) -> bool {
        self.0.is_none()
    }

    /// Its host on the network.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.as_deref().unwrap_or(ONLY_HOST)
    }

    /// Its broker's name in the gateway's configuration, in answers and on the bus.
    #[must_use]
    pub fn configured(&self) -> &str {
        self.0.as_deref().unwrap_or(ONLY_NAME)
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.host())
    }

    /// Where it binds, as `host:port`: its own host as it sees itself.
    #[must_use]
    pub fn bind_address() -> String {
        format!("0.0.0.0:{PORT}")
    }
}

impl fmt::Display for BrokerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.host())
    }
}

impl From<Option<String>> for BrokerHost {
    fn from(name: Option<String>) -> Self {
        Self(name.map(Into::into))
    }
}

impl From<BrokerHost> for Option<String> {
    fn from(host: BrokerHost) -> Self {
        host.0.map(|name| name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_at_an_address_is_who_has_it() {
        for host in [BrokerHost::ONLY, BrokerHost::named("zerodha")] {
            assert_eq!(BrokerHost::at(&host.address()), host);
        }
        assert_eq!(BrokerHost::ONLY.to_string(), "broker");
        assert_eq!(BrokerHost::ONLY.configured(), "simbroker");
        assert_eq!(BrokerHost::named("zerodha").address(), "zerodha:5560");
    }
}

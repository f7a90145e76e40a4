//! Whether clients may be sent here.

use super::{BrokerState, GatewayState, Status};

impl Status {
    /// What an operator should know although clients may be sent here.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let shedding = "more ticks come than can be delivered: topics are conflated";
        let silent = "the feed of a broker is silent although markets are open";
        [(self.feed.shedding, shedding), (!self.feed.silent_brokers.is_empty(), silent)]
            .into_iter()
            .filter_map(|(holds, warning)| holds.then_some(warning))
            .collect()
    }

    /// Why clients should not be sent here now; empty if they may.
    ///
    /// A gateway is ready when its sockets are bound and none of its brokers is down.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let own = match self.gateway.state {
            GatewayState::Ready => None,
            GatewayState::Starting => Some("gateway is starting".to_owned()),
            GatewayState::Draining => Some("gateway is draining".to_owned()),
        };
        let down = self.brokers.iter().filter(|broker| broker.state == BrokerState::Down);
        own.into_iter()
            .chain(down.map(|broker| format!("broker {} is down", broker.name)))
            .collect()
    }
}

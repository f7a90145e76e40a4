//! Ports on loopback that nobody else is given.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::actors::{ADMIN_ADDR, BUS_ADDR, WEBSOCKET_ADDR};
use crate::broker_host::BrokerHost;
use crate::plan::Plan;
use crate::runtime::loopback::Loopback;

/// Where everybody is.
///
/// Each port is bound here and never listened on: the system gives it to nobody who asks for any
/// port, and lets those listen who ask for this one, as often as they start again. While nobody
/// does, connecting is refused.
pub(super) struct Places {
    pub websocket: SocketAddr,
    pub bus: SocketAddr,
    pub admin: SocketAddr,
    pub brokers: BTreeMap<BrokerHost, SocketAddr>,
    /// By `host:port`, as actors call them.
    named: BTreeMap<String, SocketAddr>,
    _bound: Vec<Socket>,
}

impl Places {
    pub fn reserve(plan: &Plan) -> io::Result<Self> {
        let [(a, websocket), (b, bus), (c, admin)] = [reserve()?, reserve()?, reserve()?];
        let named = [(WEBSOCKET_ADDR, websocket), (BUS_ADDR, bus), (ADMIN_ADDR, admin)];
        let named = named.map(|(name, place)| (name.to_owned(), place)).into();
        let (mut bound, mut brokers) = (vec![a, b, c], BTreeMap::new());
        for broker in plan.brokers() {
            let (socket, place) = reserve()?;
            bound.push(socket);
            brokers.insert(broker.host.clone(), place);
        }
        Ok(Self { websocket, bus, admin, brokers, named, _bound: bound })
    }

    /// The places as everybody knows them; `broker`: as this host sees its own.
    pub fn loopback(&self, broker: Option<&BrokerHost>) -> Loopback {
        let mut named = self.named.clone();
        let own = broker.and_then(|host| self.brokers.get(host));
        named.extend(own.map(|place| (BrokerHost::bind_address(), *place)));
        Loopback::new(named)
    }
}

fn reserve() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let place = socket.local_addr()?.as_socket();
    Ok((socket, place.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

#[cfg(test)]
mod tests {
    use tickgate::runtime::{Runtime as _, TokioRuntime};

    use super::*;
    use crate::plan::draw;
    use crate::scenario::parse;

    #[tokio::test]
    async fn a_reserved_port_can_be_listened_on_again_and_again_and_refuses_in_between() {
        let text = "about: A.\nworld:\n  duration_ms: 9\n  users: [{ name: alice, broker: x }]\n  \
                    brokers: { x: {}, y: {} }\n";
        let plan = draw(&parse("s.yaml", text).expect("it is good"), 1);
        let places = Places::reserve(&plan).expect("there are free ports");
        let (runtime, place) = (TokioRuntime::new(), places.bus.to_string());
        for _ in 0..2 {
            assert!(runtime.connect(&place).await.is_err());
            let listener = runtime.bind(&place).await.expect("it is reserved for us");
            assert!(runtime.connect(&place).await.is_ok());
            drop(listener);
        }
        let mut all = std::collections::BTreeSet::from([places.websocket, places.bus]);
        all.extend(places.brokers.values().copied().chain([places.admin]));
        assert_eq!(all.len(), 5);
    }
}

//! Ports on loopback that nobody else is given.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::actors::{ADMIN_ADDR, BROKER_BIND_ADDR, BUS_ADDR, WEBSOCKET_ADDR};
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
    pub broker: SocketAddr,
    loopback: Loopback,
    _bound: [Socket; 4],
}

impl Places {
    pub fn reserve() -> io::Result<Self> {
        let [(a, websocket), (b, bus), (c, admin), (d, broker)] =
            [reserve()?, reserve()?, reserve()?, reserve()?];
        let places = [
            (WEBSOCKET_ADDR, websocket),
            (BUS_ADDR, bus),
            (ADMIN_ADDR, admin),
            (BROKER_BIND_ADDR, broker),
        ];
        let places: BTreeMap<_, _> =
            places.map(|(name, place)| (name.to_owned(), place)).into_iter().collect();
        let (loopback, bound) = (Loopback::new(places), [a, b, c, d]);
        Ok(Self { websocket, bus, admin, broker, loopback, _bound: bound })
    }

    pub const fn loopback(&self) -> &Loopback {
        &self.loopback
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

    #[tokio::test]
    async fn a_reserved_port_can_be_listened_on_again_and_again_and_refuses_in_between() {
        let places = Places::reserve().expect("there are free ports");
        let (runtime, place) = (TokioRuntime::new(), places.bus.to_string());
        for _ in 0..2 {
            assert!(runtime.connect(&place).await.is_err());
            let listener = runtime.bind(&place).await.expect("it is reserved for us");
            assert!(runtime.connect(&place).await.is_ok());
            drop(listener);
        }
        let all = [places.websocket, places.bus, places.admin, places.broker];
        assert_eq!(std::collections::BTreeSet::from(all).len(), 4);
    }
}

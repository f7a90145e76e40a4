//! The gateway's end of connections that faults may strike: what comes over the network of events
//! goes on over a real socket, and the other way round.

use std::net::SocketAddr;

use socket2::SockRef;
use tickgate::runtime::{Listener as _, Runtime, TaskGroup, TokioRuntime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Part, Places};
use crate::actors::{BUS_ADDR, WEBSOCKET_ADDR};
use crate::runtime::SimRuntime;
use crate::runtime::crash;
use crate::runtime::loopback::RealStream;

/// Bytes that are carried at once.
const CARRIED_BYTES: usize = 16 * 1_024;

/// Which side of a bridge broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Simulated,
    Real,
}

/// The bridges to the gateway's ports, and those from the gateway to its brokers if it needs them.
/// `gateway`: what the gateway would have of the simulated world.
pub(super) fn parts(gateway: &SimRuntime, places: &Places, to_brokers: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (name, place) in [(WEBSOCKET_ADDR, places.websocket), (BUS_ADDR, places.bus)] {
        parts.push(Box::pin(inward(gateway.clone(), name, place)));
    }
    for (host, place) in places.brokers.iter().filter(|_| to_brokers) {
        parts.push(Box::pin(outward(gateway.clone(), host.address(), *place)));
    }
    parts
}

/// From actors to the gateway.
async fn inward(gateway: SimRuntime, name: &'static str, place: SocketAddr) {
    let mut listener = match gateway.bind(name).await {
        Ok(listener) => listener,
        Err(error) => return crash::report(format!("no bridge for {name}: {error}").into()),
    };
    let group = TaskGroup::new();
    while let Ok((near, _)) = listener.accept().await {
        group.spawn(&gateway, "bridge", async move {
            // While the gateway is down the actor's end is closed at once.
            if let Ok(far) = TokioRuntime::new().connect(&place.to_string()).await {
                carry(near, far).await;
            }
        });
    }
}

/// From the gateway to a broker.
async fn outward(gateway: SimRuntime, broker: String, place: SocketAddr) {
    let mut listener = match TokioRuntime::new().bind(&place.to_string()).await {
        Ok(listener) => listener,
        Err(error) => return crash::report(format!("no bridge to the broker: {error}").into()),
    };
    let group = TaskGroup::new();
    loop {
        // A connection that was reset before it was accepted is none.
        let Ok((far, _)) = tickgate::runtime::Listener::accept(&mut listener).await else {
            continue;
        };
        let (runtime, broker) = (gateway.clone(), broker.clone());
        group.spawn(&gateway, "bridge", async move {
            match runtime.connect(&broker).await {
                Ok(near) => carry(near, far).await,
                // The system has accepted already: a refusal shows as a reset.
                Err(_) => reset(&far),
            }
        });
    }
}

/// Carries bytes both ways until both have come to their end, or one side breaks.
async fn carry(near: impl AsyncRead + AsyncWrite + Send, mut far: RealStream) {
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let broken = {
        let (mut far_read, mut far_write) = far.get_mut().split();
        let there = pump(&mut near_read, &mut far_write, Broken::Simulated, Broken::Real);
        let back = pump(&mut far_read, &mut near_write, Broken::Real, Broken::Simulated);
        tokio::try_join!(there, back).err()
    };
    if broken == Some(Broken::Simulated) {
        reset(&far);
    }
}

/// Carries bytes one way until they end; whose fault it is if they do so too early.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    reading: Broken,
    writing: Broken,
) -> Result<(), Broken> {
    let mut space = vec![0; CARRIED_BYTES];
    loop {
        let count = from.read(&mut space).await.map_err(|_| reading)?;
        if count == 0 {
            return to.shutdown().await.map_err(|_| writing);
        }
        to.write_all(&space[..count]).await.map_err(|_| writing)?;
        to.flush().await.map_err(|_| writing)?;
    }
}

/// Has the other end of a real connection see a reset when this end is dropped.
fn reset(stream: &RealStream) {
    // One that is gone already needs none.
    let _ = SockRef::from(stream.get_ref()).set_linger(Some(std::time::Duration::ZERO));
}

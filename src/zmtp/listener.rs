//! A bound address and the peers that connect to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::counters::{Counters, occasionally};
use super::fault::{Fault, StartError};
use super::link::{Link, SocketType};
use super::options::Options;
use crate::runtime::{Listener, Runtime, TaskGroup};

/// Peers that may be connected to one socket's bound addresses at once, handshakes included.
/// Further ones are closed at once, counted and logged.
pub const PEERS_MAX: usize = 1_024;

/// Pause after a failed accept, e.g. when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Room for [`PEERS_MAX`] peers.
pub(super) fn seats() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PEERS_MAX))
}

/// Binds `address` and learns the port that was chosen.
pub(super) async fn bind<R: Runtime>(
    runtime: &R,
    address: &str,
) -> Result<(R::Listener, SocketAddr), StartError> {
    let failed = |source| StartError { address: address.into(), source };
    let listener = runtime.bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Accepts peers for ever, each served by a task of its own that ends with this one.
pub(super) async fn accept_all<R, F, Fut>(
    runtime: R,
    mut listener: R::Listener,
    seats: Arc<Semaphore>,
    counters: Arc<Counters>,
    serve: F,
) where
    R: Runtime,
    F: Fn(R::Stream, SocketAddr) -> Fut + Send,
    Fut: Future<Output = ()> + Send + 'static,
{
    let peers = TaskGroup::new();
    let failures = AtomicU64::new(0);
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                    if occasionally(&counters.refused) {
                        warn!(%from, limit = PEERS_MAX, "peer refused: too many are connected");
                    }
                    continue;
                };
                let serving = serve(stream, from);
                peers.spawn(&runtime, "zmtp-peer", async move {
                    let _seat = seat;
                    serving.await;
                });
            }
            Err(error) => {
                if occasionally(&failures) {
                    warn!("cannot accept a peer: {error}");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Does the handshake with a peer that connected.
pub(super) async fn admit<R: Runtime>(
    stream: R::Stream,
    from: SocketAddr,
    own: SocketType,
    options: &Options,
    counters: &Counters,
) -> Option<Link<R::Stream>> {
    match Link::open(std::future::ready(Ok(stream)), own, options).await {
        Ok(link) => {
            debug!(%from, identity = ?link.identity, "peer connected");
            Some(link)
        }
        Err(fault) => {
            // Whoever can connect can fail at it as often as he likes.
            if counters.fault(&fault) {
                warn!(%from, "peer turned away: {fault}");
            } else {
                debug!(%from, "peer turned away: {fault}");
            }
            None
        }
    }
}

/// Counts and logs how a peer's connection ended.
pub(super) fn report(from: SocketAddr, fault: &Fault, counters: &Counters) {
    if counters.fault(fault) {
        warn!(%from, "peer disconnected: {fault}");
    } else {
        info!(%from, "peer disconnected: {fault}");
    }
}

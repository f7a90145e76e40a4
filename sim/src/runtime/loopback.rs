//! Real sockets on loopback, for actors who play for real.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tickgate::runtime::{Runtime as _, TokioRuntime};

/// A real connection.
pub type RealStream = <TokioRuntime as tickgate::runtime::Runtime>::Stream;
/// A real bound socket.
pub type RealListener = <TokioRuntime as tickgate::runtime::Runtime>::Listener;

/// Where on loopback the hosts of a world are. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Loopback(Arc<BTreeMap<String, SocketAddr>>);

impl Loopback {
    /// By `host:port`, as actors connect to it or bind it: where that really is.
    #[must_use]
    pub fn new(places: BTreeMap<String, SocketAddr>) -> Self {
        Self(Arc::new(places))
    }

    pub(super) async fn connect(&self, addr: &str) -> io::Result<RealStream> {
        TokioRuntime::new().connect(&self.place(addr)?).await
    }

    pub(super) async fn bind(&self, addr: &str) -> io::Result<RealListener> {
        TokioRuntime::new().bind(&self.place(addr)?).await
    }

    fn place(&self, addr: &str) -> io::Result<String> {
        let place = self.0.get(addr).map(ToString::to_string);
        place.ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, addr.to_owned()))
    }
}

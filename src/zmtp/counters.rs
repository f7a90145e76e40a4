//! What a socket counts, and how often it may say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::fault::Fault;

/// Counts of one socket over all of its peers, since it was started.
#[derive(Debug, Default)]
pub(super) struct Counters {
    peers: AtomicUsize,
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) heartbeat_losses: AtomicU64,
    pub(super) handshake_timeouts: AtomicU64,
    pub(super) protocol_errors: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counters {
    /// Counts a peer as connected until the guard is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        self.peers.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    /// Counts the end of a connection. Says whether to log it as a warning: the causes that a
    /// hostile peer can repeat at will are warned of ever more rarely.
    pub(super) fn fault(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Protocol(_) => occasionally(&self.protocol_errors),
            Fault::HeartbeatLost => occasionally(&self.heartbeat_losses),
            Fault::HandshakeTimeout => occasionally(&self.handshake_timeouts),
            Fault::Closed | Fault::Io(_) | Fault::Released => false,
        }
    }
}

/// One connected peer.
#[derive(Debug)]
pub(super) struct Connected(Arc<Counters>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.peers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds one; true for the 1st, 2nd, 4th, 8th … time.
pub(super) fn occasionally(count: &AtomicU64) -> bool {
    (count.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two()
}

/// Reads a count.
pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

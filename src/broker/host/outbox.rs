//! Messages on their way to gateways that read more slowly than the broker answers.

use std::collections::{BTreeMap, VecDeque};

use crate::zmtp::{Message, PeerId, Router, SendError};

/// Messages that may wait for one gateway beyond the socket's own queue.
pub const WAITING_MAX: usize = 262_144;
/// Milliseconds between two attempts to hand the waiting messages to the socket.
pub(super) const RETRY_MS: u64 = 10;

/// What the socket had no room for, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox(BTreeMap<PeerId, VecDeque<Message>>);

/// The gateway does not read: too much waits for it already.
#[derive(Debug)]
pub(super) struct Stuck;

impl Outbox {
    /// Sends, now or later. To a gateway that has gone nothing is sent.
    pub(super) fn send(
        &mut self,
        router: &Router,
        peer: PeerId,
        message: Message,
    ) -> Result<(), Stuck> {
        if let Some(waiting) = self.0.get_mut(&peer) {
            if waiting.len() >= WAITING_MAX {
                return Err(Stuck);
            }
            waiting.push_back(message);
            return Ok(());
        }
        match router.send(peer, message.clone()) {
            Ok(()) | Err(SendError::Gone) => {}
            Err(SendError::Full) => {
                self.0.insert(peer, VecDeque::from([message]));
            }
        }
        Ok(())
    }

    /// Hands over as much as the socket takes now.
    pub(super) fn retry(&mut self, router: &Router) {
        self.0.retain(|peer, waiting| {
            while let Some(message) = waiting.front() {
                match router.send(*peer, message.clone()) {
                    Ok(()) => drop(waiting.pop_front()),
                    Err(SendError::Gone) => return false,
                    Err(SendError::Full) => return true,
                }
            }
            false
        });
    }

    /// Throws away what waits for a gateway that has gone.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.0.remove(&peer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

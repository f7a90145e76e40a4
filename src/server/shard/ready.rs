//! How sockets that were full say that they have room again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};

use futures_util::task::AtomicWaker;

use crate::topic::ClientId;

/// Clients whose sockets have room again.
#[derive(Debug, Default)]
pub(super) struct Ready {
    clients: Mutex<Vec<ClientId>>,
    shard: AtomicWaker,
}

impl Ready {
    pub fn poll_any(&self, cx: &Context<'_>) -> Poll<()> {
        self.shard.register(cx.waker());
        if self.lock().is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    pub fn take(&self) -> Vec<ClientId> {
        std::mem::take(&mut *self.lock())
    }

    /// A panic elsewhere cannot leave the list half-changed.
    fn lock(&self) -> MutexGuard<'_, Vec<ClientId>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the shard that one client's socket has room again.
pub(super) struct ClientWaker {
    pub client: ClientId,
    pub ready: Arc<Ready>,
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.lock().push(self.client);
        self.ready.shard.wake();
    }
}

//! What the ZMTP tests share.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The address to bind for a free port.
pub fn loopback() -> [String; 1] {
    ["127.0.0.1:0".into()]
}

/// Subscribes to everything.
pub fn everything() -> [Bytes; 1] {
    [Bytes::new()]
}

/// Waits for something that must happen.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("happens in time")
}

/// Waits for something that can only be looked at.
pub trait Eventually {
    async fn eventually(self, what: &str);
}

impl<F: FnMut() -> bool> Eventually for F {
    async fn eventually(mut self, what: &str) {
        for _ in 0..PATIENCE.as_millis() / 5 {
            if self() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("never happened: {what}");
    }
}

//! Whether a client is still there.
//!
//! Each client's task asks for itself, from its first moment on: there is no sweep over all clients
//! that somebody would have to start (WS-004). A client that says something, whatever it is, is
//! not pinged.

use std::pin::Pin;

use tokio::time::Sleep;

use crate::config::Server;
use crate::runtime::Clock;

/// A ping without a payload, as a server sends it (RFC 6455, 5.5.2).
pub(super) const PING_FRAME: &[u8] = &[0x89, 0x00];

/// What a silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A ping.
    Ping,
    /// The client has been silent for too long.
    Silent,
}

/// The silence of one client.
pub(super) struct Heartbeat {
    clock: Clock,
    ping_interval_ms: u64,
    silence_timeout_ms: u64,
    heard_ms: u64,
    pinged_ms: u64,
    /// Reset when it fires, and not with every message.
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    /// The heartbeat of a client that has just been heard.
    pub fn new(config: &Server, clock: Clock) -> Self {
        let now_ms = clock.now_ms();
        let ping_interval_ms = config.ping_interval_ms;
        Self {
            clock,
            ping_interval_ms,
            silence_timeout_ms: config.silence_timeout_ms,
            heard_ms: now_ms,
            pinged_ms: now_ms,
            timer: Box::pin(clock.sleep_until_ms(now_ms + ping_interval_ms)),
        }
    }

    /// The client has said something.
    pub fn heard(&mut self) {
        self.heard_ms = self.clock.now_ms();
    }

    /// Waits until the silence calls for something. Cancel-safe.
    pub async fn next(&mut self) -> Beat {
        loop {
            self.timer.as_mut().await;
            let now_ms = self.clock.now_ms();
            let silent_at_ms = self.heard_ms + self.silence_timeout_ms;
            let since_ms = self.heard_ms.max(self.pinged_ms);
            let beat = if now_ms >= silent_at_ms {
                Some(Beat::Silent)
            } else if now_ms >= since_ms + self.ping_interval_ms {
                self.pinged_ms = now_ms;
                Some(Beat::Ping)
            } else {
                None
            };
            let next_ms = self.heard_ms.max(self.pinged_ms) + self.ping_interval_ms;
            let next_ms = next_ms.min(silent_at_ms).max(now_ms + 1);
            self.timer.as_mut().reset(self.clock.instant_at_ms(next_ms));
            if let Some(beat) = beat {
                return beat;
            }
        }
    }
}

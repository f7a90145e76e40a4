//! A connection that is made again whenever it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::counters::Counters;
use super::fault::Fault;
use super::link::{Link, SocketType};
use super::options::Options;
use crate::runtime::{Clock, Runtime};

/// A connection that lasted this long was a good one: the next pause is the shortest again.
const STEADY_SESSION: Duration = Duration::from_secs(5);

/// Connects to one address, over and over.
pub(super) struct Connector<R> {
    runtime: R,
    address: String,
    own: SocketType,
    options: Options,
    counters: Arc<Counters>,
    pause: Duration,
    failures: u64,
    /// When the current or last session began; none yet.
    session: Option<Clock>,
}

impl<R: Runtime> Connector<R> {
    pub(super) fn new(
        runtime: &R,
        address: &str,
        own: SocketType,
        options: &Options,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            address: address.into(),
            own,
            options: options.clone(),
            counters: Arc::clone(counters),
            pause: shortest_pause(options),
            failures: 0,
            session: None,
        }
    }

    pub(super) const fn options(&self) -> &Options {
        &self.options
    }

    /// Tries until there is a connection.
    pub(super) async fn next(&mut self) -> Link<R::Stream> {
        loop {
            let connecting = self.runtime.connect(&self.address);
            match Link::open(connecting, self.own, &self.options).await {
                Ok(link) => {
                    info!(address = self.address, "connected");
                    self.failures = 0;
                    if self.session.replace(Clock::start()).is_some() {
                        self.counters.reconnects.fetch_add(1, Ordering::Relaxed);
                    }
                    return link;
                }
                Err(fault) => self.failed(&fault).await,
            }
        }
    }

    /// Pauses after a session. Call it before the next one.
    pub(super) async fn ended(&mut self, fault: &Fault) {
        self.counters.fault(fault);
        warn!(address = self.address, "disconnected: {fault}");
        if self.session.as_ref().is_some_and(|session| session.now() >= STEADY_SESSION) {
            self.pause = shortest_pause(&self.options);
        }
        self.pause().await;
    }

    async fn failed(&mut self, fault: &Fault) {
        self.counters.fault(fault);
        self.failures += 1;
        if self.failures.is_power_of_two() {
            warn!(address = self.address, attempt = self.failures, "cannot connect: {fault}");
        } else {
            debug!(address = self.address, attempt = self.failures, "cannot connect: {fault}");
        }
        self.pause().await;
    }

    /// Half of each pause is random, so that many who lost the same peer do not return at once.
    async fn pause(&mut self) {
        let half_us = u64::try_from(self.pause.as_micros() / 2).unwrap_or(u64::MAX / 2);
        let random_us = self.runtime.entropy() % (half_us + 1);
        self.pause =
            (self.pause * 2).min(self.options.reconnect_max.max(shortest_pause(&self.options)));
        sleep(Duration::from_micros(half_us + random_us)).await;
    }
}

/// Never zero: a refused connection must not keep a core busy.
fn shortest_pause(options: &Options) -> Duration {
    options.reconnect_min.max(Duration::from_millis(2))
}

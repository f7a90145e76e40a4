//! The publisher of the load: a ZeroMQ PUB socket and a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::stopwatch::Stopwatch;
use super::tally::{Live, read};
use super::workload::{Stamp, Workload, payload, symbol};
use crate::runtime::TokioRuntime;
use crate::zmtp::{Message, Options, Pub};

/// Messages that wait for the gateway; more are dropped, and counted as lost.
const HWM: usize = 100_000;
/// How long the bus may take to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const CONNECT_PAUSE: Duration = Duration::from_millis(5);
/// Pause while as much is on the way as may be.
const WINDOW_PAUSE: Duration = Duration::from_micros(50);
/// How much before a tick is due the publisher stops sleeping.
const SPIN_NS: u64 = 60_000;

/// How fast to publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Ticks per second, all topics together, on time whatever the gateway does.
    PerSecond(f64),
    /// As fast as they are delivered, so many at most on the way.
    InFlight(u64),
}

/// A connected publisher.
pub(super) struct Publisher {
    socket: Pub,
    /// Sends what is published while this thread sleeps.
    _runtime: tokio::runtime::Runtime,
    topics: Vec<Bytes>,
    workload: Workload,
    watch: Stopwatch,
    live: Arc<Live>,
    audience: Vec<u32>,
    /// Ticks published so far, by topic.
    pub published: Vec<u32>,
    /// Deliveries that these are to lead to.
    pub expected: u64,
    next_topic: usize,
}

impl Publisher {
    /// Connects to a gateway's bus, `host:port`.
    ///
    /// # Errors
    ///
    /// Fails if nobody there subscribes in time.
    pub fn connect(
        address: &str,
        workload: Workload,
        watch: Stopwatch,
        live: Arc<Live>,
    ) -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("no thread to publish from: {error}"))?;
        let socket = runtime.block_on(async {
            Pub::connect(&TokioRuntime::new(), Options::default(), HWM, address)
        });
        let deadline_ns = watch.ns() + CONNECT_MAX.as_nanos() as u64;
        while socket.stats().subscriptions == 0 {
            if watch.ns() > deadline_ns {
                return Err(format!("nobody subscribes on the bus at {address}"));
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
        let topic = |topic| Bytes::from(format!("NSE_{}_LTP", symbol(topic)));
        let topics = (0..workload.topics).map(|number| topic(number as u32)).collect();
        let published = vec![0; workload.topics];
        let audience = workload.audience();
        let (expected, next_topic) = (0, 0);
        Ok(Self {
            socket,
            _runtime: runtime,
            topics,
            workload,
            watch,
            live,
            audience,
            published,
            expected,
            next_topic,
        })
    }

    /// Publishes until it is told to stop.
    pub fn publish_until(&mut self, stop: &AtomicBool, pace: Pace) {
        match pace {
            Pace::PerSecond(rate) => self.on_time(stop, rate),
            Pace::InFlight(ticks) => self.in_flight(stop, ticks),
        }
    }

    fn on_time(&mut self, stop: &AtomicBool, rate: f64) {
        let begin_ns = self.watch.ns();
        for tick in 0_u64.. {
            let after = Duration::from_secs_f64(tick as f64 / rate);
            let due_ns = begin_ns + u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            while let Some(wait_ns) = due_ns.checked_sub(self.watch.ns()).filter(|ns| *ns > 0) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // Not for long, so that it can be told to stop.
                let sleep_ns = wait_ns.saturating_sub(SPIN_NS).clamp(1, 50_000_000);
                std::thread::sleep(Duration::from_nanos(sleep_ns));
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.publish(due_ns);
        }
    }

    fn in_flight(&mut self, stop: &AtomicBool, ticks: u64) {
        let audience: u64 = self.audience.iter().map(|count| u64::from(*count)).sum();
        let mean = (audience / self.workload.topics.max(1) as u64).max(1);
        while !stop.load(Ordering::Relaxed) {
            if self.expected.saturating_sub(read(&self.live.settled)) < ticks * mean {
                self.publish(self.watch.ns());
            } else {
                std::thread::sleep(WINDOW_PAUSE);
            }
        }
    }

    fn publish(&mut self, due_ns: u64) {
        let topic = self.next_topic;
        self.next_topic = (topic + 1) % self.topics.len();
        let sequence = self.published[topic];
        let stamp = Stamp { topic: topic as u32, sequence, due_ns };
        let payload = payload(stamp, self.workload.payload_bytes);
        self.socket.publish(Message::pair(self.topics[topic].clone(), payload));
        self.published[topic] += 1;
        self.expected += u64::from(self.audience[topic]);
    }

    /// Ticks that the gateway did not take in time.
    pub fn dropped(&self) -> u64 {
        self.socket.stats().dropped
    }
}

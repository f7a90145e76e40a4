//! The publisher of the load: a connection and a clock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::arrivals::Arrivals;
use super::sink::Sink;
use super::stopwatch::Stopwatch;
use super::tally::{Live, read};
use super::target::Target;
use super::workload::{Stamp, Workload, bus_topic, payload};

/// Pause while as much is on the way as may be.
const WINDOW_PAUSE: Duration = Duration::from_micros(50);
/// Pause while nothing is published at all.
const NOTHING_PAUSE: Duration = Duration::from_millis(20);
/// How much before a tick is due the publisher stops sleeping.
const SPIN_NS: u64 = 60_000;

/// How fast to publish.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Ticks per second, all topics together, on time whatever the gateway does; 0: none at all.
    PerSecond(f64),
    /// As fast as they are delivered, so many at most on the way.
    InFlight(u64),
    /// When a recording had them, of its topics and sizes, over and over.
    Recorded(Arc<Arrivals>),
}

/// A connected publisher.
pub(super) struct Publisher {
    sink: Sink,
    topics: Vec<Bytes>,
    workload: Workload,
    watch: Stopwatch,
    live: Arc<Live>,
    audience: Vec<u32>,
    /// Failures of clients that are known here, and how many of them were to read.
    failed: u64,
    ended: usize,
    /// How many of the clients that have ended wanted each topic.
    gone: Vec<u32>,
    /// Deliveries to them that are expected and will not happen.
    in_vain: u64,
    /// Ticks published so far, by topic.
    pub published: Vec<u32>,
    /// Deliveries that these are to lead to.
    pub expected: u64,
    next_topic: usize,
}

impl Publisher {
    /// Connects to where a target takes ticks.
    ///
    /// # Errors
    ///
    /// Fails if nobody there takes them in time.
    pub fn connect(
        target: &Target,
        workload: Workload,
        watch: Stopwatch,
        live: Arc<Live>,
    ) -> Result<Self, String> {
        let sink = Sink::connect(target.dialect, &target.bus, watch)?;
        let topics = (0..workload.topics).map(|number| bus_topic(number as u32).into()).collect();
        let published = vec![0; workload.topics];
        let audience = workload.audience();
        let (failed, ended, in_vain, expected, next_topic) = (0, 0, 0, 0, 0);
        Ok(Self {
            sink,
            topics,
            workload,
            watch,
            live,
            audience,
            failed,
            ended,
            gone: vec![0; workload.topics],
            in_vain,
            published,
            expected,
            next_topic,
        })
    }

    /// Publishes until it is told to stop.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends.
    pub fn publish_until(&mut self, stop: &AtomicBool, pace: &Pace) -> io::Result<()> {
        let (topics, bytes) = (self.topics.len() as u64, self.workload.payload_bytes);
        match pace {
            Pace::PerSecond(rate) if *rate > 0.0 => {
                // A phase goes on with the topic behind the last one.
                let first = self.next_topic as u64;
                let due = |tick| Duration::from_secs_f64(tick as f64 / rate);
                self.on_time(stop, |tick| (due(tick), ((first + tick) % topics) as usize, bytes))
            }
            Pace::Recorded(arrivals) => self.on_time(stop, |tick| {
                let (due, arrival) = arrivals.nth(tick);
                (due, arrival.topic as usize, arrival.bytes as usize)
            }),
            Pace::PerSecond(_) => {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(NOTHING_PAUSE);
                }
                Ok(())
            }
            Pace::InFlight(ticks) => self.in_flight(stop, (*ticks, WINDOW_PAUSE), u64::MAX),
        }
    }

    /// Publishes each tick when it is due: `nth` says when, of which topic and how large.
    fn on_time(
        &mut self,
        stop: &AtomicBool,
        nth: impl Fn(u64) -> (Duration, usize, usize),
    ) -> io::Result<()> {
        let begin_ns = self.watch.ns();
        for tick in 0_u64.. {
            let (after, topic, bytes) = nth(tick);
            let due_ns = begin_ns + u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            while let Some(wait_ns) = due_ns.checked_sub(self.watch.ns()).filter(|ns| *ns > 0) {
                self.sink.flush(stop)?;
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                // Not for long, so that it can be told to stop.
                let sleep_ns = wait_ns.saturating_sub(SPIN_NS).clamp(1, 50_000_000);
                std::thread::sleep(Duration::from_nanos(sleep_ns));
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.next_topic = (topic + 1) % self.topics.len();
            self.publish(due_ns, topic, bytes, stop)?;
        }
        self.sink.flush(stop)
    }

    /// Publishes `ticks` in all, of which `window` may be on the way at a time; if there are as
    /// many, it looks again after a `pause`.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends.
    pub fn in_flight(
        &mut self,
        stop: &AtomicBool,
        (window, pause): (u64, Duration),
        ticks: u64,
    ) -> io::Result<()> {
        let audience: u64 = self.audience.iter().map(|count| u64::from(*count)).sum();
        let mean = (audience / self.workload.topics.max(1) as u64).max(1);
        let mut left = ticks;
        while left > 0 && !stop.load(Ordering::Relaxed) {
            self.forget_ended();
            let settled = read(&self.live.settled) + self.in_vain;
            if self.expected.saturating_sub(settled) < window * mean {
                left -= 1;
                let (topic, bytes) = (self.next_topic, self.workload.payload_bytes);
                self.next_topic = (topic + 1) % self.topics.len();
                self.publish(self.watch.ns(), topic, bytes, stop)?;
            } else {
                self.sink.flush(stop)?;
                std::thread::sleep(pause);
            }
        }
        self.sink.flush(stop)
    }

    /// What is on the way to clients that have ended must not hold up what goes to the others.
    fn forget_ended(&mut self) {
        let failed = read(&self.live.failed);
        if failed == self.failed {
            return;
        }
        self.failed = failed;
        let ended = self.live.ended();
        for reader in &ended.readers[self.ended..] {
            self.in_vain += reader.missing(&self.published);
            for topic in &reader.topics {
                self.gone[*topic as usize] += 1;
            }
        }
        self.ended = ended.readers.len();
    }

    fn publish(
        &mut self,
        due_ns: u64,
        topic: usize,
        bytes: usize,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let sequence = self.published[topic];
        let stamp = Stamp { topic: topic as u32, sequence, due_ns };
        let payload = payload(stamp, bytes);
        self.published[topic] += 1;
        self.expected += u64::from(self.audience[topic]);
        self.in_vain += u64::from(self.gone[topic]);
        self.sink.publish(&self.topics[topic], payload, stop)
    }

    /// Ticks that were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.sink.dropped()
    }
}

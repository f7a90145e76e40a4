//! One target under load: its clients, its publisher, and what both have counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Greeting;
use super::load::{Load, Order, run};
use super::process::{CpuTimes, open_files, resident_bytes};
use super::publisher::{Pace, Publisher};
use super::reading::Reading;
use super::report::{Opening, Percentiles, Phase};
use super::stopwatch::Stopwatch;
use super::tally::{Live, Tally, Times, read};
use super::target::Target;
use super::workload::Workload;

mod orders;
mod unread;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long nothing may arrive before the rest counts as lost.
const QUIET: Duration = Duration::from_millis(500);
/// How long what is on the way may take to arrive in all.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long clients may take to be ready without one more of them being so.
const OPENING_STALL_MAX: Duration = Duration::from_secs(20);

/// Orders that wait for a thread of clients.
const ORDERS_MAX: usize = 16;

/// What is shown while a run goes on: a word for what happens, how much of how much.
pub type Show<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// A target and all that loads it.
pub(super) struct Session {
    pub target: Target,
    workload: Workload,
    watch: Stopwatch,
    live: Arc<Live>,
    orders: Vec<SyncSender<Order>>,
    threads: Vec<JoinHandle<()>>,
    /// From when all clients are there.
    publisher: Option<Publisher>,
    resident_before: Option<u64>,
    trouble: Arc<Mutex<Option<String>>>,
    /// Clients that close and come again each second.
    churn: f64,
    reading: Reading,
    /// Set from outside if the run is to end before its time.
    stop: Arc<AtomicBool>,
}

impl Session {
    /// Has so many threads open the clients.
    pub fn start(
        target: Target,
        workload: Workload,
        (threads, reading): (usize, Reading),
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (watch, live) = (Stopwatch::start(), Arc::<Live>::default());
        let resident_before = target.pid.and_then(resident_bytes);
        let trouble = Arc::<Mutex<Option<String>>>::default();
        let mut session = Self {
            publisher: None,
            target,
            workload,
            watch,
            live,
            orders: Vec::new(),
            threads: Vec::new(),
            resident_before,
            trouble,
            churn: 0.0,
            reading,
            stop,
        };
        for first in 0..threads {
            session.start_thread(first, threads);
        }
        session
    }

    #[expect(clippy::disallowed_methods, reason = "load comes from threads of its own")]
    fn start_thread(&mut self, first: usize, step: usize) {
        let (sender, receiver) = sync_channel(ORDERS_MAX);
        let load = Load {
            address: self.target.address,
            greeting: Greeting {
                host: self.target.host.clone(),
                path: self.target.path.clone(),
                key: self.target.key.clone(),
                dialect: self.target.dialect,
            },
            workload: self.workload,
            first,
            step,
            trimmed: self.reading != Reading::Each,
            receive_bytes: self.reading.receive_bytes(self.workload.payload_bytes),
            watch: self.watch,
            live: self.live.clone(),
        };
        let trouble = self.trouble.clone();
        self.orders.push(sender);
        self.threads.push(thread::spawn(move || {
            if let Err(error) = run(load, &receiver) {
                let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                trouble.get_or_insert_with(|| error.to_string());
            }
        }));
    }

    /// Waits until all clients are ready or have failed.
    ///
    /// # Errors
    ///
    /// Fails if some are not, with the first reason, or if the bus cannot be reached.
    pub fn open(&mut self, show: Show<'_>) -> Result<Opening, String> {
        let all = self.workload.clients as u64;
        let (mut last, mut since_ns) = (0, self.watch.ns());
        loop {
            let (ready, failed) = (read(&self.live.ready), read(&self.live.failed));
            show("clients", ready, all);
            if failed > 0 {
                let why = self.live.ended().reason.clone().unwrap_or_default();
                let why = format!("{failed} of {all} clients failed; the first: {why}");
                return Err(self.target.why(why));
            }
            if ready == all {
                break;
            }
            let now_ns = self.watch.ns();
            if ready > last {
                (last, since_ns) = (ready, now_ns);
            } else if Duration::from_nanos(now_ns - since_ns) > OPENING_STALL_MAX {
                return Err(format!("only {ready} of {all} clients became ready"));
            }
            self.healthy()?;
            thread::sleep(LOOK);
        }
        let mut times = Times::new();
        for ready in self.ask(Order::ReadyTimes) {
            times.add(&ready);
        }
        // From the first connection on, which was at the beginning.
        let seconds = Duration::from_nanos(self.watch.ns()).as_secs_f64();
        let (live, watch) = (self.live.clone(), self.watch);
        let publisher = Publisher::connect(&self.target, self.workload, watch, live);
        // A target that has ended takes no ticks either, which says less.
        self.publisher = Some(publisher.map_err(|why| self.target.why(why))?);
        Ok(Opening {
            clients: all,
            subscriptions: all * self.workload.topics_per_client as u64,
            seconds,
            ready: Percentiles::of(&times),
        })
    }

    /// Lets nothing happen for a while. Says what the target needs for that: bytes of memory for
    /// each client, and the part of a core that is busy.
    ///
    /// # Errors
    ///
    /// Fails if the target does.
    pub fn idle(
        &mut self,
        time: Duration,
        show: Show<'_>,
    ) -> Result<(Option<f64>, Option<f64>), String> {
        let before = self.cpu();
        let from_ns = self.watch.ns();
        self.wait(time, "idle", show)?;
        let elapsed_ns = (self.watch.ns() - from_ns).max(1) as f64;
        let busy = ns_between(before.as_ref(), self.cpu().as_ref());
        let resident = self.target.pid.and_then(resident_bytes);
        let grown = resident.zip(self.resident_before);
        let each = grown.map(|(now, before)| {
            now.saturating_sub(before) as f64 / self.workload.clients.max(1) as f64
        });
        let busy = busy.filter(|_| !time.is_zero()).map(|ns| ns as f64 / elapsed_ns);
        Ok((each, busy))
    }

    /// Publishes for a while, then waits until all has arrived that will. What happens in the first
    /// `warm_up` counts for nothing but what is lost.
    ///
    /// # Errors
    ///
    /// Fails if the load does, or if no client is left.
    pub fn traffic(
        &mut self,
        name: &str,
        pace: &Pace,
        warm_up: Duration,
        time: Duration,
        show: Show<'_>,
    ) -> Result<Phase, String> {
        let stop = AtomicBool::new(false);
        let mut publisher = self.publisher.take().ok_or("the clients are not open")?;
        let (failed, expected) = (read(&self.live.failed), publisher.expected);
        let (dropped, missing) = (publisher.dropped(), self.missing(&publisher.published));
        let measured = thread::scope(|scope| {
            let publishing = scope.spawn(|| publisher.publish_until(&stop, pace));
            let measured = self.measure(name, warm_up, time, show);
            stop.store(true, Ordering::Relaxed);
            let published = publishing.join().map_err(|_| "the publisher panicked".to_owned())?;
            published.map_err(|error| format!("the publisher: {error}"))?;
            measured
        });
        let (mut phase, mut tally, skipped) = measured?;
        // Whoever comes again reads the last value, and would go on for ever.
        self.churn_at(0.0);
        phase.drained = self.drain(publisher.expected, show)?;
        let rest = self.count(0..0);
        tally.latency.add(&rest.latency);
        phase.latency = Percentiles::of(&tally.latency);
        phase.skipped += rest.skipped;
        phase.untold += rest.untold;
        phase.misordered += rest.misordered;
        phase.foreign += rest.foreign;
        phase.missing = self.missing(&publisher.published);
        if self.churn == 0.0 {
            let skipped = skipped + tally.skipped + rest.skipped;
            // What was missing before is skipped now, or missing still.
            phase.lost = Some((skipped + phase.missing).saturating_sub(missing));
        }
        phase.expected = publisher.expected - expected;
        phase.not_published = publisher.dropped() - dropped;
        self.publisher = Some(publisher);
        self.churn_at(self.churn);
        self.noted(&mut phase, failed);
        self.healthy()?;
        Ok(phase)
    }

    /// What the target has now, and who is gone of those that had not `failed` before.
    fn noted(&self, phase: &mut Phase, failed: u64) {
        phase.memory_bytes = self.target.pid.and_then(resident_bytes);
        phase.open_files = self.target.pid.and_then(open_files);
        phase.tasks = self.target.tasks();
        phase.disconnected = read(&self.live.failed) - failed;
        if phase.disconnected > 0 {
            phase.trouble.clone_from(&self.live.ended().reason);
        }
    }

    /// Counts for a while: what happened then, the counts themselves, and what was skipped before.
    fn measure(
        &mut self,
        name: &str,
        warm_up: Duration,
        time: Duration,
        show: Show<'_>,
    ) -> Result<(Phase, Tally, u64), String> {
        let own = std::process::id();
        self.wait(warm_up, "warming up", show)?;
        let from_ns = self.watch.ns();
        let skipped = self.count(from_ns..u64::MAX).skipped;
        let (gateway, load) = (self.cpu(), CpuTimes::of(own));
        self.wait(time, name, show)?;
        let until_ns = self.watch.ns();
        let tally = self.count(from_ns..until_ns);
        let gateway_ns = ns_between(gateway.as_ref(), self.cpu().as_ref());
        let load_ns = ns_between(load.as_ref(), CpuTimes::of(own).as_ref());
        let phase = Phase::of(name, &tally, until_ns - from_ns, gateway_ns, load_ns);
        Ok((phase, tally, skipped))
    }

    /// Waits until nothing arrives any more; says whether that was so.
    fn drain(&mut self, expected: u64, show: Show<'_>) -> Result<bool, String> {
        let begin_ns = self.watch.ns();
        let (mut last, mut since_ns) = (read(&self.live.settled), begin_ns);
        loop {
            let now_ns = self.watch.ns();
            let settled = read(&self.live.settled);
            show("waiting for the rest", settled, expected);
            if settled > last {
                (last, since_ns) = (settled, now_ns);
            }
            let quiet = Duration::from_nanos(now_ns - since_ns);
            if quiet > QUIET {
                return Ok(true);
            }
            if Duration::from_nanos(now_ns - begin_ns) > DRAIN_MAX {
                return Ok(settled >= expected);
            }
            self.healthy()?;
            thread::sleep(LOOK);
        }
    }

    fn wait(&mut self, time: Duration, words: &str, show: Show<'_>) -> Result<(), String> {
        let begin_ns = self.watch.ns();
        let all_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        while let Some(left_ns) =
            all_ns.checked_sub(self.watch.ns() - begin_ns).filter(|ns| *ns > 0)
        {
            show(words, (all_ns - left_ns) / 1_000_000, all_ns / 1_000_000);
            // Rarely, since who looks takes time from what is looked at.
            thread::sleep(Duration::from_nanos(left_ns.min(250_000_000)));
            self.healthy()?;
        }
        Ok(())
    }

    fn cpu(&self) -> Option<CpuTimes> {
        self.target.pid.and_then(CpuTimes::of)
    }

    /// Whether there is reason to go on.
    fn healthy(&mut self) -> Result<(), String> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        if let Some(trouble) = &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(trouble.clone());
        }
        if let Some(ended) = self.target.ended() {
            return Err(ended);
        }
        if read(&self.live.failed) >= self.workload.clients as u64 {
            let why = self.live.ended().reason.clone().unwrap_or_default();
            let why = format!("no client is left; the first ended with: {why}");
            return Err(self.target.why(why));
        }
        Ok(())
    }
}

fn ns_between(before: Option<&CpuTimes>, now: Option<&CpuTimes>) -> Option<u64> {
    before.zip(now).map(|(before, now)| now.ns_since(before))
}

impl Drop for Session {
    fn drop(&mut self) {
        self.orders.clear();
        for thread in self.threads.drain(..) {
            // What it had to say it has said.
            let _ = thread.join();
        }
    }
}

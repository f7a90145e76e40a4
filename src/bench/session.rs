//! One target under load: its clients, its publisher, and what both have counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Greeting;
use super::load::{Load, Order, run};
use super::process::{cpu_ns, open_files, resident_bytes};
use super::publisher::{Pace, Publisher};
use super::report::{Opening, Percentiles, Phase};
use super::stopwatch::Stopwatch;
use super::tally::{Live, Tally, Times, read};
use super::target::Target;
use super::workload::Workload;

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
    churns: bool,
    trimmed: bool,
}

impl Session {
    /// Has `threads` threads open the clients.
    pub fn start(target: Target, workload: Workload, threads: usize, trimmed: bool) -> Self {
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
            churns: false,
            trimmed,
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
            },
            workload: self.workload,
            first,
            step,
            trimmed: self.trimmed,
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
                let why = self.count().trouble.unwrap_or_default();
                return Err(format!("{failed} of {all} clients failed; the first: {why}"));
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
        let (live, bus) = (self.live.clone(), &self.target.bus);
        self.publisher = Some(Publisher::connect(bus, self.workload, self.watch, live)?);
        Ok(Opening {
            clients: all,
            subscriptions: all * self.workload.topics_per_client as u64,
            seconds,
            ready: Percentiles::of(&times),
        })
    }

    /// Lets nothing happen for a while. Says what the target needs for that: bytes of memory for
    /// each client, and the part of a core that is busy.
    pub fn idle(&self, time: Duration, show: Show<'_>) -> (Option<f64>, Option<f64>) {
        let before = self.cpu_ns();
        let from_ns = self.watch.ns();
        self.wait(time, "idle", show);
        let elapsed_ns = (self.watch.ns() - from_ns) as f64;
        let busy =
            before.zip(self.cpu_ns()).map(|(before, now)| (now - before) as f64 / elapsed_ns);
        let resident = self.target.pid.and_then(resident_bytes);
        let grown = resident.zip(self.resident_before);
        let each = grown.map(|(now, before)| {
            now.saturating_sub(before) as f64 / self.workload.clients.max(1) as f64
        });
        (each, busy)
    }

    /// Publishes for a while, then waits until all has arrived that will. What happens in the first
    /// `warm_up` is not counted.
    ///
    /// # Errors
    ///
    /// Fails if the load itself does.
    pub fn traffic(
        &mut self,
        name: &str,
        pace: Pace,
        warm_up: Duration,
        time: Duration,
        show: Show<'_>,
    ) -> Result<Phase, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let own = std::process::id();
        let mut publisher = self.publisher.take().ok_or("the clients are not open")?;
        let mut phase = None;
        thread::scope(|scope| {
            let publishing = stop.clone();
            let publisher = &mut publisher;
            scope.spawn(move || publisher.publish_until(&publishing, pace));
            self.wait(warm_up, "warming up", show);
            self.count();
            let before = (self.watch.ns(), self.cpu_ns(), cpu_ns(own));
            self.wait(time, name, show);
            let tally = self.count();
            let elapsed_ns = self.watch.ns() - before.0;
            let gateway_ns = before.1.zip(self.cpu_ns()).map(|(before, now)| now - before);
            let load_ns = before.2.zip(cpu_ns(own)).map(|(before, now)| now - before);
            stop.store(true, Ordering::Relaxed);
            phase = Some(Phase::of(name, &tally, elapsed_ns, gateway_ns, load_ns));
        });
        let mut phase: Phase = phase.ok_or("the load ended before its time")?;
        self.drain(publisher.expected, show);
        let rest = self.count();
        phase.skipped += rest.skipped;
        phase.misordered += rest.misordered;
        phase.missing = if self.churns { 0 } else { self.missing(&publisher.published) };
        phase.not_published = publisher.dropped();
        self.publisher = Some(publisher);
        phase.memory_bytes = self.target.pid.and_then(resident_bytes);
        phase.open_files = self.target.pid.and_then(open_files);
        phase.trouble = rest.trouble;
        self.healthy()?;
        Ok(phase)
    }

    /// Has every n-th client read no more, or all again.
    pub fn stall(&self, every: usize, stalled: bool) {
        self.tell(|| Order::Stall(every, stalled));
    }

    /// Has so many clients a second close and come again.
    pub fn churn(&mut self, per_second: f64) {
        self.churns |= per_second > 0.0;
        let each = per_second / self.orders.len().max(1) as f64;
        self.tell(|| Order::Churn(each));
    }

    /// Has one more client ask for a topic again and again.
    pub fn probe(&self, pause: Duration) {
        if let Some(orders) = self.orders.first() {
            // A thread that is gone is told of elsewhere.
            let _ = orders.send(Order::Probe(pause));
        }
    }

    /// Ticks that clients have not read of all that were published.
    fn missing(&self, published: &[u32]) -> u64 {
        let published = Arc::new(published.to_vec());
        self.ask(|answer| Order::Missing(published.clone(), answer)).into_iter().sum()
    }

    fn drain(&self, expected: u64, show: Show<'_>) {
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
            if quiet > QUIET || Duration::from_nanos(now_ns - begin_ns) > DRAIN_MAX {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn wait(&self, time: Duration, words: &str, show: Show<'_>) {
        let begin_ns = self.watch.ns();
        let all_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        while let Some(left_ns) =
            all_ns.checked_sub(self.watch.ns() - begin_ns).filter(|ns| *ns > 0)
        {
            show(words, (all_ns - left_ns) / 1_000_000, all_ns / 1_000_000);
            // Rarely, since who looks takes time from what is looked at.
            thread::sleep(Duration::from_nanos(left_ns.min(250_000_000)));
        }
    }

    fn cpu_ns(&self) -> Option<u64> {
        self.target.pid.and_then(cpu_ns)
    }

    fn count(&self) -> Tally {
        let mut all = Tally::new();
        for tally in self.ask(Order::Count) {
            all.add(&tally);
        }
        all
    }

    fn tell(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            // A thread that is gone is told of elsewhere.
            let _ = orders.send(order());
        }
    }

    fn ask<T>(&self, order: impl Fn(SyncSender<T>) -> Order) -> Vec<T> {
        let mut answers = Vec::new();
        for orders in &self.orders {
            let (sender, answer) = sync_channel(1);
            if orders.send(order(sender)).is_ok() {
                answers.push(answer);
            }
        }
        answers.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }

    fn healthy(&self) -> Result<(), String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }
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

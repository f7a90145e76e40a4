//! A load for gateways: a publisher on ZeroMQ, thousands of clients on WebSockets, and what becomes
//! of the ticks between them.
//!
//! Ticks say which they are and when they were due, so that each client knows what it has missed
//! and how late it is. Lateness counts from when a tick was *due*: a publisher that a slow gateway
//! holds up does not hide what its clients have to wait (coordinated omission). Linux alone, since
//! what a process costs is read from `/proc`.

mod arrivals;
mod client;
mod dialect;
mod load;
mod nats;
mod process;
mod publisher;
mod raw_loop;
mod reading;
mod report;
mod session;
mod sink;
mod stopwatch;
mod tally;
mod target;
mod trimmed;
mod wire;
mod workload;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use arrivals::{ARRIVALS_MAX, Arrivals};
pub use dialect::Dialect;
pub use publisher::Pace;
pub use raw_loop::raw_loop;
pub use reading::Reading;
pub use report::{Asked, Grown, Growth, Opening, Percentiles, Phase, Ratios, Report, TargetReport};
pub use session::Show;
pub use target::Running;
pub use workload::{PAYLOAD_BYTES_MIN, TOPICS_MAX, Workload};

use session::Session;
use target::Target;

/// How long clients read at least before they leave what they are sent.
const WARM_UP_MIN: Duration = Duration::from_millis(200);

/// A run.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Who wants what.
    pub workload: Workload,
    /// How fast ticks are published.
    pub pace: Pace,
    /// How long that is measured.
    pub time: Duration,
    /// How long it goes on before.
    pub warm_up: Duration,
    /// How long nothing happens before that.
    pub idle: Duration,
    /// Every n-th client reads no more in a second phase; 0: none does.
    pub stall_every: usize,
    /// Clients that close and come again each second.
    pub churn_per_second: f64,
    /// A client that asks for a topic again and again, with this pause.
    pub probe: Option<Duration>,
    /// A server that runs already; none: a gateway of our own.
    pub running: Option<Running>,
    /// Shards of our own gateway; 0: one for each core.
    pub shards: usize,
    /// How often it is measured, to see what grows.
    pub rounds: usize,
    /// Rounds against the raw loop; 0: none.
    pub raw_loop_rounds: usize,
    /// The cores of what is started; none: all.
    pub server_cores: Vec<usize>,
    /// The cores of the load; none: all.
    pub load_cores: Vec<usize>,
    /// Threads of clients.
    pub load_threads: usize,
    /// How clients read.
    pub reading: Reading,
    /// Set by whoever wants the run to end before its time.
    pub stop: Arc<AtomicBool>,
}

impl Bench {
    /// Runs it. `show` is told how far it is.
    ///
    /// # Errors
    ///
    /// Fails if a server cannot be started or reached, if it refuses clients or goes away, and if
    /// it is told to stop.
    pub fn run(&self, show: Show<'_>) -> Result<Report, String> {
        process::confine(&self.load_cores)
            .map_err(|error| format!("cores {:?}: {error}", self.load_cores))?;
        let target = match &self.running {
            Some(running) => Target::running(running)?,
            None => Target::gateway(self.shards, &self.server_cores)?,
        };
        let (mut gateway, mut found) = self.open(target, show)?;
        let Workload { clients, topics, topics_per_client, payload_bytes } = self.workload;
        let ticks_per_second = match &self.pace {
            Pace::PerSecond(rate) => Some(*rate),
            Pace::InFlight(_) => None,
            Pace::Recorded(arrivals) => Some(arrivals.per_second()),
        };
        let asked = Asked { clients, topics, topics_per_client, payload_bytes, ticks_per_second };
        if self.raw_loop_rounds > 0 {
            let target = Target::raw_loop(clients, &self.server_cores)?;
            let (mut raw, mut raw_found) = self.open(target, show)?;
            let rounds = u32::try_from(self.raw_loop_rounds).unwrap_or(u32::MAX);
            for round in 1..=rounds {
                let name = format!("round {round}");
                for (session, found) in [(&mut gateway, &mut found), (&mut raw, &mut raw_found)] {
                    let time = self.time / rounds;
                    let phase = session.traffic(&name, &self.pace, self.warm_up, time, show)?;
                    found.phases.push(phase);
                }
            }
            let against_raw_loop = Some(ratios(&found.phases, &raw_found.phases));
            return Ok(Report { asked, targets: vec![found, raw_found], against_raw_loop });
        }
        if let Some(pause) = self.probe {
            gateway.probe(pause);
        }
        gateway.churn(self.churn_per_second);
        if let (Reading::Later(ticks), Pace::InFlight(window)) = (self.reading, &self.pace) {
            // A round that were on the way as a whole would end before anything had come.
            let window = (*window).min(ticks / 8).max(1);
            self.unread(&mut gateway, &mut found, (ticks, window), show)?;
            return Ok(Report { asked, targets: vec![found], against_raw_loop: None });
        }
        let mut traffic = |name: &str, gateway: &mut Session| {
            gateway.traffic(name, &self.pace, self.warm_up, self.time, show)
        };
        if self.rounds > 1 {
            for round in 1..=self.rounds {
                found.phases.push(traffic(&format!("round {round}"), &mut gateway)?);
            }
            found.sum_up();
        } else {
            let first = if self.stall_every > 0 { "all read" } else { "traffic" };
            found.phases.push(traffic(first, &mut gateway)?);
        }
        if self.stall_every > 0 {
            gateway.stall(self.stall_every, true);
            found.phases.push(traffic("some stall", &mut gateway)?);
            gateway.stall(self.stall_every, false);
            found.phases.push(traffic("all again", &mut gateway)?);
        }
        Ok(Report { asked, targets: vec![found], against_raw_loop: None })
    }

    /// Rounds in which nobody reads.
    fn unread(
        &self,
        gateway: &mut Session,
        found: &mut TargetReport,
        ticks: (u64, u64),
        show: Show<'_>,
    ) -> Result<(), String> {
        // So that everybody knows how large a tick is, and the gateway is warm.
        let warm_up = self.warm_up.max(WARM_UP_MIN);
        gateway.traffic("warming up", &self.pace, Duration::ZERO, warm_up, show)?;
        // In the first, the system gets memory that it had never needed before.
        gateway.unread("warming up", ticks, show)?;
        for round in 1..=self.rounds {
            found.phases.push(gateway.unread(&format!("round {round}"), ticks, show)?);
        }
        found.sum_up();
        Ok(())
    }

    fn open(&self, target: Target, show: Show<'_>) -> Result<(Session, TargetReport), String> {
        let name = target.name.to_owned();
        let stop = self.stop.clone();
        let threads = (self.load_threads, self.reading);
        let mut session = Session::start(target, self.workload, threads, stop);
        let opening = session.open(show)?;
        let (idle_bytes_per_client, idle_cpu) = session.idle(self.idle, show)?;
        let found = TargetReport {
            name,
            opening,
            idle_bytes_per_client,
            idle_cpu,
            ..TargetReport::default()
        };
        Ok((session, found))
    }
}

impl TargetReport {
    /// Says what several rounds have in common.
    fn sum_up(&mut self) {
        let each = self.phases.iter().map(|phase| phase.per_second);
        self.median_per_second = median(each.collect()).filter(|_| self.phases.len() > 1);
        self.growth = Growth::of(&self.phases);
    }
}

fn ratios(gateway: &[Phase], raw: &[Phase]) -> Ratios {
    let pairs = || gateway.iter().zip(raw);
    let cpu = pairs()
        .filter_map(|(gateway, raw)| Some(gateway.cpu_ns_per_delivery? / raw.cpu_ns_per_delivery?));
    let p99 = pairs().map(|(gateway, raw)| gateway.latency.p99 / raw.latency.p99);
    Ratios {
        cpu_per_delivery: median(cpu.collect()),
        p99: median(p99.collect()).unwrap_or_default(),
        rounds: gateway.len(),
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len().checked_sub(1)? / 2;
    Some(f64::midpoint(numbers[middle], numbers[numbers.len() / 2]))
}

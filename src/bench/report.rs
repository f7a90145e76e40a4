//! What a run has found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::tally::{Tally, Times};

/// All that a run has found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was asked for.
    pub asked: Asked,
    /// One for each server.
    pub targets: Vec<TargetReport>,
    /// What the gateway costs beyond the raw loop, if that was asked for.
    pub against_raw_loop: Option<Ratios>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asked {
    /// Clients.
    pub clients: usize,
    /// Topics that were published.
    pub topics: usize,
    /// Topics of each client.
    pub topics_per_client: usize,
    /// Bytes of a tick's JSON.
    pub payload_bytes: usize,
    /// Ticks per second; none: as fast as they were delivered.
    pub ticks_per_second: Option<f64>,
}

/// What was found at one server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetReport {
    /// What it is.
    pub name: String,
    /// How its clients came in.
    pub opening: Opening,
    /// Bytes of its memory for each client, before there was traffic.
    pub idle_bytes_per_client: Option<f64>,
    /// The part of a core that it kept busy while nothing happened.
    pub idle_cpu: Option<f64>,
    /// What happened then.
    pub phases: Vec<Phase>,
    /// Deliveries a second in the median of the rounds, if there were several.
    pub median_per_second: Option<f64>,
    /// What has grown from the first round to the last, if there were several.
    pub growth: Option<Growth>,
}

/// How much a server had at the end of the first of several rounds, of the last, and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Bytes of its memory.
    pub memory_bytes: Option<Grown>,
    /// Files that it had open.
    pub open_files: Option<Grown>,
    /// Tasks that lived in it.
    pub tasks: Option<Grown>,
}

/// Of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Grown {
    /// At the end of the first round.
    pub first: u64,
    /// At the end of the last.
    pub last: u64,
    /// At the end of any.
    pub most: u64,
}

impl Growth {
    pub(super) fn of(rounds: &[Phase]) -> Option<Self> {
        let grown = |what: fn(&Phase) -> Option<u64>| {
            let all = rounds.iter().map(what).collect::<Option<Vec<u64>>>()?;
            let (first, last) = (*all.first()?, *all.last()?);
            Some(Grown { first, last, most: all.into_iter().max()? })
        };
        (rounds.len() > 1).then(|| Self {
            memory_bytes: grown(|phase| phase.memory_bytes),
            open_files: grown(|phase| phase.open_files),
            tasks: grown(|phase| phase.tasks),
        })
    }

    fn shown(&self) -> String {
        let said = |name: &str, grown: Option<Grown>, unit: f64, suffix: &str| {
            let Grown { first, last, most } = grown?;
            let [first, last, most] = [first, last, most].map(|n| grouped(n as f64 / unit));
            Some(format!("{name} {first} to {last}{suffix} (at most {most})"))
        };
        let said = [
            said("memory", self.memory_bytes, 1e6, " MB"),
            said("files", self.open_files, 1.0, ""),
            said("tasks", self.tasks, 1.0, ""),
        ];
        said.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// How clients came in.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Opening {
    /// Clients that are connected, authenticated and subscribed.
    pub clients: u64,
    /// Their subscriptions.
    pub subscriptions: u64,
    /// From the first connection to the last answer.
    pub seconds: f64,
    /// From each client's connection to its last answer.
    pub ready: Percentiles,
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Half of them are not longer.
    pub p50: f64,
    /// So are nine of ten.
    pub p90: f64,
    /// So are 99 of 100.
    pub p99: f64,
    /// So are 999 of 1,000.
    pub p999: f64,
    /// So are all.
    pub max: f64,
}

impl Percentiles {
    pub(super) fn of(times: &Times) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |part| ms(times.quantile(part));
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: ms(times.max()) }
    }
}

/// What happened while ticks were published.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Phase {
    /// Which.
    pub name: String,
    /// How long it was measured.
    pub seconds: f64,
    /// Ticks that clients read in that time.
    pub delivered: u64,
    /// The same each second.
    pub per_second: f64,
    /// Ticks that were left out before a later one.
    pub skipped: u64,
    /// Times that something was left out and the next tick did not say how much.
    pub untold: u64,
    /// Ticks that were published last and never came, and all that clients did not get whose
    /// connections had ended. Not counted of those that did not read. A client that comes again
    /// counts from the first tick on that it reads.
    pub missing: u64,
    /// Deliveries that all ticks were to lead to, those of the warm-up among them.
    pub expected: u64,
    /// How many of these never happened, the warm-up's among them; not known with churn.
    pub lost: Option<u64>,
    /// Whether all had arrived that would. Else what still came was counted as lost.
    pub drained: bool,
    /// Connections that ended before their time.
    pub disconnected: u64,
    /// Ticks that came twice or after a later one.
    pub misordered: u64,
    /// Messages that are neither answers nor ticks of the load.
    pub foreign: u64,
    /// Ticks that never left the publisher, since the bus did not take them.
    pub not_published: u64,
    /// From when a tick was due to when a client had read it, of all that were due in the measured
    /// time, whenever they came.
    pub latency: Percentiles,
    /// From a subscribe request to its answer, if a client asked all the time.
    pub answers: Option<Percentiles>,
    /// Clients that closed and came again.
    pub reconnects: u64,
    /// The part of a core that the server kept busy; 2 is two cores.
    pub cpu: Option<f64>,
    /// What the server took for each delivery.
    pub cpu_ns_per_delivery: Option<f64>,
    /// The part of a core that the load itself kept busy.
    pub load_cpu: Option<f64>,
    /// Memory of the server at the end.
    pub memory_bytes: Option<u64>,
    /// Files that the server had open at the end.
    pub open_files: Option<u64>,
    /// Tasks that lived in the server at the end.
    pub tasks: Option<u64>,
    /// Why a connection ended that should not have.
    pub trouble: Option<String>,
}

impl Phase {
    pub(super) fn of(
        name: &str,
        tally: &Tally,
        elapsed_ns: u64,
        server_ns: Option<u64>,
        load_ns: Option<u64>,
    ) -> Self {
        let seconds = elapsed_ns as f64 / 1e9;
        let part = |ns: u64| ns as f64 / elapsed_ns as f64;
        Self {
            name: name.into(),
            seconds,
            delivered: tally.delivered,
            per_second: tally.delivered as f64 / seconds,
            skipped: tally.skipped,
            untold: tally.untold,
            misordered: tally.misordered,
            foreign: tally.foreign,
            answers: (!tally.answers.is_empty()).then(|| Percentiles::of(&tally.answers)),
            reconnects: tally.reconnects,
            cpu: server_ns.map(part),
            cpu_ns_per_delivery: server_ns.map(|ns| ns as f64 / tally.delivered.max(1) as f64),
            load_cpu: load_ns.map(part),
            ..Self::default()
        }
    }
}

/// What the gateway costs, the raw loop being 1: the median of the rounds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ratios {
    /// Processor time for each delivery.
    pub cpu_per_delivery: Option<f64>,
    /// The 99th percentile of the time to the client.
    pub p99: f64,
    /// Rounds, each of the gateway and of the raw loop.
    pub rounds: usize,
}

impl Report {
    /// As a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        let Asked { topics, topics_per_client, payload_bytes, ticks_per_second, .. } = self.asked;
        let pace = match ticks_per_second {
            Some(rate) => format!("{rate} ticks/s"),
            None => "as fast as they are delivered".into(),
        };
        let load = format!(
            "{} topic(s), {} of them for each client, {payload_bytes} bytes, {pace}",
            grouped(topics as f64),
            grouped(topics_per_client as f64)
        );
        line("load", &load);
        for target in &self.targets {
            target.show(&mut line);
        }
        if let Some(ratios) = &self.against_raw_loop {
            let cpu = ratios.cpu_per_delivery.map_or("unknown".into(), |cpu| format!("{cpu:.2}"));
            let rounds = ratios.rounds;
            let said = format!(
                "CPU per delivery {cpu}, p99 {:.2} (median of {rounds} rounds)",
                ratios.p99
            );
            line("to raw loop", &said);
        }
        text
    }
}

impl TargetReport {
    fn show(&self, line: &mut impl FnMut(&str, &str)) {
        let Opening { clients, subscriptions, seconds, ready } = &self.opening;
        line("", "");
        line(&self.name, "");
        let opened = format!(
            "{} with {} subscriptions in {seconds:.2} s (each: p50 {:.0} ms, p99 {:.0} ms)",
            grouped(*clients as f64),
            grouped(*subscriptions as f64),
            ready.p50,
            ready.p99
        );
        line("  clients", &opened);
        if let (Some(bytes), Some(cpu)) = (self.idle_bytes_per_client, self.idle_cpu) {
            let idle = format!("{:.1} kB a client, {:.2} % of a core", bytes / 1e3, cpu * 100.0);
            line("  idle", &idle);
        }
        for phase in &self.phases {
            phase.show(line);
        }
        if let Some(per_second) = self.median_per_second {
            let rounds = self.phases.len();
            let said = format!("{}/s, of {rounds} rounds", grouped(per_second));
            line("  median", &said);
        }
        if let Some(growth) = &self.growth {
            line("  growth", &growth.shown());
        }
    }
}

impl Phase {
    fn show(&self, line: &mut impl FnMut(&str, &str)) {
        let Self { skipped, missing, misordered, latency, .. } = self;
        line(&format!("  {}", self.name), &format!("{:.1} s", self.seconds));
        let unfinished = if self.drained { "" } else { " (or still on the way)" };
        let delivered = format!(
            "{}/s; {} skipped, {} missing{unfinished}, {} out of order",
            grouped(self.per_second),
            grouped(*skipped as f64),
            grouped(*missing as f64),
            grouped(*misordered as f64)
        );
        line("    deliveries", &delivered);
        if latency.max > 0.0 {
            line("    latency", &times(latency));
        }
        if let Some(answers) = &self.answers {
            line("    subscribe", &times(answers));
        }
        if let (Some(cpu), Some(each)) = (self.cpu, self.cpu_ns_per_delivery) {
            let memory = self.memory_bytes.unwrap_or(0) as f64 / 1e6;
            let files = self.open_files.unwrap_or(0);
            let tasks = self.tasks.map_or(String::new(), |tasks| format!(", {tasks} tasks"));
            let server = format!(
                "{:.0} % of a core, {:.3} us a delivery, {memory:.0} MB, {files} files{tasks}",
                cpu * 100.0,
                each / 1e3
            );
            line("    server", &server);
        }
        if let Some(cpu) = self.load_cpu {
            line("    load", &format!("{:.0} % of a core", cpu * 100.0));
        }
        if self.untold > 0 {
            let gaps = grouped(self.untold as f64);
            line("    untold", &format!("{gaps} gaps of which the next tick does not say so much"));
        }
        if self.reconnects > 0 {
            line("    reconnects", &grouped(self.reconnects as f64));
        }
        if self.not_published > 0 {
            let lost = grouped(self.not_published as f64);
            line("    bus", &format!("{lost} ticks were published faster than the bus took them"));
        }
        if let Some(trouble) = &self.trouble {
            let lost = grouped(self.disconnected as f64);
            line("    disconnected", &format!("{lost}; the first: {trouble}"));
        }
    }
}

fn times(at: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = at;
    format!("p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2}")
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;

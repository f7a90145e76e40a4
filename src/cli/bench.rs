//! `tickgate bench`: a load, and what becomes of it.

use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::signals::{Asked, Signals};
use super::tail::Url;
use super::{Failure, multi_thread_runtime, print};
use crate::auth::DEMO_KEY;
use crate::bench::{
    Arrivals, Bench, Dialect, PAYLOAD_BYTES_MIN, Pace, Reading, Running, TOPICS_MAX, Workload,
    raw_loop,
};
use crate::runtime::{Runtime as _, TokioRuntime};

/// Files that are open besides the clients' sockets, generously.
const OTHER_FILES: u64 = 256;
/// Subscriptions of all clients together: half of what a gateway can be told to allow one user.
const SUBSCRIPTIONS_MAX: usize = 5_000_000;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DialectArg {
    /// That of this gateway, with ticks over ZeroMQ
    Tickgate,
    /// That of NATS, over WebSockets for clients and TCP for ticks
    Nats,
}

#[derive(Args)]
pub(super) struct BenchArgs {
    /// Clients, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Topics that are published, in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = topics)]
    topics: usize,
    /// Topics of each client, chosen at random [default: all]
    #[arg(long, value_name = "N", value_parser = topics)]
    topics_per_client: Option<usize>,
    /// Bytes of a tick's JSON, 128 to 65536
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = payload_bytes)]
    bytes: usize,
    /// Ticks per second, all topics together, on time whatever the gateway does; 0: none at all
    /// [default: as fast as they are delivered]
    #[arg(long, value_name = "X", value_parser = rate)]
    rate: Option<f64>,
    /// Without --rate: ticks that may be on the way at a time
    #[arg(long, value_name = "N", default_value_t = 1_024,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    in_flight: u64,
    /// Publish when this recording had ticks, with its topics and sizes, over and over; what they
    /// say is the load's own, and at least 128 bytes
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["rate", "in_flight", "topics", "bytes", "trimmed"])]
    recording: Option<PathBuf>,
    /// With --recording: so many times faster than it was, 0.01 to 10000
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "recording",
        value_parser = speed)]
    speed: f64,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: u64,
    /// How long to go on before, uncounted
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    warm_up_seconds: u64,
    /// How long to do nothing before that, to see what idle clients cost
    #[arg(long, value_name = "N", default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    idle_seconds: u64,
    /// In a second phase every N-th client stops reading, in a third all read again; with --rate
    #[arg(long, value_name = "N", requires = "rate",
        value_parser = clap::value_parser!(u32).range(2..))]
    stall_every: Option<u32>,
    /// Clients that close and come again each second, chosen at random; with --rate
    #[arg(long, value_name = "X", requires = "rate", value_parser = above_zero)]
    churn: Option<f64>,
    /// One more client unsubscribes from and subscribes to a topic again and again, with this pause
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    probe_ms: Option<u64>,
    /// Measure so often in a row, and say what grows: memory, files, tasks
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["stall_every", "raw_loop"],
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Compare with a loop that does nothing but write, in N rounds each; with --rate and one topic
    #[arg(long, value_name = "N", requires = "rate",
        conflicts_with_all = ["url", "stall_every", "churn", "probe_ms"],
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    raw_loop: Option<u32>,
    /// A gateway that runs already [default: one of its own, for this run alone]
    #[arg(long, value_parser = Url::parse, requires = "bus")]
    url: Option<Url>,
    /// That gateway's bus, tcp://host:port; all its users can see what is published
    #[arg(long, value_name = "ADDRESS", value_parser = bus, requires = "url")]
    bus: Option<String>,
    /// What that server speaks
    #[arg(long, value_enum, default_value_t = DialectArg::Tickgate, requires = "url")]
    dialect: DialectArg,
    /// That gateway's process, to say what it costs
    #[arg(long, requires = "url")]
    pid: Option<u32>,
    /// API key for that gateway; better given by the variable [default: the demo key]
    #[arg(long, env = "TICKGATE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Shards of its own gateway; 0: one for each core
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "url",
        value_parser = clap::value_parser!(u32).range(0..=64))]
    shards: u32,
    /// Cores of its own gateway, as 0,1 [default: all]
    #[arg(long, value_name = "CORES", value_delimiter = ',', conflicts_with = "url")]
    server_cores: Vec<usize>,
    /// Cores of the load, as 2,3 [default: all]
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    load_cores: Vec<usize>,
    /// Threads of clients
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=256))]
    load_threads: u32,
    /// Clients count bytes and look at nothing, so that little of the machine is theirs; with one
    /// topic. Lateness and order are not known then
    #[arg(long, conflicts_with_all = ["stall_every", "churn", "probe_ms", "raw_loop"])]
    trimmed: bool,
    /// Clients read nothing while it is measured: in each round N ticks wait for them in the
    /// system, so that the machine is the gateway's alone; with one topic
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
        conflicts_with_all = ["trimmed", "rate", "recording", "stall_every", "churn", "probe_ms",
            "raw_loop", "seconds", "dialect"])]
    unread: Option<u64>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl std::fmt::Debug for BenchArgs {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchArgs").field("clients", &self.clients).finish_non_exhaustive()
    }
}

#[derive(Args, Debug)]
pub(super) struct RawLoopArgs {
    /// Clients, each of which gets every tick once all of them are there
    clients: usize,
}

/// Runs a load and prints what it found.
///
/// # Errors
///
/// Fails if a gateway cannot be started or reached, or if it refuses clients; and on SIGINT and
/// SIGTERM, after what was started here has ended.
pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let bench = args.bench()?;
    raise_open_files_limit(bench.workload.clients)?;
    let runtime = multi_thread_runtime()?;
    let entered = runtime.enter();
    let mut signals = Signals::install()?;
    let stop = bench.stop.clone();
    let told = async move {
        while signals.next().await != Asked::End {}
        stop.store(true, Ordering::Relaxed);
    };
    let _told = TokioRuntime::new().spawn("signals", told);
    drop(entered);
    let progress = std::io::stderr();
    let terminal = progress.is_terminal();
    let mut show = |words: &str, done: u64, all: u64| {
        if terminal {
            let part = (done * 100).checked_div(all).unwrap_or(100).min(100);
            // A bar that cannot be shown is no reason to stop.
            let _ = write!(progress.lock(), "\r{part:>3} % {words}\x1b[K");
        }
    };
    let result = bench.run(&mut show);
    if terminal {
        let _ = write!(progress.lock(), "\r\x1b[K");
    }
    let report = result.map_err(Failure::Runtime)?;
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        return print(&format!("{}\n", json.map_err(|error| Failure::Runtime(error.to_string()))?));
    }
    print(&report.table())
}

/// Serves as the loop that a gateway is compared with.
///
/// # Errors
///
/// Fails if there are no sockets.
pub(super) fn run_raw_loop(args: &RawLoopArgs) -> Result<(), Failure> {
    raise_open_files_limit(args.clients)?;
    raw_loop(args.clients).map_err(|error| Failure::Runtime(format!("raw loop: {error}")))
}

impl BenchArgs {
    fn bench(&self) -> Result<Bench, Failure> {
        let (pace, topics, payload_bytes) = self.pace()?;
        let topics_per_client = self.topics_per_client.unwrap_or(topics);
        if topics_per_client > topics {
            return Err(Failure::Usage(format!(
                "--topics-per-client is {topics_per_client}, but there are {topics} topics"
            )));
        }
        if (self.clients as usize).saturating_mul(topics_per_client) > SUBSCRIPTIONS_MAX {
            let sentence = format!("there may be {SUBSCRIPTIONS_MAX} subscriptions in all");
            return Err(Failure::Usage(sentence));
        }
        if self.raw_loop.is_some() && self.topics > 1 {
            return Err(Failure::Usage("the raw loop knows one topic alone".into()));
        }
        let (name, reading) = match self.unread {
            Some(ticks) => ("--unread", Reading::Later(ticks)),
            None if self.trimmed => ("--trimmed", Reading::Bytes),
            None => ("", Reading::Each),
        };
        if reading != Reading::Each && self.topics > 1 {
            return Err(Failure::Usage(format!("{name} needs one topic alone")));
        }
        Ok(Bench {
            workload: Workload {
                clients: self.clients as usize,
                topics,
                topics_per_client,
                payload_bytes,
            },
            pace,
            time: Duration::from_secs(self.seconds),
            warm_up: Duration::from_secs(self.warm_up_seconds),
            idle: Duration::from_secs(self.idle_seconds),
            stall_every: self.stall_every.unwrap_or(0) as usize,
            churn_per_second: self.churn.unwrap_or(0.0),
            probe: self.probe_ms.map(Duration::from_millis),
            running: self.running()?,
            shards: self.shards as usize,
            rounds: self.rounds as usize,
            raw_loop_rounds: self.raw_loop.unwrap_or(0) as usize,
            server_cores: self.server_cores.clone(),
            load_cores: self.load_cores.clone(),
            load_threads: self.load_threads as usize,
            reading,
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    /// How fast, over how many topics, and bytes of a tick.
    fn pace(&self) -> Result<(Pace, usize, usize), Failure> {
        let Some(file) = &self.recording else {
            let pace = self.rate.map_or(Pace::InFlight(self.in_flight), Pace::PerSecond);
            return Ok((pace, self.topics, self.bytes));
        };
        let arrivals = Arrivals::read(file, self.speed).map_err(Failure::Usage)?;
        let (topics, bytes) = (arrivals.topics(), arrivals.mean_bytes());
        if topics > TOPICS_MAX {
            let sentence = format!("{} has more than {TOPICS_MAX} topics", file.display());
            return Err(Failure::Usage(sentence));
        }
        Ok((Pace::Recorded(Arc::new(arrivals)), topics, bytes))
    }

    fn running(&self) -> Result<Option<Running>, Failure> {
        let (Some(url), Some(bus)) = (&self.url, &self.bus) else { return Ok(None) };
        if url.tls {
            let sentence = "the load speaks no TLS; give a ws:// URL";
            return Err(Failure::Usage(sentence.into()));
        }
        let host = url.address.to_string();
        let address = resolve(&host)?;
        // Behind the scheme and the authority, which `Url` has put there.
        let path = url.text.splitn(4, '/').nth(3).unwrap_or_default();
        let path = format!("/{path}");
        let key = self.key.clone().unwrap_or_else(|| DEMO_KEY.into());
        let dialect = match self.dialect {
            DialectArg::Tickgate => Dialect::Tickgate,
            DialectArg::Nats => Dialect::Nats,
        };
        Ok(Some(Running { dialect, address, host, path, key, bus: bus.clone(), pid: self.pid }))
    }
}

fn resolve(host: &str) -> Result<SocketAddr, Failure> {
    let mut found =
        host.to_socket_addrs().map_err(|error| Failure::Runtime(format!("{host}: {error}")))?;
    found.next().ok_or_else(|| Failure::Runtime(format!("{host} has no address")))
}

/// Lets this process and the gateway that it starts open as many files as the clients need.
fn raise_open_files_limit(clients: usize) -> Result<(), Failure> {
    let needed = clients as u64 + OTHER_FILES;
    let limit = rlimit::increase_nofile_limit(u64::MAX)
        .map_err(|error| Failure::Runtime(format!("the limit of open files: {error}")))?;
    if limit < needed {
        return Err(Failure::Usage(format!(
            "{clients} clients need {needed} open files, but this process may open {limit}; raise \
             that (`ulimit -n {needed}`) or ask for fewer clients"
        )));
    }
    Ok(())
}

fn topics(text: &str) -> Result<usize, String> {
    between(text, 1, TOPICS_MAX)
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    between(text, PAYLOAD_BYTES_MIN, 65_536)
}

fn between(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("a number from {min} to {max}"))
}

fn rate(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { above_zero(text) }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| (0.01..=10_000.0).contains(speed));
    speed.ok_or_else(|| "a number from 0.01 to 10000".into())
}

fn above_zero(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.01 to 10000000".into())
}

fn bus(text: &str) -> Result<String, String> {
    crate::zmtp::parse_endpoint(text).map_err(|error| error.to_string())
}

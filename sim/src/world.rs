//! Plays a plan: the gateway as it is, on simulated hosts, among scripted actors.
//!
//! Hosts: `gateway`, `broker` (or several, by their names), `feed`, `operator`, and one to three
//! groups of clients. One host for each client would cost the cube of their number.

mod administration;
mod events;
mod gateway;
mod leaps;
mod outcome;
pub mod real;
mod steps;
mod weather;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use tickgate::runtime::{Runtime as _, TaskGroup};

pub use events::play_keeping_events;
pub use gateway::config;
pub use outcome::Outcome;

use self::weather::Weather;

use crate::actors::{Stage, broker, client, feed, operator};
use crate::fault::Party;
use crate::fence;
use crate::history::{Phase, Recorder};
use crate::invariant::{self, Invariant};
use crate::plan::{NetworkKind, Plan};
use crate::runtime::clock::now_us;
use crate::runtime::{FaultBook, SimRuntime, crash};

/// Simulated time after which a simulation is stuck, beyond the length of the story.
const BEYOND_THE_STORY: Duration = Duration::from_secs(120);
/// Real time without an end after which a simulation is stuck: the gateway spins.
const REAL_TIME_MAX: Duration = Duration::from_secs(120);
/// The host of the server under test.
const GATEWAY: &str = "gateway";
/// Begins the name of each host of clients.
const CLIENTS: &str = "clients-";

/// How to play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep the whole trace, not only its hash and its end.
    pub keep_trace: bool,
    /// Another number, other orders of hash maps and other masks: nothing else may differ.
    pub salt: u64,
}

/// Plays a plan on a thread of its own.
///
/// Random numbers that escape the seed hang on the thread: a fresh one keeps the simulations of
/// one process apart.
#[must_use]
pub fn play(plan: &Plan, options: Options) -> Outcome {
    play_judged(plan, options, invariant::all(plan))
}

/// As [`play`], judged by other invariants.
#[must_use]
pub fn play_judged(plan: &Plan, options: Options, invariants: Vec<Box<dyn Invariant>>) -> Outcome {
    let plan = plan.clone();
    let (done, outcome) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("simulation".into());
    let spawned = thread.spawn(move || {
        let _ = done.send(play_here(plan, options, invariants));
    });
    match spawned.map(|_| outcome.recv_timeout(REAL_TIME_MAX)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::without_history(format!(
            "no end after {} s of real time: something spins",
            REAL_TIME_MAX.as_secs()
        )),
        Err(error) => Outcome::without_history(format!("no thread for the simulation: {error}")),
    }
}

fn play_here(plan: Plan, options: Options, invariants: Vec<Box<dyn Invariant>>) -> Outcome {
    let _fence = fence::raise(plan.seed, options.salt, &plan.about);
    let stage = Stage::new(Recorder::new(invariants, options.keep_trace));
    let subscriber = crate::log_capture::subscriber(stage.clone());
    let book = fault_book(&plan, &stage);
    let hosts = runtimes(&plan, &book);
    let weather = Weather::new(&plan, book);
    crash::catch_on_this_thread();
    let crash = tracing::subscriber::with_default(subscriber, || match plan.network.kind {
        NetworkKind::Events => leaps::play(&plan, &stage, weather, &hosts),
        NetworkKind::Turmoil => steps::play(&plan, &stage, weather, &hosts),
    });
    Outcome::of(&stage, crash.err(), hosts[GATEWAY].interleavings())
}

/// The hosts. The order is part of the seed's meaning.
fn hosts(plan: &Plan) -> Vec<String> {
    let clients = (0..plan.network.client_hosts).map(|host| format!("{CLIENTS}{host}"));
    let brokers = plan.brokers().map(|broker| broker.host.host().to_owned());
    let others = ["feed", "operator"].map(String::from);
    [GATEWAY.to_owned()].into_iter().chain(brokers).chain(others).chain(clients).collect()
}

/// Plays the part of a host.
async fn play_host(
    host: String,
    runtime: SimRuntime,
    stage: Stage,
    plan: Plan,
) -> Result<(), String> {
    if let Some(broker) = plan.brokers().find(|broker| broker.host.host() == host) {
        return broker::play(runtime, stage, broker.clone(), &plan).await;
    }
    match host.as_str() {
        "gateway" => gateway::serve(runtime, stage, plan).await,
        "feed" => {
            feed::play(runtime, stage, plan).await;
            Ok(())
        }
        "operator" => {
            operator::lead(runtime, stage, plan).await;
            Ok(())
        }
        clients => {
            let number = clients.strip_prefix(CLIENTS).and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| format!("there is no host {clients}"))?;
            play_clients(&runtime, &stage, plan, number).await;
            Ok(())
        }
    }
}

/// What each host has of the world. The gateway connects to brokers and to nobody else.
fn runtimes(plan: &Plan, book: &FaultBook) -> BTreeMap<String, SimRuntime> {
    let runtime_of = |host: String| {
        let runtime = SimRuntime::new(plan.seed, &host, plan.task_order)
            .with_yields(plan.seed, &host, plan.yield_share)
            .with_faults(book.clone());
        let runtime = match host.as_str() {
            GATEWAY => runtime.acting_as(Party::Gateway),
            "feed" => runtime.acting_as(Party::Feed),
            _ => runtime,
        };
        (host, runtime)
    };
    hosts(plan).into_iter().map(runtime_of).collect()
}

fn fault_book(plan: &Plan, stage: &Stage) -> FaultBook {
    let stage = stage.clone();
    FaultBook::new(plan.seed, &plan.faults, move |notice| weather::note(&stage, notice))
}

/// When to stop a story that does not end.
fn last_moment(plan: &Plan) -> Duration {
    Duration::from_millis(plan.duration_ms) + BEYOND_THE_STORY
}

/// The story has been played: asks for everybody's last word.
fn finish(stage: &Stage) {
    if stage.phase() == Phase::Done {
        stage.recorder().finish(now_us());
    }
}

async fn play_clients(runtime: &SimRuntime, stage: &Stage, plan: Plan, host: u32) {
    let group = TaskGroup::new();
    let brokers = plan.broker_names();
    for client in plan.clients.into_iter().filter(|client| client.host == host) {
        let runtime = runtime.acting_as(Party::Client(client.name.clone()));
        let part = client::play(runtime.clone(), stage.clone(), client, brokers.clone());
        group.spawn(&runtime, "client", part);
    }
    group.emptied().await;
    debug_assert_eq!(runtime.tasks().total(), 0, "clients leave no task behind");
    // A host that ends would be removed from the network.
    std::future::pending().await
}

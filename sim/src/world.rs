//! Plays a plan: the gateway as it is, on simulated hosts, among scripted actors.
//!
//! Hosts: `gateway`, `broker`, `feed`, `operator`, and one to three groups of clients. One host
//! for each client would cost the cube of their number.

mod gateway;
mod outcome;
mod weather;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

use tickgate::runtime::{Runtime as _, TaskGroup};

pub use outcome::Outcome;

use self::weather::Weather;

use crate::actors::{Stage, broker, client, feed, operator};
use crate::fault::Party;
use crate::history::{Phase, Recorder};
use crate::invariant::{self, Invariant};
use crate::plan::Plan;
use crate::runtime::{Crash, EPOCH_UNIX_MS, FaultBook, SimRuntime, crash};

/// Simulated time after which a simulation is stuck, beyond the length of the story.
const BEYOND_THE_STORY: Duration = Duration::from_secs(120);
/// Real time without an end after which a simulation is stuck: the gateway spins.
const REAL_TIME_MAX: Duration = Duration::from_secs(120);
/// Segments that a connection holds, and connections that wait to be accepted. Beyond the
/// latter the network would panic.
const TCP_CAPACITY: usize = 65_536;

/// How to play.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep the whole trace, not only its hash and its end.
    pub keep_trace: bool,
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
    let stage = Stage::new(Recorder::new(invariants, options.keep_trace));
    let book = faults(&plan, &stage);
    // The gateway connects to the broker and to nobody else.
    let gateway = host_runtime(&plan, "gateway", &book).acting_as(Party::Broker);
    let subscriber = crate::log_capture::subscriber(stage.clone());
    crash::catch_on_this_thread();
    let crash = tracing::subscriber::with_default(subscriber, || {
        step_to_the_end(&plan, &stage, &book, &gateway)
    })
    .err();
    Outcome::of(&stage, crash, gateway.interleavings())
}

/// Steps through simulated time until the end, or until something is wrong.
fn step_to_the_end(
    plan: &Plan,
    stage: &Stage,
    book: &FaultBook,
    gateway: &SimRuntime,
) -> Result<(), Crash> {
    let mut weather = Weather::new(plan, book.clone());
    let mut sim = build(plan, stage, book, gateway);
    let end = Duration::from_millis(plan.duration_ms) + BEYOND_THE_STORY;
    while stage.phase() < Phase::Done && sim.elapsed() < end {
        let step = || {
            weather.step(&mut sim, stage);
            sim.step()
        };
        let ended = match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(Crash { message: error.to_string(), place: String::new() }),
            Err(payload) => {
                crash::remember(payload.as_ref());
                None
            }
        };
        // What ends on its own after a panic ends because of it.
        if let Some(crash) = crash::first().or(ended) {
            std::mem::forget(sim);
            return Err(crash);
        }
        let recorder = stage.recorder();
        if recorder.violation().is_some() || recorder.is_stuck() {
            return Ok(());
        }
    }
    if stage.phase() == Phase::Done {
        stage.recorder().finish(u64::try_from(sim.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(())
}

fn faults(plan: &Plan, stage: &Stage) -> FaultBook {
    let stage = stage.clone();
    FaultBook::new(plan.seed, &plan.faults, move |notice| {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        let at_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        weather::note(&stage, at_us, notice);
    })
}

/// What runs on a host.
fn host_runtime(plan: &Plan, host: &str, book: &FaultBook) -> SimRuntime {
    SimRuntime::new(plan.seed, host, plan.task_order)
        .with_yields(plan.seed, host, plan.yield_share)
        .with_faults(book.clone())
}

fn build<'a>(
    plan: &Plan,
    stage: &Stage,
    book: &FaultBook,
    gateway: &SimRuntime,
) -> turmoil::Sim<'a> {
    let network = &plan.network;
    let mut builder = turmoil::Builder::new();
    builder
        .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_UNIX_MS))
        .rng_seed(plan.seed)
        .tick_duration(Duration::from_millis(network.tick_ms))
        .min_message_latency(Duration::from_millis(network.latency_ms[0]))
        .max_message_latency(Duration::from_millis(network.latency_ms[1]))
        .simulation_duration(Duration::MAX)
        .tcp_capacity(TCP_CAPACITY);
    if network.random_host_order {
        builder.enable_random_order();
    }
    let mut sim = builder.build();
    // The order of registration is part of the seed's meaning.
    let runtime = |host: &str| host_runtime(plan, host, book);

    let part = (gateway.clone(), stage.clone(), plan.clone());
    sim.host("gateway", move || {
        let (runtime, stage, plan) = part.clone();
        crash::caught(async move { Ok(gateway::serve(runtime, stage, plan).await?) })
    });
    let part = (runtime("broker"), stage.clone(), plan.clone());
    sim.host("broker", move || {
        let (runtime, stage, plan) = part.clone();
        crash::caught(async move { Ok(broker::play(runtime, stage, plan).await?) })
    });
    let part = (runtime("feed").acting_as(Party::Feed), stage.clone(), plan.clone());
    sim.host("feed", move || {
        let (runtime, stage, plan) = part.clone();
        crash::caught(async move {
            feed::play(runtime, stage, plan).await;
            Ok(())
        })
    });
    let part = (runtime("operator"), stage.clone(), plan.clone());
    sim.host("operator", move || {
        let (runtime, stage, plan) = part.clone();
        crash::caught(async move {
            operator::lead(runtime, stage, plan).await;
            Ok(())
        })
    });
    for host in 0..network.client_hosts {
        let name = format!("clients-{host}");
        let part = (runtime(&name), stage.clone(), plan.clone());
        sim.host(name, move || {
            let (runtime, stage, plan) = part.clone();
            crash::caught(async move {
                play_clients(&runtime, &stage, plan, host).await;
                Ok(())
            })
        });
    }
    sim
}

async fn play_clients(runtime: &SimRuntime, stage: &Stage, plan: Plan, host: u32) {
    let group = TaskGroup::new();
    for client in plan.clients.into_iter().filter(|client| client.host == host) {
        let runtime = runtime.acting_as(Party::Client(client.name.clone()));
        group.spawn(&runtime.clone(), "client", client::play(runtime, stage.clone(), client));
    }
    group.emptied().await;
    debug_assert_eq!(runtime.tasks().total(), 0, "clients leave no task behind");
    // A host that ends would be removed from the network.
    std::future::pending().await
}

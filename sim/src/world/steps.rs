//! The world on turmoil's network, which goes through time step by step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use super::weather::{Sky, Weather};
use super::{finish, hosts, last_moment, play_host};
use crate::actors::Stage;
use crate::history::Phase;
use crate::plan::Plan;
use crate::runtime::{Crash, EPOCH_UNIX_MS, SimRuntime, crash};

/// Segments that a connection holds, and connections that wait to be accepted. Beyond the
/// latter the network would panic.
const TCP_CAPACITY: usize = 65_536;

/// Steps through simulated time until the end, or until something is wrong.
pub(super) fn play(
    plan: &Plan,
    stage: &Stage,
    mut weather: Weather,
    runtimes: &BTreeMap<String, SimRuntime>,
) -> Result<(), Crash> {
    let mut sim = build(plan, stage, runtimes);
    let end = last_moment(plan);
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
    finish(stage);
    Ok(())
}

fn build<'a>(
    plan: &Plan,
    stage: &Stage,
    runtimes: &BTreeMap<String, SimRuntime>,
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
    for host in hosts(plan) {
        let part = (host.clone(), runtimes[&host].clone(), stage.clone(), plan.clone());
        sim.host(host, move || {
            let (host, runtime, stage, plan) = part.clone();
            crash::caught(async move { Ok(play_host(host, runtime, stage, plan).await?) })
        });
    }
    sim
}

impl Sky for turmoil::Sim<'_> {
    fn hold(&mut self, a: &str, b: &str, held: bool) {
        match held {
            true => turmoil::Sim::hold(self, a, b),
            false => self.release(a, b),
        }
    }

    fn cut(&mut self, from: &str, to: &str, cut: bool) {
        match cut {
            true => self.partition_oneway(from, to),
            false => self.repair_oneway(from, to),
        }
    }

    fn slow(&mut self, a: &str, b: &str, most: Duration) {
        self.set_link_max_message_latency(a, b, most);
    }

    fn crash(&mut self, host: &str) {
        turmoil::Sim::crash(self, host);
    }

    fn restart(&mut self, host: &str) {
        self.bounce(host);
    }
}

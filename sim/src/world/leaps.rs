//! The world on a network of events: time jumps from one to the next.

use std::future::poll_fn;
use std::time::Duration;

use tickgate::runtime::TaskGroup;
use tokio::runtime::{Builder, RngSeed};

use super::{finish, hosts, last_moment, play_host};
use crate::actors::Stage;
use crate::plan::Plan;
use crate::runtime::{Crash, Network, SimRuntime, clock, crash};

/// Goes from event to event until the end, or until something is wrong.
pub(super) fn play(plan: &Plan, stage: &Stage) -> Result<(), Crash> {
    let built = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&plan.seed.to_le_bytes()))
        .build();
    let runtime =
        built.map_err(|error| Crash { message: error.to_string(), ..Crash::default() })?;
    match runtime.block_on(play_here(plan, stage)) {
        Ok(()) => {
            finish(stage);
            Ok(())
        }
        Err(crash) => {
            std::mem::forget(runtime);
            Err(crash)
        }
    }
}

async fn play_here(plan: &Plan, stage: &Stage) -> Result<(), Crash> {
    clock::start_on_this_thread();
    let latency = plan.network.latency_ms.map(Duration::from_millis);
    let network = Network::new(plan.seed, latency);
    let world = SimRuntime::new(plan.seed, "world", plan.task_order);
    let tasks = TaskGroup::new();
    for host in hosts(plan) {
        let runtime = SimRuntime::new(plan.seed, &host, plan.task_order).on(&network);
        let part = play_host(host, runtime, stage.clone(), plan.clone());
        tasks.spawn(&world, "host", async move {
            if let Err(message) = part.await {
                crash::report(Crash { message, ..Crash::default() });
            }
        });
    }
    let result = tokio::select! {
        biased;
        crash = poll_fn(|cx| crash::poll_first(cx)) => Err(crash),
        () = stage.ended() => Ok(()),
        () = tokio::time::sleep(last_moment(plan)) => Ok(()),
    };
    if result.is_err() {
        // Nothing of a broken world is dropped.
        std::mem::forget(tasks);
    }
    result
}

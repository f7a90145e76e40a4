//! The world on a network of events: time jumps from one to the next.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use tickgate::runtime::{Runtime as _, Task};
use tokio::runtime::{Builder, RngSeed};
use tokio::time::sleep;

use super::weather::{Sky, Weather};
use super::{finish, hosts, last_moment, play_host};
use crate::actors::Stage;
use crate::fence;
use crate::history::Phase;
use crate::plan::Plan;
use crate::runtime::{Crash, Network, SimRuntime, clock, crash};

/// Goes from event to event until the end, or until something is wrong.
pub(super) fn play(
    plan: &Plan,
    stage: &Stage,
    weather: Weather,
    runtimes: &BTreeMap<String, SimRuntime>,
) -> Result<(), Crash> {
    let built = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&plan.seed.to_le_bytes()))
        .build();
    let runtime =
        built.map_err(|error| Crash { message: error.to_string(), ..Crash::default() })?;
    match runtime.block_on(fence::closed(play_here(plan, stage, weather, runtimes))) {
        Ok(()) => {
            let _inside = (runtime.enter(), fence::close());
            finish(stage);
            Ok(())
        }
        Err(crash) => {
            std::mem::forget(runtime);
            Err(crash)
        }
    }
}

async fn play_here(
    plan: &Plan,
    stage: &Stage,
    mut weather: Weather,
    runtimes: &BTreeMap<String, SimRuntime>,
) -> Result<(), Crash> {
    clock::start_on_this_thread();
    let mut house = House::open(plan, stage, runtimes);
    let result = tokio::select! {
        biased;
        crash = poll_fn(|cx| crash::poll_first(cx)) => Err(crash),
        () = stage.ended() => Ok(()),
        () = sleep(last_moment(plan)) => Ok(()),
        () = bring(&mut weather, &mut house, stage) => Ok(()),
    };
    if result.is_err() {
        // Nothing of a broken world is dropped.
        std::mem::forget(house);
    }
    result
}

/// Does what is due when it is due. Never ends.
pub(super) async fn bring(weather: &mut Weather, sky: &mut impl Sky, stage: &Stage) {
    stage.reached(Phase::Play).await;
    loop {
        weather.step(sky, stage);
        let pause = weather.pause(stage);
        tokio::select! {
            biased;
            () = stage.reached(Phase::Settle) => break,
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
    weather.step(sky, stage);
    std::future::pending().await
}

/// All hosts, and the network between them.
struct House {
    plan: Plan,
    stage: Stage,
    network: Network,
    /// Spawns the hosts' first tasks.
    world: SimRuntime,
    /// By name: what each host has of the world, and its first task while it is up.
    hosts: BTreeMap<String, (SimRuntime, Option<Task>)>,
}

impl House {
    fn open(plan: &Plan, stage: &Stage, runtimes: &BTreeMap<String, SimRuntime>) -> Self {
        let latency = plan.network.latency_ms.map(Duration::from_millis);
        let network = Network::new(plan.seed, latency);
        let mut house = Self {
            plan: plan.clone(),
            stage: stage.clone(),
            world: SimRuntime::new(plan.seed, "world", plan.task_order).on(&network),
            network,
            hosts: BTreeMap::new(),
        };
        for host in hosts(plan) {
            let runtime = runtimes[&host].clone().on(&house.network);
            house.hosts.insert(host.clone(), (runtime, None));
            house.restart(&host);
        }
        house
    }
}

impl Sky for House {
    fn hold(&mut self, a: &str, b: &str, held: bool) {
        self.network.hold(a, b, held);
    }

    fn cut(&mut self, from: &str, to: &str, cut: bool) {
        self.network.cut(from, to, cut);
    }

    fn slow(&mut self, a: &str, b: &str, most: Duration) {
        self.network.slow(a, b, most);
    }

    fn crash(&mut self, host: &str) {
        if let Some((runtime, task)) = self.hosts.get_mut(host) {
            *task = None;
            // Its next life may begin in this very moment, on the same ports.
            runtime.kill();
        }
    }

    fn restart(&mut self, host: &str) {
        let Some((runtime, task)) = self.hosts.get_mut(host) else { return };
        let (stage, plan) = (self.stage.clone(), self.plan.clone());
        let part = play_host(host.to_owned(), runtime.clone(), stage, plan);
        *task = Some(self.world.spawn("host", async move {
            if let Err(message) = part.await {
                crash::report(Crash { message, ..Crash::default() });
            }
        }));
    }
}

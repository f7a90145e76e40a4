//! The server under test, as it is in production, on the simulated runtime.

use tickgate::auth::KeyTable;
use tickgate::config::{
    Admin, Auth, BrokerEntry, BrokerKind, BrokerTimes, Bus, Conduct, Config, Limits, Outbox, Server,
};
use tickgate::runtime::{Clock, Runtime as _};
use tickgate::server::Gateway;

use crate::actors::{BROKER_ENDPOINT, Stage};
use crate::history::{Actor, Phase, Seen};
use crate::plan::{BROKER_NAME, Plan};
use crate::runtime::SimRuntime;

/// Runs the gateway until the operator says stop.
///
/// # Errors
///
/// Fails if the gateway cannot start, or if one of its parts ends on its own.
pub async fn serve(runtime: SimRuntime, stage: Stage, plan: Plan) -> Result<(), String> {
    let mut gateway = Gateway::start(runtime.clone(), config(&plan), keys(&plan))
        .await
        .map_err(|error| format!("the gateway cannot start: {error}"))?;
    tokio::select! {
        biased;
        failure = gateway.failed() => return Err(failure.to_string()),
        () = stage.reached(Phase::Stop) => {}
    }
    let clock = Clock::start();
    gateway.stop().await;
    let took_ms = clock.now_ms();
    // An aborted task ends when the scheduler gets to it.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let tasks_left =
        runtime.tasks().counts().into_iter().map(|(name, count)| (name.into(), count as u64));
    stage.saw(&Actor::Gateway, Seen::Stopped { took_ms, tasks_left: tasks_left.collect() });
    stage.enter(Phase::Done);
    Ok(())
}

/// As an operator would write it, apart from addresses and the plan's times.
pub(super) fn config(plan: &Plan) -> Config {
    let times = &plan.gateway;
    let mut server = Server {
        listen: "0.0.0.0:8765".into(),
        auth_timeout_ms: times.auth_timeout_ms,
        drain_timeout_ms: times.drain_timeout_ms,
        shards: times.shards,
        ..Server::default()
    };
    let (mut limits, mut conduct) = (Limits::local(), Conduct::default());
    times.restrict(&mut server, &mut limits, &mut conduct);
    Config {
        server,
        limits,
        conduct,
        channel: times.channels.clone(),
        bus: Bus {
            bind: vec!["tcp://0.0.0.0:5555".into()],
            source_window_ms: times.source_window_ms,
            ..Bus::default()
        },
        outbox: Outbox {
            ticks_max: times.outbox_ticks_max,
            control_bytes_max: times.outbox_control_bytes_max,
            ..Outbox::default()
        },
        admin: Admin { listen: "0.0.0.0:8766".into() },
        auth: Auth { demo_key: false, ..Auth::default() },
        broker: BrokerTimes {
            connect_timeout_ms: times.connect_timeout_ms,
            answer_timeout_ms: times.answer_timeout_ms,
            request_timeout_ms: times.request_timeout_ms,
            retry_min_ms: times.retry_min_ms,
            retry_max_ms: times.retry_max_ms,
        },
        brokers: vec![BrokerEntry {
            name: BROKER_NAME.into(),
            kind: BrokerKind::Remote,
            address: Some(BROKER_ENDPOINT.into()),
            seed: None,
            ticks_per_second: None,
        }],
        ..Config::default()
    }
}

fn keys(plan: &Plan) -> KeyTable {
    let users = plan.users.iter();
    users.fold(KeyTable::new(), |keys, user| keys.with_key(&Plan::key_of(user), user.clone(), None))
}

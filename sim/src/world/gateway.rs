//! The server under test, as it is in production, on the simulated runtime.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tickgate::audit::{self, Audit, Record, Roll};
use tickgate::auth::{Credentials, KeyHash, KeyTable};
use tickgate::config::{
    Admin, Auth, BUS_SUBSCRIBES, BrokerEntry, BrokerKind, BrokerTimes, Bus, Conduct, Config,
    Limits, Outbox, Server, Ticks,
};
use tickgate::runtime::{Clock, Runtime as _};
use tickgate::server::Gateway;
use tickgate::topic::{BrokerName, UserId};
use tokio::sync::mpsc;

use super::administration::administer;
use crate::actors::Stage;
use crate::history::{Actor, KeyChange, Phase, Seen};
use crate::plan::{BrokerPlan, Plan, TimedKeyChange};
use crate::runtime::SimRuntime;

/// Runs the gateway until the operator says stop.
///
/// # Errors
///
/// Fails if the gateway cannot start, or if one of its parts ends on its own.
pub async fn serve(runtime: SimRuntime, stage: Stage, plan: Plan) -> Result<(), String> {
    let changes = passed(&plan, &stage);
    let held = Arc::new(Mutex::new(keys(&plan, changes)));
    let reads = held.clone();
    let credentials = Credentials::from_keys(move || lock(&reads).clone());
    let calendar = runtime.clone();
    let (audit, records) = Audit::channel(audit::QUEUE_MAX, move || calendar.unix_ms());
    let _audit_log = runtime.spawn("audit log", keep_audit_log(records, stage.clone()));
    let mut gateway = Gateway::start_audited(runtime.clone(), config(&plan), credentials, audit)
        .await
        .map_err(|error| format!("the gateway cannot start: {error}"))?;
    live(&runtime, &stage, &plan, &mut gateway, (changes, &held)).await?;
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

/// Has keys changed and orders given, until the operator says stop. `keys`: the changes that have
/// been carried out, and the keys of the moment.
async fn live(
    runtime: &SimRuntime,
    stage: &Stage,
    plan: &Plan,
    gateway: &mut Gateway,
    (mut changes, held): (usize, &Mutex<KeyTable>),
) -> Result<(), String> {
    let administrator = gateway.administrator().clone();
    let orders = administer(runtime, stage, &administrator, &plan.administration);
    let mut orders = std::pin::pin!(orders);
    loop {
        stage.note_key_changes(plan.keys.len() - changes);
        let change = tokio::select! {
            biased;
            failure = gateway.failed() => return Err(failure.to_string()),
            () = stage.reached(Phase::Stop) => return Ok(()),
            () = &mut orders => return Ok(()),
            change = next_change(stage, plan, changes) => change,
        };
        changes += 1;
        stage.saw(&Actor::Gateway, Seen::KeyChanges(change.clone()));
        *lock(held) = keys(plan, changes);
        let reloaded = gateway.reload_credentials().await;
        reloaded.map_err(|error| format!("the keys cannot be read again: {error}"))?;
        stage.saw(&Actor::Gateway, Seen::KeyChanged(change));
    }
}

/// As an operator would write it, apart from addresses and the plan's times.
#[must_use]
pub fn config(plan: &Plan) -> Config {
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
        roles: times.roles(),
        channel: times.channels.clone(),
        bus: Bus {
            bind: vec!["tcp://0.0.0.0:5555".into()],
            source_window_ms: times.source_window_ms,
            waiting_ticks_max: times.waiting_ticks_max,
            // This broker's order updates have its name as it is configured.
            prefixes: plan.users.iter().map(|user| prefix(plan, user)).collect(),
            subscribe: BUS_SUBSCRIBES[usize::from(times.wanted_prefixes)].into(),
            ..Bus::default()
        },
        outbox: Outbox {
            ticks_max: times.outbox_ticks_max,
            control_bytes_max: times.outbox_control_bytes_max,
            latest_bytes_max: times.outbox_latest_bytes_max,
            stall_timeout_ms: times.outbox_stall_timeout_ms,
            batch_window_ms: times.batch_window_ms,
            ..Outbox::default()
        },
        feed: times.feed(),
        market: times.markets.clone(),
        ticks: Ticks { seq: times.seq, snapshot: times.snapshot },
        admin: Admin { listen: "0.0.0.0:8766".into(), socket: String::new(), stats_file: None },
        auth: Auth { demo_key: false, ..Auth::default() },
        broker: BrokerTimes {
            connect_timeout_ms: times.connect_timeout_ms,
            answer_timeout_ms: times.answer_timeout_ms,
            request_timeout_ms: times.request_timeout_ms,
            retry_min_ms: times.retry_min_ms,
            retry_max_ms: times.retry_max_ms,
            ..BrokerTimes::default()
        },
        brokers: plan.brokers().map(|broker| entry(plan, broker)).collect(),
        ..Config::default()
    }
}

fn entry(plan: &Plan, broker: &BrokerPlan) -> BrokerEntry {
    BrokerEntry {
        address: Some(format!("tcp://{}", broker.host.address())),
        quirks: plan.gateway.quirks.clone(),
        ..BrokerEntry::new(broker.host.configured(), BrokerKind::Remote)
    }
}

/// In front of a user's order updates stands its broker.
fn prefix(plan: &Plan, user: &UserId) -> String {
    format!("{}_{user}_", plan.host_of(user).configured())
}

/// The broker that a key names; `None`: the first is meant.
pub(super) fn broker_of(plan: &Plan, user: &UserId) -> Option<BrokerName> {
    let host = plan.host_of(user);
    (*host != plan.broker.host).then(|| host.configured().into())
}

/// How many changes a gateway has missed that was started again. It reads what its keys are now.
fn passed(plan: &Plan, stage: &Stage) -> usize {
    if stage.phase() < Phase::Play {
        return 0;
    }
    let story_ms = stage.story_ms();
    let changes = plan.keys.iter().take_while(|timed| timed.at_ms <= story_ms).count();
    for user in plan.users.iter().filter(|_| changes > 0) {
        let change = KeyChange { user: user.clone(), role: plan.role_after(user, changes) };
        stage.saw(&Actor::Gateway, Seen::KeyChanges(change.clone()));
        stage.saw(&Actor::Gateway, Seen::KeyChanged(change));
    }
    changes
}

/// Waits for the moment of this change; for ever if there is none.
pub(super) async fn next_change(stage: &Stage, plan: &Plan, number: usize) -> KeyChange {
    let Some(TimedKeyChange { at_ms, change }) = plan.keys.get(number) else {
        return std::future::pending().await;
    };
    stage.reached(Phase::Play).await;
    tokio::time::sleep(stage.until(*at_ms)).await;
    change.clone()
}

/// Whose keys are good after so many changes.
fn keys(plan: &Plan, changes: usize) -> KeyTable {
    plan.users.iter().fold(KeyTable::new(), |keys, user| match plan.role_after(user, changes) {
        Some(role) => {
            let (hash, broker) = (KeyHash::of(&Plan::key_of(user)), broker_of(plan, user));
            keys.with_hash(hash, user.clone(), broker, role)
        }
        None => keys,
    })
}

/// Reports each record, completed as in a file.
async fn keep_audit_log(mut records: mpsc::Receiver<Record>, stage: Stage) {
    let mut roll = Roll::default();
    while let Some(mut record) = records.recv().await {
        roll.complete(&mut record);
        stage.saw(&Actor::Gateway, Seen::Audited(Box::new(record)));
    }
}

fn lock(keys: &Mutex<KeyTable>) -> MutexGuard<'_, KeyTable> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

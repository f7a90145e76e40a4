//! A WebSocket client that plays its part of the plan.
//!
//! It writes requests when the plan says so, without waiting for answers, and reads all the time.

mod connection;
mod listen;
mod speak;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tickgate::runtime::Runtime;
use tickgate::topic::UserId;
use tokio::time::{sleep, timeout};

use self::connection::{Connection, Heard, NotOpen};
use super::{Stage, WEBSOCKET_ADDR};
use crate::coverage::{Operation, operations};
use crate::fault::{FaultKind, Party, Strike};
use crate::history::{Actor, ClientName, Phase, Request, Seen, Sent};
use crate::plan::{Action, ClientPlan, Plan};
use crate::runtime::clock::now_us;
use crate::topic_name::TopicName;

/// Pause between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Patience with one try.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Tries to connect before the client says that it cannot.
const CONNECT_TRIES_MAX: u32 = 200;
/// How long a client that said goodbye waits for the other end to close.
const GOODBYE_PATIENCE: Duration = Duration::from_millis(500);

/// Plays a client's part, from its first action to its leaving. `brokers`: of several the names.
pub async fn play<R: Runtime>(
    runtime: R,
    stage: Stage,
    plan: ClientPlan,
    brokers: Arc<[Arc<str>]>,
) {
    let name: ClientName = plan.name.as_str().into();
    let mut client = Client {
        actor: Actor::Client(name.clone()),
        name,
        runtime,
        stage: stage.clone(),
        connection: None,
        connections: 0,
        requests: 0,
        wants: BTreeSet::new(),
        returns: plan.returns_after_ms.into_iter().rev().collect(),
        return_us: None,
        host: plan.host,
        user: plan.user,
        key_at_door: plan.key_at_door,
        path: plan.channel.unwrap_or_else(|| "/".into()),
        nameless: plan.nameless,
        interval_ms: plan.interval_ms,
        brokers,
    };
    client.note(|_| ());
    stage.reached(Phase::Play).await;
    let operations = operations(&plan.actions);
    for (timed, operation) in plan.actions.into_iter().zip(operations) {
        client.listen(sleep(stage.until(timed.at_ms))).await;
        client.performs(operation);
        client.act(timed.action).await;
    }
    stage.saw(&client.actor, Seen::Finished);
    client.note(|state| state.finished = true);
    client.listen(stage.reached(Phase::Leave)).await;
    client.listen(sleep(Duration::from_millis(plan.leaves_after_ms))).await;
    client.leave(plan.leaves_politely).await;
}

struct Client<R: Runtime> {
    actor: Actor,
    name: ClientName,
    runtime: R,
    stage: Stage,
    connection: Option<Connection<R>>,
    connections: u32,
    requests: u64,
    /// What it has asked for on its present connection, or on the one it lost.
    wants: BTreeSet<TopicName>,
    /// How long it stays away when it is cut off, the next last.
    returns: Vec<u64>,
    /// When it comes back, in microseconds.
    return_us: Option<u64>,
    user: UserId,
    key_at_door: bool,
    /// By which way it comes.
    path: String,
    /// Whether it shows no credential when it comes.
    nameless: bool,
    /// The interval that it subscribes with; 0: none.
    interval_ms: u64,
    host: u32,
    /// Of several the names.
    brokers: Arc<[Arc<str>]>,
}

impl<R: Runtime> Client<R> {
    /// Reads whatever comes until `end` is there.
    async fn listen(&mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            let Some(connection) = &mut self.connection else {
                let Some(return_us) = self.return_us else {
                    end.await;
                    return;
                };
                let away = Duration::from_micros(return_us.saturating_sub(now_us()));
                tokio::select! {
                    biased;
                    () = &mut end => return,
                    () = sleep(away) => self.come_back().await,
                }
                continue;
            };
            let heard = tokio::select! {
                biased;
                heard = connection.hear() => heard,
                () = &mut end => return,
            };
            self.take(heard);
        }
    }

    fn take(&mut self, heard: Heard) {
        let seen = match heard {
            Heard::Text(text) => listen::understand(&text, &self.brokers),
            Heard::Strange(what) => Seen::Unexpected(what),
            Heard::Over(code, reason) => {
                self.drop_connection();
                if let Some(away_ms) = self.returns.pop() {
                    self.return_us = Some(now_us() + away_ms * 1_000);
                    self.note(|state| state.returning = true);
                }
                Seen::Lost { code, reason }
            }
        };
        if let Seen::Tick(tick) = &seen
            && !tick.snapshot
        {
            self.stage.note_tick(&tick.topic);
        }
        if matches!(seen, Seen::Answered(_)) {
            self.note(|state| state.unanswered = state.unanswered.saturating_sub(1));
        }
        self.stage.saw(&self.actor, seen);
    }

    /// After having been cut off: who it is, and what it wants, all over again.
    async fn come_back(&mut self) {
        self.connect().await;
        if !self.nameless {
            self.send(Request::Authenticate(Some(self.user.clone()))).await;
        }
        let wants: Vec<TopicName> = std::mem::take(&mut self.wants).into_iter().collect();
        if !wants.is_empty() {
            self.send(Request::Subscribe(wants)).await;
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Connect => {
                self.wants.clear();
                self.connect().await;
            }
            Action::Leave { politely } => self.leave(politely).await,
            Action::StopReading { for_ms } => self.stop_reading(for_ms).await,
            Action::Send(request) => self.send(request).await,
        }
    }

    /// Whoever is not connected does nothing.
    fn performs(&self, operation: Option<Operation>) {
        if let (Some(operation), Some(_)) = (operation, &self.connection) {
            self.stage.recorder().performed(now_us(), &self.name, self.host, operation);
        }
    }

    async fn connect(&mut self) {
        self.leave(false).await;
        self.return_us = None;
        let key = self.key_at_door.then(|| Plan::key_of(&self.user));
        for _ in 0..CONNECT_TRIES_MAX {
            if key.is_some() {
                self.stage.saw(&self.actor, Seen::Knocks);
            }
            let open = Connection::open(&self.runtime, WEBSOCKET_ADDR, &self.path, key.as_deref());
            match timeout(CONNECT_PATIENCE, open).await {
                Ok(Ok(connection)) => {
                    self.connection = Some(connection);
                    self.connections += 1;
                    let connection = self.connections;
                    self.stage.saw(&self.actor, Seen::Connected { connection });
                    self.note(|state| (state.connected, state.returning) = (true, false));
                    if key.is_some() {
                        // Its answer comes as if it had been asked in a message.
                        self.asks(Request::Authenticate(Some(self.user.clone())));
                    }
                    return;
                }
                // It comes again when its plan says so.
                Ok(Err(NotOpen::TurnedAway(status))) => {
                    self.stage.saw(&self.actor, Seen::TurnedAway { status });
                    self.note(|state| state.returning = false);
                    return;
                }
                Ok(Err(NotOpen::Broken)) | Err(_) => sleep(CONNECT_PAUSE).await,
            }
        }
        let tries = format!("no connection after {CONNECT_TRIES_MAX} tries");
        self.stage.saw(&self.actor, Seen::Unexpected(tries));
    }

    /// Reads nothing, until the faults have ended at the latest.
    async fn stop_reading(&mut self, for_ms: u64) {
        if self.connection.is_none() {
            return;
        }
        let party = Party::Client(self.name.to_string());
        let strike = Strike { fault: FaultKind::StoppedReader, party, lasts_ms: for_ms };
        self.stage.saw(&self.actor, Seen::Struck(strike));
        tokio::select! {
            biased;
            () = self.stage.reached(Phase::Settle) => {}
            () = sleep(Duration::from_millis(for_ms)) => {}
        }
    }

    async fn send(&mut self, request: Request) {
        if self.connection.is_none() {
            return;
        }
        match &request {
            Request::Subscribe(topics) => self.wants.extend(topics.iter().cloned()),
            Request::Unsubscribe(entries) => {
                let gone = |want: &TopicName| entries.iter().any(|entry| entry.topic == *want);
                self.wants.retain(|want| !gone(want));
            }
            Request::UnsubscribeAll => self.wants.clear(),
            _ => {}
        }
        let sent = Sent { id: self.requests + 1, request };
        let text = speak::text(&sent, self.interval_ms);
        self.asks(sent.request);
        let Some(connection) = &mut self.connection else { return };
        if let Err(reason) = connection.say(text).await {
            self.take(Heard::Over(None, reason));
        }
    }

    /// Notes a request that is to be answered.
    fn asks(&mut self, request: Request) {
        self.requests += 1;
        let sent = Sent { id: self.requests, request };
        self.stage.saw(&self.actor, Seen::Sent(sent));
        self.stage.update_client(&self.name, |state| state.unanswered += 1);
    }

    async fn leave(&mut self, politely: bool) {
        self.return_us = None;
        self.note(|state| state.returning = false);
        let Some(mut connection) = self.connection.take() else { return };
        self.stage.saw(&self.actor, Seen::Leaves { politely });
        if politely && connection.say_goodbye().await.is_ok() {
            // Whatever still comes is no longer of interest.
            let gone = async { while !matches!(connection.hear().await, Heard::Over(..)) {} };
            let _ = timeout(GOODBYE_PATIENCE, gone).await;
        }
        drop(connection);
        self.drop_connection();
    }

    fn drop_connection(&mut self) {
        self.connection = None;
        self.note(|state| (state.connected, state.unanswered) = (false, 0));
    }

    fn note(&self, change: impl FnOnce(&mut super::ClientState)) {
        self.stage.update_client(&self.name, change);
    }
}

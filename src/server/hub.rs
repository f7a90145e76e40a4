//! The shell around the [`Hub`]: its mailbox, its timer, and the carrying out of its effects.
//!
//! Messages flow one way: clients and brokers to the hub, the hub to the feed and the shards, the
//! feed to the shards. Nobody waits for somebody who might be waiting for him.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::administrator::{Asked, HubOrder, Reply};
use super::feed::FeedMessage;
use super::shard::ShardMessage;
use crate::audit::{Audit, Record, What};
use crate::broker::Command;
use crate::engine::{ChannelId, Effect, Epoch, Event, Hub, HubSnapshot, Note, RouteId, ShardId};
use crate::marks::mark;
use crate::protocol::{Answer, ErrorCode, Reject, RequestId, frame};
use crate::runtime::Clock;
use crate::topic::{BrokerName, ClientId};

/// Messages taken from the mailbox at a time.
const MESSAGES_PER_TURN: usize = 64;

/// Effects carried out before others on the core have their turn, the shards among them: about a
/// third of a millisecond. A request for a hundred topics has as many effects.
const EFFECTS_PER_TURN: usize = 128;

/// Something the hub is told or asked.
pub(super) enum HubMessage {
    /// Something happened.
    Event(Event),
    /// A client asks for something; its turn is over when that is done.
    Request(Event, OwnedSemaphorePermit),
    /// A client's connection has ended.
    Left(ClientId, Parting),
    /// An administrator's order.
    Order(HubOrder),
    /// How are you? With so many rows of users and topics.
    Query(usize, oneshot::Sender<HubSnapshot>),
    /// Close the clients, then the sessions, and say when nothing is left.
    Drain(oneshot::Sender<()>),
}

/// How a connection ended, where that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parting {
    /// The WebSocket close code.
    pub code: Option<u16>,
    /// Which rule says so, or who.
    pub reason: Option<&'static str>,
}

/// Everyone to whom the hub talks.
pub(super) struct Outlets<S> {
    pub shards: Vec<mpsc::Sender<ShardMessage<S>>>,
    /// Where broadcasts are, among the shards.
    pub broadcasts: BTreeMap<ChannelId, ShardId>,
    pub feed: mpsc::Sender<FeedMessage>,
    pub brokers: BTreeMap<BrokerName, mpsc::Sender<Command>>,
    pub audit: Audit,
    pub administrator: mpsc::Sender<Asked>,
    /// What was said of routes so far.
    pub epoch: Epoch,
}

/// Serves the hub until every sender of its mailbox is gone.
pub(super) async fn run_hub<S: Send>(
    mut hub: Hub,
    mut mailbox: mpsc::Receiver<HubMessage>,
    clock: Clock,
    mut outlets: Outlets<S>,
) {
    let mut messages = Vec::with_capacity(MESSAGES_PER_TURN);
    let mut effects = Vec::new();
    let mut drained: Option<oneshot::Sender<()>> = None;
    let mut done_in_turn = 0;
    loop {
        let deadline_ms = hub.next_deadline_ms();
        if mailbox.is_empty() {
            // Others have their turn while it waits.
            done_in_turn = 0;
        }
        tokio::select! {
            biased;
            taken = mailbox.recv_many(&mut messages, MESSAGES_PER_TURN) => {
                if taken == 0 {
                    return;
                }
            }
            () = clock.sleep_until_ms(deadline_ms.unwrap_or(0)), if deadline_ms.is_some() => {
                messages.push(HubMessage::Event(Event::Timer));
            }
        }
        let mut now_ms = clock.now_ms();
        for message in messages.drain(..) {
            let Told { left, reply, turn } =
                tell(&mut hub, now_ms, message, &mut effects, &mut drained);
            #[cfg(debug_assertions)]
            hub.check();
            done_in_turn += outlets.carry_out_all(&mut hub, now_ms, &mut effects).await;
            if let Some(reply) = reply {
                reply();
            }
            // Behind what the hub had to say of it.
            if let Some((client, Parting { code, reason })) = left {
                outlets.audit.put(What::Closed { code, reason }.of(client));
            }
            drop(turn);
            if done_in_turn >= EFFECTS_PER_TURN {
                mark!(HubGivesWay);
                done_in_turn = 0;
                // However many clients subscribe to however much, ticks do not wait for them.
                tokio::task::yield_now().await;
                now_ms = clock.now_ms();
            }
        }
        if hub.is_idle()
            && let Some(done) = drained.take()
        {
            let _ = done.send(());
        }
    }
}

/// What is to be done when the effects of a message have been carried out.
#[derive(Default)]
struct Told {
    /// A connection that has ended.
    left: Option<(ClientId, Parting)>,
    /// Whom to answer.
    reply: Option<Reply>,
    /// Whose turn is over.
    turn: Option<OwnedSemaphorePermit>,
}

fn tell(
    hub: &mut Hub,
    now_ms: u64,
    message: HubMessage,
    effects: &mut Vec<Effect>,
    drained: &mut Option<oneshot::Sender<()>>,
) -> Told {
    let mut told = Told::default();
    match message {
        HubMessage::Event(event) => hub.handle(now_ms, event, effects),
        HubMessage::Request(event, turn) => {
            hub.handle(now_ms, event, effects);
            told.turn = Some(turn);
        }
        HubMessage::Left(client, parting) => {
            hub.handle(now_ms, Event::Closed { client }, effects);
            told.left = Some((client, parting));
        }
        HubMessage::Order(order) => told.reply = Some(order(hub, now_ms, effects)),
        HubMessage::Query(rows_max, answer) => {
            // Whoever asked may have given up.
            let _ = answer.send(hub.snapshot(now_ms, rows_max));
        }
        HubMessage::Drain(done) => {
            hub.handle(now_ms, Event::Drain, effects);
            *drained = Some(done);
        }
    }
    told
}

impl<S> Outlets<S> {
    /// Gives how many they were.
    async fn carry_out_all(
        &mut self,
        hub: &mut Hub,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) -> usize {
        let mut count = 0;
        while !effects.is_empty() {
            count += effects.len();
            let mut events = Vec::new();
            for effect in effects.drain(..) {
                events.extend(self.carry_out(effect).await);
            }
            for event in events {
                hub.handle(now_ms, event, effects);
            }
        }
        count
    }

    /// Whether a shard wants a route. Says what those have heard who are told of that.
    async fn tell_shard(&mut self, shard: ShardId, route: RouteId, wanted: bool) -> Epoch {
        self.epoch.0 += 1;
        let message = if wanted {
            ShardMessage::Expect { route, since: self.epoch }
        } else {
            ShardMessage::Forget { route }
        };
        let _ = self.shards[shard].send(message).await;
        self.epoch
    }

    /// Gives what the hub has to be told about it at once. A closed channel means that the gateway
    /// is ending: there is nobody left to tell.
    async fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Deliver { client, shard, change, answer } => {
                let answer = answer.map(|(answer, request_id)| encode(&answer, request_id));
                let message = ShardMessage::Deliver { client, change, answer };
                let _ = self.shards[shard].send(message).await;
            }
            Effect::Close { client, shard, code, reason } => {
                let message = ShardMessage::Close { client, code, reason };
                let _ = self.shards[shard].send(message).await;
            }
            Effect::Detach { client, shard } => {
                let _ = self.shards[shard].send(ShardMessage::Detach { client }).await;
            }
            Effect::Interest { route, topic, broker, shard, wanted } => {
                let epoch = self.tell_shard(shard, route, wanted).await;
                let message = FeedMessage::Interest { route, topic, broker, shard, wanted, epoch };
                let _ = self.feed.send(message).await;
            }
            Effect::Served { route, up } => {
                let _ = self.feed.send(FeedMessage::Served { route, up }).await;
            }
            Effect::Audience { channel, route, shard, wanted } => {
                let epoch = self.tell_shard(shard, route, wanted).await;
                let message = FeedMessage::Audience { channel, route, shard, wanted };
                let _ = self.feed.send(message).await;
                if let Some(at) = self.broadcasts.get(&channel) {
                    let message = ShardMessage::Audience { shard, route, wanted, epoch };
                    let _ = self.shards[*at].send(message).await;
                }
            }
            Effect::Command { broker, command } => {
                let outlet = self.brokers.get(&broker).expect("the hub knows the brokers");
                let _ = outlet.send(command).await;
            }
            Effect::Administer { client, number, user, command } => {
                let asked = Asked { client, number, user, command };
                // It waits for the hub at times, so the hub never waits for it.
                if self.administrator.try_send(asked).is_err() {
                    let result = Err(Reject::administration_is_busy());
                    return Some(Event::Administered { client, number, result });
                }
            }
            Effect::Notice { clients, frame } => {
                for (client, shard) in clients {
                    let message = ShardMessage::Control { client, frame: frame.clone() };
                    let _ = self.shards[shard].send(message).await;
                }
            }
            Effect::Note(note) => {
                log(&note);
                if let Some(record) = audited(note) {
                    self.audit.put(record);
                }
            }
        }
        None
    }
}

fn encode(answer: &Answer, request_id: Option<RequestId>) -> Bytes {
    frame::text_frame(&answer.to_json(request_id.as_deref()))
}

/// What of a note belongs into the audit log.
fn audited(note: Note) -> Option<Record> {
    match note {
        // The gateway's own clients are nobody's connections.
        Note::Authenticated { client, .. }
        | Note::AuthenticationFailed { client, .. }
        | Note::Subscribed { client, .. }
        | Note::Unsubscribed { client, .. }
            if client.is_own() =>
        {
            None
        }
        Note::Authenticated { client, user, role } => {
            let record = What::Authenticated {}.of(client);
            Some(Record { user: Some(user), role: Some(role), ..record })
        }
        Note::AuthenticationFailed { client, code, failures } => {
            Some(What::AuthenticationFailed { reason: code, count: failures }.of(client))
        }
        Note::AdminForbidden { client, user, command, .. } => {
            let outcome = ErrorCode::Forbidden.as_str();
            let by = Some(user);
            Some(What::AdminAction { command, target: None, outcome, by }.of(client))
        }
        Note::Subscribed { client, topic } => Some(What::SubscriptionAdded { topic }.of(client)),
        Note::Unsubscribed { client, topic } => {
            Some(What::SubscriptionRemoved { topic }.of(client))
        }
        Note::Invalidated { user } => {
            Some(Record { user: Some(user), ..What::CredentialsInvalidated {}.record() })
        }
        Note::SessionUp { .. }
        | Note::SessionDown { .. }
        | Note::TopicRefused { .. }
        | Note::TopicFailed { .. } => None,
    }
}

fn log(note: &Note) {
    match note {
        Note::Authenticated { client, user, role } => {
            tracing::info!(%client, %user, %role, "authenticated");
        }
        Note::AuthenticationFailed { client, code, failures } => {
            tracing::info!(%client, code, failures, "authentication failed");
        }
        Note::AdminForbidden { client, user, command, count } => {
            tracing::warn!(%client, %user, command, count, "may not administer");
        }
        Note::Subscribed { client, topic } => tracing::debug!(%client, %topic, "subscribed"),
        Note::Unsubscribed { client, topic } => tracing::debug!(%client, %topic, "unsubscribed"),
        Note::SessionUp { user, broker } => tracing::info!(%user, %broker, "broker session is up"),
        Note::SessionDown { user, broker, reason } => {
            tracing::warn!(%user, %broker, reason, "broker session is down");
        }
        Note::TopicRefused { user, topic, reason } => {
            tracing::debug!(%user, %topic, reason, "the broker refused a topic");
        }
        Note::TopicFailed { user, topic, reason } => {
            tracing::warn!(%user, %topic, reason, "the broker did not agree");
        }
        Note::Invalidated { user } => {
            tracing::info!(%user, "credentials changed; the broker session is rebuilt");
        }
    }
}

#[cfg(test)]
mod tests;

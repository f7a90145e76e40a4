//! Gathers what the gateway's parts know into one [`Status`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::broadcast::{self, BroadcastSnapshot, Outlet};
use super::door::{DoorCounts, GateCounts};
use super::feed::{FeedCounts, FeedMessage};
use super::hub::HubMessage;
use super::shard::{ShardMailbox, ShardMessage, ShardSnapshot};
use super::status::{
    AuditStatus, BroadcastStatus, BrokerCalls, BrokerState, BrokerStatus, ChannelStatus,
    ClientsStatus, FeedStatus, GateStatus, GatewayState, GatewayStatus, OutboxStatus, QueueStatus,
    SessionState, SessionStatus, ShardStatus, Status, StatusSource, TopicState, TopicStatus,
    UserStatus,
};
use super::tls::{MaybeTls, Tls};
use crate::audit::Audit;
use crate::config::{ChannelEntry, ChannelKind};
use crate::engine::{
    self, ChannelId, HubSnapshot, SessionSnapshot, TopicCounts, TopicSnapshot, Upstream,
};
use crate::runtime::{Clock, Runtime};
use crate::topic::BrokerName;
use crate::zmtp::SubStatsHandle;

/// Everything that can be asked.
pub(super) struct Source<R: Runtime> {
    pub runtime: R,
    pub clock: Clock,
    pub ready: Arc<AtomicBool>,
    pub hub: mpsc::Sender<HubMessage>,
    pub feed: mpsc::Sender<FeedMessage>,
    pub shards: Vec<ShardMailbox<R>>,
    pub broadcasts: Vec<Outlet<MaybeTls<R::Stream>>>,
    pub channels: Vec<ChannelEntry>,
    pub door: Arc<DoorCounts>,
    pub bus: SubStatsHandle,
    pub audit: Audit,
    pub tls: Option<Arc<Tls>>,
    /// Name to kind.
    pub broker_kinds: BTreeMap<BrokerName, &'static str>,
}

impl<R: Runtime> Clone for Source<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            clock: self.clock,
            ready: self.ready.clone(),
            hub: self.hub.clone(),
            feed: self.feed.clone(),
            shards: self.shards.clone(),
            broadcasts: self.broadcasts.clone(),
            channels: self.channels.clone(),
            door: self.door.clone(),
            bus: self.bus.clone(),
            audit: self.audit.clone(),
            tls: self.tls.clone(),
            broker_kinds: self.broker_kinds.clone(),
        }
    }
}

impl<R: Runtime> StatusSource for Source<R> {
    async fn status(&self, rows_max: usize) -> Option<Status> {
        let hub = ask(&self.hub, |answer| HubMessage::Query(rows_max, answer)).await?;
        let feed = ask(&self.feed, FeedMessage::Query).await?;
        let mut shards = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            shards.push(ask(shard, ShardMessage::Query).await?);
        }
        let mut broadcasts = BTreeMap::new();
        for outlet in &self.broadcasts {
            broadcasts.insert(outlet.channel, broadcast::ask(&outlet.mailbox).await?);
        }
        let channels = self.channels(&hub, &feed, &broadcasts);
        Some(Status { channels, ..self.compose(&hub, feed, &shards) })
    }
}

async fn ask<M, T>(
    outlet: &mpsc::Sender<M>,
    question: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Option<T> {
    let (sender, answer) = oneshot::channel();
    outlet.send(question(sender)).await.ok()?;
    answer.await.ok()
}

impl<R: Runtime> Source<R> {
    fn compose(&self, hub: &HubSnapshot, feed: FeedCounts, shards: &[ShardSnapshot]) -> Status {
        let mut sessions_by_state = BTreeMap::new();
        for state in &hub.session_states {
            *sessions_by_state.entry(session_state(*state)).or_default() += 1;
        }
        let mut topics_by_state = BTreeMap::new();
        for (state, paused) in &hub.topic_states {
            *topics_by_state.entry(topic_state(*state, *paused)).or_default() += 1;
        }
        Status {
            gateway: self.gateway(hub),
            clients: self.clients(hub),
            gate: self.gate(),
            users_total: hub.session_states.len() as u64,
            users: hub.sessions.iter().map(user_row).collect(),
            sessions_by_state,
            topics_total: hub.topic_states.len() as u64,
            topics_by_state,
            subscriptions: hub.subscriptions as u64,
            topics: hub.topics.iter().map(topic_row).collect(),
            broker_calls: broker_calls(hub),
            brokers: self.brokers(hub),
            feed: self.feed(feed),
            audit: self.audit(),
            outbox: OutboxStatus::sum(&shards.iter().map(|at| at.totals).collect::<Vec<_>>()),
            shards: shards.iter().enumerate().map(|(id, at)| self.shard(id, at)).collect(),
            queues: self.queues(),
            tasks: self.tasks(),
            timers: hub.timers as u64,
            channels: Vec::new(),
        }
    }

    fn channels(
        &self,
        hub: &HubSnapshot,
        feed: &FeedCounts,
        broadcasts: &BTreeMap<ChannelId, BroadcastSnapshot>,
    ) -> Vec<ChannelStatus> {
        let built_in = ChannelEntry::new("/", ChannelKind::Interactive);
        let row = |(number, clients): (usize, &usize)| {
            let id = ChannelId(number);
            let entry = id.entry(&self.channels).unwrap_or(&built_in);
            let left_out = feed.left_out.iter().find(|(channel, _)| *channel == id);
            ChannelStatus {
                path: entry.path.clone(),
                kind: entry.kind.word().to_owned(),
                auth: entry.auth.word().to_owned(),
                clients: *clients as u64,
                clients_max: id.entry(&self.channels).map(|entry| entry.clients_max as u64),
                broadcast: broadcasts.get(&id).map(|at| BroadcastStatus {
                    topics: at.topics as u64,
                    sent_total: at.totals.sent,
                    skipped_total: at.totals.skipped,
                    left_out_total: left_out.map_or(0, |(_, count)| *count),
                }),
            }
        };
        let redefined = self.channels.iter().any(|entry| entry.path == "/");
        hub.channels.iter().enumerate().skip(redefined.into()).map(row).collect()
    }

    fn gateway(&self, hub: &HubSnapshot) -> GatewayStatus {
        let state = if hub.draining {
            GatewayState::Draining
        } else if self.ready.load(Ordering::Relaxed) {
            GatewayState::Ready
        } else {
            GatewayState::Starting
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        GatewayStatus {
            version,
            state,
            uptime_ms: self.clock.now_ms(),
            certificate_expires_unix_ms: self
                .tls
                .as_ref()
                .map(|tls| tls.certificate().expires_unix_ms()),
        }
    }

    fn clients(&self, hub: &HubSnapshot) -> ClientsStatus {
        ClientsStatus {
            total: hub.clients as u64,
            authenticated: hub.authenticated as u64,
            opened_total: hub.totals.opened,
            closed_total: hub.totals.closed,
            turned_away_total: self.door.turned_away.load(Ordering::Relaxed),
        }
    }

    fn gate(&self) -> GateStatus {
        let GateCounts { totals, connections, networks, blocks } = self.door.gate();
        let refused = [
            ("full", totals.full),
            ("crowded", totals.crowded),
            ("channel_full", totals.channel_full),
            ("blocked", totals.blocked),
        ];
        GateStatus {
            connections: connections.into(),
            addresses: networks as u64,
            blocks: blocks as u64,
            refused_total: refused.map(|(reason, count)| (reason.to_owned(), count)).into(),
            attempts_refused_total: totals.attempts_refused,
            attempts_failed_total: totals.attempts_failed,
            strikes_total: totals.strikes,
            blocks_total: totals.blocks,
        }
    }

    fn audit(&self) -> AuditStatus {
        let totals = self.audit.totals();
        AuditStatus {
            written_total: totals.written,
            dropped_total: totals.dropped,
            errors_total: totals.errors,
            failing: totals.failing,
        }
    }

    fn brokers(&self, hub: &HubSnapshot) -> Vec<BrokerStatus> {
        let row = |(name, up, _reason): &(BrokerName, bool, String)| BrokerStatus {
            name: name.clone(),
            kind: self.broker_kinds.get(name).copied().unwrap_or_default().to_owned(),
            state: if *up { BrokerState::Up } else { BrokerState::Down },
            commands_in_flight: hub.commands_by_broker.get(name).copied().unwrap_or(0) as u64,
            calls_waiting: hub.calls_waiting.get(name).copied().unwrap_or(0) as u64,
        };
        hub.brokers.iter().map(row).collect()
    }

    fn feed(&self, counts: FeedCounts) -> FeedStatus {
        let bus = self.bus.stats();
        let dropped = counts.dropped.into_iter();
        FeedStatus {
            publishers: bus.peers as u64,
            messages_total: counts.messages,
            bytes_total: counts.bytes,
            routed_total: counts.routed,
            dropped_total: dropped.map(|(reason, count)| (reason.to_owned(), count)).collect(),
            nulled_total: counts.nulled,
            shed_total: counts.shed,
            shedding: counts.shedding,
            topics: topics_by_word(counts.topics),
            silent_brokers: counts.silent_brokers,
            reconnects_total: bus.reconnects,
            protocol_errors_total: bus.protocol_errors + bus.heartbeat_losses,
        }
    }

    fn shard(&self, id: usize, at: &ShardSnapshot) -> ShardStatus {
        let mailbox = &self.shards[id];
        ShardStatus {
            id: id as u64,
            clients: at.clients as u64,
            routes: at.subscriptions as u64,
            topics: at.routes as u64,
            mailbox_len: (mailbox.max_capacity() - mailbox.capacity() + at.waiting) as u64,
            ticks_delivered_total: at.totals.ticks,
            ticks_conflated_total: at.totals.conflated,
            ticks_dropped_total: at.totals.dropped,
            overflows_total: at.totals.overflows,
            stalls_total: at.totals.stalls,
            outbox_bytes: at.outbox_bytes as u64,
            outbox_ticks_most: at.outbox_ticks_most as u64,
            last_values: at.last_values as u64,
            paced: at.paced as u64,
            values_withheld_total: at.totals.withheld,
        }
    }

    fn queues(&self) -> BTreeMap<String, QueueStatus> {
        let mut queues = BTreeMap::new();
        queues.insert("hub".to_owned(), queue(&self.hub));
        queues.insert("feed".to_owned(), queue(&self.feed));
        for (id, shard) in self.shards.iter().enumerate() {
            queues.insert(format!("shard_{id}"), queue(shard));
        }
        queues
    }

    fn tasks(&self) -> BTreeMap<String, u64> {
        let counts = self.runtime.tasks().counts().into_iter();
        counts.map(|(name, count)| (name.to_owned(), count as u64)).collect()
    }
}

fn topics_by_word(topics: TopicCounts) -> BTreeMap<String, u64> {
    let TopicCounts { waiting, live, stale, recovering, closed } = topics;
    [
        ("waiting", waiting),
        ("live", live),
        ("stale", stale),
        ("recovering", recovering),
        ("closed", closed),
    ]
    .map(|(word, count)| (word.to_owned(), count))
    .into()
}

fn queue<M>(outlet: &mpsc::Sender<M>) -> QueueStatus {
    let max = outlet.max_capacity();
    QueueStatus { len: (max - outlet.capacity()) as u64, max: max as u64 }
}

fn user_row(session: &SessionSnapshot) -> UserStatus {
    UserStatus {
        user: session.user.clone(),
        broker: session.broker.clone(),
        session: SessionStatus {
            id: (session.session > 0).then_some(session.session),
            state: session_state(session.state),
            since_ms: session.in_state_ms,
            reconnects: session.opened.saturating_sub(1),
            last_error: session.last_error.clone(),
        },
        connections: session.connections as u64,
        clients: session.clients as u64,
        orders_clients: session.orders_clients as u64,
    }
}

fn topic_row(topic: &TopicSnapshot) -> TopicStatus {
    TopicStatus {
        user: topic.user.clone(),
        broker: topic.broker.clone(),
        exchange: topic.topic.instrument.exchange.clone(),
        symbol: topic.topic.instrument.symbol.clone(),
        mode: topic.topic.mode.number(),
        count: topic.count as u64,
        state: topic_state(topic.state, topic.paused),
        depth: topic.depth,
        ticks_total: None,
        last_tick_age_ms: None,
    }
}

fn broker_calls(hub: &HubSnapshot) -> BrokerCalls {
    let totals = &hub.totals;
    BrokerCalls {
        connect: totals.connects,
        disconnect: totals.disconnects,
        subscribe: totals.subscribes,
        unsubscribe: totals.unsubscribes,
        unsubscribe_all: totals.unsubscribes_of_all,
        succeeded: totals.succeeded,
        failed: totals.failed,
        timed_out: totals.timed_out,
    }
}

fn session_state(state: engine::SessionState) -> SessionState {
    match state {
        engine::SessionState::Down => SessionState::Down,
        engine::SessionState::Connecting(_) => SessionState::Connecting,
        engine::SessionState::Up | engine::SessionState::Emptying(_) => SessionState::Connected,
        engine::SessionState::Closing(_) | engine::SessionState::Unsure => SessionState::Closing,
    }
}

fn topic_state(state: Upstream, paused: bool) -> TopicState {
    match state {
        Upstream::Off | Upstream::Unsure if paused => TopicState::Retrying,
        Upstream::Off => TopicState::Off,
        Upstream::TurningOn(_) => TopicState::TurningOn,
        Upstream::On => TopicState::On,
        Upstream::TurningOff(_) => TopicState::TurningOff,
        Upstream::Unsure => TopicState::Unsure,
    }
}

//! Starting and stopping a gateway.

mod reload;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::{mpsc, oneshot};

use super::admin::serve_admin;
use super::administrator::{Administrator, COMMANDS_MAX};
use super::client::ClientContext;
use super::door::{Door, DoorCounts, GateHandle, TOLD_MAX};
use super::failure::Failure;
use super::feed::{FeedOutlets, FeedTables, run_feed};
use super::forwarded;
use super::hub::{HubMessage, Outlets, run_hub};
use super::parts::{broker_kind, start_broadcasts, start_broker, start_shards, wildcards};
use super::sockets::{Sockets, WANTED, bind, prefixes};
use super::source::Source;
use super::stats_file;
use super::tls::Tls;
use super::turned_away::TurnedAway;
use super::turns::Turns;
use crate::audit::{self, Audit};
use crate::auth::{Credentials, Keeper, Verifier};
use crate::config::Config;
use crate::engine::{
    Epoch, FeedState, Gate, GateOptions, Hub, HubOptions, Index, Moment, Prefixes,
};
use crate::runtime::{Clock, Runtime, Task, TaskGroup};
use crate::topic::BrokerName;

/// Messages that wait for the hub, the feed or a shard; beyond, whoever sends waits.
pub(super) const MAILBOX_MAX: usize = 1_024;

/// How long the brokers may take to close down once the hub is gone.
const BROKERS_END_MAX: Duration = Duration::from_millis(500);

/// How long the audit log may take to write what waits, when all else is done.
const AUDIT_END_MAX: Duration = Duration::from_millis(500);

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be bound.
    #[error("{address} ({key}): {error}")]
    Bind {
        /// What was to be bound.
        address: String,
        /// The configuration key that says so.
        key: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
}

/// Where a gateway can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Clients.
    pub websocket: SocketAddr,
    /// Publishers that connect.
    pub bus: Vec<SocketAddr>,
    /// Operators, if there is an admin port.
    pub admin: Option<SocketAddr>,
}

/// A running gateway. Dropping it ends everything at once; [`Gateway::stop`] is polite.
pub struct Gateway {
    addresses: Addresses,
    drain_timeout: Duration,
    hub_mailbox: mpsc::Sender<HubMessage>,
    clients: Arc<TaskGroup>,
    door: Task,
    hub: Task,
    brokers: Vec<Task>,
    /// The others, by name.
    parts: Vec<(&'static str, Task)>,
    keeper: Keeper,
    tls: Option<Arc<Tls>>,
    administrator: Administrator,
    audit: Audit,
    audit_end: Option<audit::Stop>,
}

impl Gateway {
    /// Binds the sockets and starts the tasks.
    ///
    /// # Errors
    ///
    /// Fails if a socket cannot be bound or the configuration cannot work; nothing is left running.
    pub async fn start<R: Runtime>(
        runtime: R,
        config: Config,
        credentials: impl Into<Credentials>,
    ) -> Result<Self, StartError> {
        let log = audit::start(&runtime, &config.audit).await.map_err(|error| {
            let path = config.audit.file.clone().unwrap_or_default();
            StartError::Config(format!("{} (audit.file): {error}", path.display()))
        })?;
        let Some((audit, task, end)) = log else {
            return Self::start_audited(runtime, config, credentials, Audit::off()).await;
        };
        let mut gateway = Self::start_audited(runtime, config, credentials, audit).await?;
        gateway.parts.push(("audit log", task));
        gateway.audit_end = Some(end);
        Ok(gateway)
    }

    /// The same, with an audit log that somebody else keeps: `audit.file` is not looked at.
    ///
    /// # Errors
    ///
    /// Fails as [`Gateway::start`] does.
    pub async fn start_audited<R: Runtime>(
        runtime: R,
        config: Config,
        credentials: impl Into<Credentials>,
        audit: Audit,
    ) -> Result<Self, StartError> {
        let entries = config.effective_brokers();
        let brokers: Vec<BrokerName> =
            entries.iter().map(|entry| entry.name.as_str().into()).collect();
        let default_broker = brokers.first().cloned();
        let default_broker =
            default_broker.ok_or_else(|| StartError::Config("no broker is configured".into()))?;
        let tls = Tls::read(&config.server).map_err(|bad| StartError::Config(bad.to_string()))?;
        let tls = tls.map(Arc::new);
        let Sockets { websocket, admin, bus, addresses } = bind(&runtime, &config).await?;
        let clock = Clock::start();
        let (hub_mailbox, hub_messages) = mpsc::channel(MAILBOX_MAX);
        let (feed_mailbox, feed_messages) = mpsc::channel(MAILBOX_MAX);
        let mut parts = Vec::new();
        let verifier = Arc::new(Verifier::new(runtime.clone(), clock, credentials, &config.auth));
        let keeper = verifier.keeper();

        let shards = start_shards(&runtime, &config, clock, &mut parts);
        let around = (&hub_mailbox, &shards[..]);
        let broadcasts = start_broadcasts(&runtime, &config, clock, around, &mut parts);
        // The hub and the feed know broadcasts as further shards.
        let behind = broadcasts.iter().map(|outlet| outlet.mailbox.clone());
        let all: Vec<_> = shards.iter().cloned().chain(behind).collect();
        let bus_stats = bus.stats_handle();
        let options = HubOptions::new(&config, brokers, runtime.entropy());
        let rules = options.rules.clone();
        let index = Index::new(config.bus.source_window_ms);
        let tables = FeedTables {
            index,
            wildcards: wildcards(&config, &broadcasts),
            rules,
            waiting_max: config.bus.waiting_ticks_max,
            numbers: config.ticks.seq,
            state: FeedState::new(&config, Moment { now_ms: 0, unix_ms: runtime.unix_ms() }),
            prefixes: (config.bus.subscribe == WANTED).then(|| Prefixes::beyond(prefixes(&config))),
            told: if config.feed.status { shards.len() } else { 0 },
            with_clients: shards.len(),
        };
        let calendar = runtime.clone();
        let outlets = FeedOutlets {
            shards: all.clone(),
            hub: hub_mailbox.clone(),
            keeper: keeper.clone(),
            audit: audit.clone(),
            unix_ms: Box::new(move || calendar.unix_ms()),
        };
        let feed = run_feed(bus, feed_messages, tables, clock, outlets);
        parts.push(("feed", runtime.spawn("feed", feed)));

        let bus_address = addresses.bus.first().copied();
        let mut broker_tasks = Vec::new();
        let mut broker_outlets = BTreeMap::new();
        for entry in &entries {
            let (outlet, commands) = mpsc::channel(MAILBOX_MAX);
            broker_outlets.insert(entry.name.as_str().into(), outlet);
            let to_hub = hub_mailbox.clone();
            broker_tasks.push(start_broker(
                &runtime,
                &config,
                entry,
                bus_address,
                commands,
                to_hub,
            )?);
        }

        let (gate, to_gate) = GateHandle::channel(config.limits.clients_max);
        let administrator =
            Administrator::new(&runtime, hub_mailbox.clone(), gate.clone(), audit.clone());
        let (commands, to_administrator) = mpsc::channel(COMMANDS_MAX);
        let administering = administrator.clone().run(to_administrator);
        parts.push(("administrator", runtime.spawn("administrator", administering)));
        let outlets = Outlets {
            shards: all,
            broadcasts: broadcasts.iter().map(|outlet| (outlet.channel, outlet.shard)).collect(),
            feed: feed_mailbox.clone(),
            brokers: broker_outlets,
            audit: audit.clone(),
            administrator: commands,
            epoch: Epoch::default(),
        };
        let hub = run_hub(Hub::new(options), hub_messages, clock, outlets);
        let hub = runtime.spawn("hub", hub);

        let ready = Arc::new(AtomicBool::new(false));
        let door_counts = Arc::new(DoorCounts::default());
        let source = Source {
            runtime: runtime.clone(),
            clock,
            ready: ready.clone(),
            hub: hub_mailbox.clone(),
            feed: feed_mailbox,
            shards: shards.clone(),
            broadcasts,
            channels: config.channel.clone(),
            door: door_counts.clone(),
            bus: bus_stats,
            audit: audit.clone(),
            tls: tls.clone(),
            broker_kinds: entries.iter().map(broker_kind).collect(),
        };
        if let Some(path) = config.admin.stats_file.clone() {
            let keep = stats_file::keep(runtime.clone(), source.clone(), path);
            parts.push(("stats file", runtime.spawn("stats_file", keep)));
        }
        if let Some(listener) = admin {
            let admin = serve_admin(runtime.clone(), listener, source);
            parts.push(("admin port", runtime.spawn("admin", admin)));
        }

        if keeper.looks() {
            let watch = reload::watch_keys(keeper.clone(), hub_mailbox.clone(), audit.clone());
            parts.push(("key watch", runtime.spawn("key_watch", watch)));
        }
        let clients = Arc::new(TaskGroup::new());
        let drain_timeout = Duration::from_millis(config.server.drain_timeout_ms);
        let options = GateOptions::new(&config, TOLD_MAX);
        let context = Arc::new(ClientContext {
            runtime: runtime.clone(),
            clock,
            gate,
            tls: tls.clone(),
            audit: audit.clone(),
            trusted_proxies: forwarded::trusted(&config.limits.trusted_proxies),
            config,
            verifier,
            default_broker,
            hub: hub_mailbox.clone(),
            turns: Turns::new(),
            shards,
        });
        let gate = Gate::new(options).with_channels(&context.config);
        let turned_away = TurnedAway::default();
        let (clients_of_door, counts) = (clients.clone(), door_counts);
        let door = Door { context, clock, gate, clients: clients_of_door, counts, turned_away };
        let door = runtime.spawn("door", door.run(websocket, to_gate));
        ready.store(true, Ordering::Relaxed);
        Ok(Self {
            addresses,
            drain_timeout,
            hub_mailbox,
            clients,
            door,
            hub,
            brokers: broker_tasks,
            parts,
            keeper,
            tls,
            administrator,
            audit,
            audit_end: None,
        })
    }

    /// Where it can be reached, with the ports that were chosen.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Carries out administrators' commands.
    #[must_use]
    pub const fn administrator(&self) -> &Administrator {
        &self.administrator
    }

    /// Waits until a part of the gateway ends that must not. Cancel-safe.
    pub async fn failed(&mut self) -> Failure {
        let own = [("door", &mut self.door), ("hub", &mut self.hub)];
        let brokers = self.brokers.iter_mut().map(|task| ("broker", task));
        let parts = self.parts.iter_mut().map(|(part, task)| (*part, task));
        let all = own.into_iter().chain(brokers).chain(parts);
        let watch =
            all.map(|(part, task)| Box::pin(async move { Failure { part, how: task.await } }));
        select_all(watch).await.0
    }

    /// Takes in no more clients, closes those there are with 1012, closes the broker sessions,
    /// and ends. Takes `server.drain_timeout_ms` at most; what is left then is cut off.
    pub async fn stop(self) {
        drop(self.door);
        let drain = async {
            let (done, drained) = oneshot::channel();
            if self.hub_mailbox.send(HubMessage::Drain(done)).await.is_ok() {
                // An error means that the hub is gone: there is nothing left to wait for.
                let _ = drained.await;
            }
            self.clients.emptied().await;
        };
        if tokio::time::timeout(self.drain_timeout, drain).await.is_err() {
            tracing::warn!(clients = self.clients.len(), "not everything ended in time");
        }
        self.clients.abort_all();
        drop(self.hub);
        let brokers = futures_util::future::join_all(self.brokers);
        let _ = tokio::time::timeout(BROKERS_END_MAX, brokers).await;
        if let Some(end) = self.audit_end
            && tokio::time::timeout(AUDIT_END_MAX, end.stop()).await.is_err()
        {
            tracing::warn!("the audit log could not be written to its end in time");
        }
    }
}

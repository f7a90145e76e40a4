//! The parts of a gateway, one by one.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::broadcast::{Broadcaster, Outlet};
use super::broker::{reachable, run_broker};
use super::gateway::{MAILBOX_MAX, StartError};
use super::hub::HubMessage;
use super::shard::{ShardMailbox, WriteOptions, run_shard};
use super::tls::MaybeTls;
use crate::broker::Command;
use crate::broker::paper::{Paper, PaperOptions};
use crate::broker::remote::{Remote, RemoteOptions};
use crate::broker::replay::{Replay, ReplayOptions};
use crate::config::{
    BrokerEntry, BrokerKind, ChannelEntry, ChannelKind, Config, SHARDS_MAX, TopicPattern,
};
use crate::engine::{
    Broadcast, BroadcastOptions, ChannelId, Epoch, Identity, OutboxLimits, Shard, ShardOptions,
    Wild, Wildcards,
};
use crate::runtime::{Clock, Runtime, Task};
use crate::topic::{BrokerName, Topic};

pub(super) fn start_shards<R: Runtime>(
    runtime: &R,
    config: &Config,
    clock: Clock,
    parts: &mut Vec<(&'static str, Task)>,
) -> Vec<ShardMailbox<R>> {
    let options = ShardOptions {
        outbox: OutboxLimits {
            ticks_max: config.outbox.ticks_max,
            tick_bytes_max: config.outbox.tick_bytes_max,
            latest_bytes_max: config.outbox.latest_bytes_max,
            control_bytes_max: config.outbox.control_bytes_max,
        },
        close_timeout_ms: config.server.close_timeout_ms,
        stall_timeout_ms: config.outbox.stall_timeout_ms,
    };
    let writes = WriteOptions {
        bytes_max: config.outbox.write_bytes_max,
        batch_window_ms: config.outbox.batch_window_ms,
    };
    let count = match config.server.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let start = |_| {
        let (mailbox, messages) = mpsc::channel(MAILBOX_MAX);
        let shard = run_shard(Shard::new(options), messages, clock, writes);
        // It yields by itself. Otherwise, after 128 sockets, tokio would have the others look full
        // that are not.
        let shard = tokio::task::unconstrained(shard);
        parts.push(("shard", runtime.spawn("shard", shard)));
        mailbox
    };
    // The feed notes broadcasts as it does shards.
    (0..count.min(SHARDS_MAX - config.broadcasts())).map(start).collect()
}

/// The broadcasts of a configuration, in the places behind the shards.
pub(super) fn start_broadcasts<R: Runtime>(
    runtime: &R,
    config: &Config,
    clock: Clock,
    (hub, shards): (&mpsc::Sender<HubMessage>, &[ShardMailbox<R>]),
    parts: &mut Vec<(&'static str, Task)>,
) -> Vec<Outlet<MaybeTls<R::Stream>>> {
    let numbered = config.channel.iter().enumerate();
    let entries = numbered.filter(|(_, entry)| entry.kind == ChannelKind::Broadcast);
    let count = config.broadcasts();
    let start = |(number, (at, entry)): (usize, (usize, &ChannelEntry))| {
        let (mailbox, messages) = mpsc::channel(MAILBOX_MAX);
        let (channel, shard) = (ChannelId(at + 1), shards.len() + number);
        let exact = |pattern| match pattern {
            TopicPattern::Exact(topic) => Some(topic),
            TopicPattern::Wild { .. } => None,
        };
        let topics: Vec<Topic> = entry.patterns().into_iter().filter_map(exact).collect();
        let options = BroadcastOptions {
            number: (number as u64, count as u64),
            path: entry.path.clone(),
            interval_ms: entry.interval_ms,
            subscribes: !topics.is_empty(),
            linger_ms: entry.linger_ms,
            retry_min_ms: config.broker.retry_min_ms,
            retry_max_ms: config.broker.retry_max_ms,
        };
        let user = entry.user.clone().unwrap_or_default();
        let broadcaster = Broadcaster {
            runtime: runtime.clone(),
            clock,
            broadcast: Broadcast::new(options),
            shard,
            identity: Identity::trader(user.into(), broker_of(config, entry)),
            topics,
            hub: hub.clone(),
            shards: shards.to_vec(),
            heard: Epoch::default(),
        };
        parts.push(("broadcast", runtime.spawn("broadcast", broadcaster.run(messages))));
        Outlet { channel, shard, mailbox }
    };
    entries.enumerate().map(start).collect()
}

/// What the feed picks for broadcasts.
pub(super) fn wildcards<S>(config: &Config, broadcasts: &[Outlet<S>]) -> Wildcards {
    let wild = |outlet: &Outlet<S>| {
        let entry = outlet.channel.entry(&config.channel)?;
        let broker = broker_of(config, entry);
        let (channel, shard) = (outlet.channel, outlet.shard);
        Some(Wild::new(channel, shard, broker, entry.patterns(), entry.topics_max))
    };
    Wildcards::new(config.bus.source_window_ms, broadcasts.iter().filter_map(wild))
}

fn broker_of(config: &Config, entry: &ChannelEntry) -> BrokerName {
    let first = || config.effective_brokers().swap_remove(0).name;
    entry.broker.clone().unwrap_or_else(first).into()
}

pub(super) fn start_broker<R: Runtime>(
    runtime: &R,
    config: &Config,
    entry: &BrokerEntry,
    bus: Option<SocketAddr>,
    commands: mpsc::Receiver<Command>,
    to_hub: mpsc::Sender<HubMessage>,
) -> Result<Task, StartError> {
    let name: BrokerName = entry.name.as_str().into();
    let bus = || {
        let address = bus.map(|bus| format!("tcp://{}", reachable(bus)));
        let kind = entry.kind.word();
        address.ok_or_else(|| {
            StartError::Config(format!("the {kind} broker {name} needs an address in bus.bind"))
        })
    };
    let wrong = |reason: String| StartError::Config(format!("broker {name}: {reason}"));
    let lacks = |key: &str| wrong(format!("its `{key}` is missing"));
    let (run, at) = (runtime.clone(), name.clone());
    let bridge = match entry.kind {
        BrokerKind::Paper => {
            let seed = entry.seed.unwrap_or_else(|| runtime.entropy());
            let mut options = PaperOptions::new(name.clone(), bus()?, seed);
            if let Some(rate) = entry.ticks_per_second {
                options.ticks_per_second = rate;
            }
            let broker =
                Paper::new(run.clone(), options).map_err(|error| wrong(error.to_string()))?;
            runtime.spawn("broker_bridge", run_broker(run, at, broker, commands, to_hub))
        }
        BrokerKind::Replay => {
            let file = entry.file.as_ref().ok_or_else(|| lacks("file"))?;
            let mut options = ReplayOptions::new(name.clone(), bus()?, file);
            options.two_segment_exchanges = config.bus.two_segment_exchanges.clone();
            options.choose(entry);
            let broker =
                Replay::open(run.clone(), options).map_err(|error| wrong(error.to_string()))?;
            runtime.spawn("broker_bridge", run_broker(run, at, broker, commands, to_hub))
        }
        BrokerKind::Remote => {
            let address = entry.address.clone().ok_or_else(|| lacks("address"))?;
            let options = RemoteOptions::new(name.clone(), address);
            let broker =
                Remote::new(run.clone(), options).map_err(|error| wrong(error.to_string()))?;
            runtime.spawn("broker_bridge", run_broker(run, at, broker, commands, to_hub))
        }
    };
    Ok(bridge)
}

pub(super) fn broker_kind(entry: &BrokerEntry) -> (BrokerName, &'static str) {
    (entry.name.as_str().into(), entry.kind.word())
}

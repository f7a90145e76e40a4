//! The shell around a [`Broadcast`]: a mailbox like that of a shard, and one timer.
//!
//! To the hub it is a shard with one client, its own. It never waits for the hub, which may be
//! waiting for it; shards it may wait for, because they wait for nobody.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use super::tls::MaybeTls;
use crate::engine::{
    Broadcast, BroadcastEffect, BroadcastTotals, ChannelId, Epoch, Event, Identity, RESTARTING,
    Request, ShardId,
};
use crate::protocol::{SubscribeEntry, frame};
use crate::runtime::{Clock, Runtime};
use crate::topic::Topic;

/// Messages taken from the mailbox before the hub and the clock get their turn.
const MESSAGES_PER_TURN: usize = 256;

/// Levels of an order book that are asked for.
const DEPTH: u32 = 5;

/// A broadcast at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct BroadcastSnapshot {
    pub topics: usize,
    pub totals: BroadcastTotals,
}

/// Everything that one broadcast needs.
pub(super) struct Broadcaster<R: Runtime> {
    pub runtime: R,
    pub clock: Clock,
    pub broadcast: Broadcast,
    /// Its number as a shard.
    pub shard: ShardId,
    /// As whom it subscribes.
    pub identity: Identity,
    /// To what.
    pub topics: Vec<Topic>,
    pub hub: mpsc::Sender<HubMessage>,
    pub shards: Vec<mpsc::Sender<ShardMessage<MaybeTls<R::Stream>>>>,
    /// What it has heard of its routes.
    pub heard: Epoch,
}

impl<R: Runtime> Broadcaster<R> {
    /// Serves the broadcast until every sender of its mailbox is gone.
    pub async fn run(mut self, mut mailbox: mpsc::Receiver<ShardMessage<MaybeTls<R::Stream>>>) {
        // A frame under way to each shard, and no more.
        let room: Vec<_> = self.shards.iter().map(|_| Arc::new(Semaphore::new(1))).collect();
        let mut messages = Vec::with_capacity(MESSAGES_PER_TURN);
        let mut effects = Vec::new();
        let mut to_hub: VecDeque<Event> = VecDeque::new();
        loop {
            let deadline_ms = self.broadcast.next_deadline_ms();
            tokio::select! {
                biased;
                permit = self.hub.reserve(), if !to_hub.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = to_hub.pop_front() {
                        permit.send(HubMessage::Event(event));
                    }
                    continue;
                }
                taken = mailbox.recv_many(&mut messages, MESSAGES_PER_TURN) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = self.clock.sleep_until_ms(deadline_ms.unwrap_or(0)),
                    if deadline_ms.is_some() => {}
            }
            self.broadcast.set_now(self.clock.now_ms());
            for message in messages.drain(..) {
                self.take(message, &mut effects);
            }
            if self.broadcast.due(&mut effects) {
                self.send(&room).await;
            }
            for effect in effects.drain(..) {
                to_hub.extend(self.events(effect));
            }
        }
    }

    fn take(
        &mut self,
        message: ShardMessage<MaybeTls<R::Stream>>,
        effects: &mut Vec<BroadcastEffect>,
    ) {
        match message {
            ShardMessage::Audience { shard, route, wanted, epoch } => {
                self.heard = epoch;
                self.broadcast.audience(shard, route, wanted, effects);
            }
            ShardMessage::Expect { route, since } => self.broadcast.expect(route, since),
            ShardMessage::Forget { route } => self.broadcast.forget(route),
            ShardMessage::Ticks { heard, ticks, .. } => {
                self.broadcast.set_heard(heard);
                for (route, tick) in ticks {
                    self.broadcast.tick(route, &tick);
                }
            }
            ShardMessage::Deliver { client, answer: Some(answer), .. } => {
                self.broadcast.answered(client, is_success(&answer));
            }
            ShardMessage::Close { client, code, .. } => {
                self.broadcast.closed(client, code == RESTARTING, effects);
            }
            ShardMessage::QueryBroadcast(answer) => {
                let (topics, totals) = (self.broadcast.topics(), self.broadcast.totals());
                // Whoever asked may have given up.
                let _ = answer.send(BroadcastSnapshot { topics, totals });
            }
            // Of the routes and outboxes that a client has, its own needs none.
            ShardMessage::Deliver { answer: None, .. }
            | ShardMessage::Attach { .. }
            | ShardMessage::Control { .. }
            | ShardMessage::CloseReply { .. }
            | ShardMessage::Detach { .. }
            | ShardMessage::News { .. }
            | ShardMessage::Order { .. }
            | ShardMessage::Query(_) => {}
        }
    }

    /// What the hub is told.
    fn events(&self, effect: BroadcastEffect) -> Vec<Event> {
        let ask = |client, request| Event::Request { client, request_id: None, request };
        match effect {
            BroadcastEffect::Open(client) => {
                let channel = ChannelId::BUILT_IN;
                vec![Event::Opened { client, shard: self.shard, channel }]
            }
            BroadcastEffect::Ask(client) => {
                let entry = |topic: &Topic| {
                    let Topic { instrument, mode } = topic.clone();
                    Ok(SubscribeEntry {
                        instrument,
                        mode,
                        depth: DEPTH,
                        snapshot: None,
                        interval_ms: 0,
                    })
                };
                let entries = self.topics.iter().map(entry).collect();
                vec![
                    ask(client, Request::Authenticate(Ok(self.identity.clone()))),
                    ask(client, Request::Subscribe(entries)),
                ]
            }
            BroadcastEffect::Close(client) => vec![Event::Closed { client }],
        }
    }

    /// Serializes once, and hands the same bytes to every shard that has listeners.
    async fn send(&self, room: &[Arc<Semaphore>]) {
        let frame = self.broadcast.frame(self.runtime.unix_ms());
        for (shard, route) in self.broadcast.routes() {
            // An error means that the semaphore is closed, which nobody does.
            let Ok(room) = room[shard].clone().acquire_owned().await else { return };
            let ticks = vec![(route, frame.clone())].into_iter();
            let ticks = ShardMessage::Ticks { heard: self.heard, ticks, room };
            // A closed mailbox means that the gateway is ending.
            let _ = self.shards[shard].send(ticks).await;
        }
    }
}

/// Whether an answer grants all that was asked for.
fn is_success(answer: &Bytes) -> bool {
    #[derive(Deserialize)]
    struct Said<'a> {
        status: &'a str,
    }
    let said = frame::payload(answer).and_then(|json| serde_json::from_slice::<Said>(json).ok());
    said.is_some_and(|said| said.status == "success")
}

/// Asks a broadcast how it is; `None` if it has ended.
pub(super) async fn ask<S>(outlet: &mpsc::Sender<ShardMessage<S>>) -> Option<BroadcastSnapshot> {
    let (sender, answer) = oneshot::channel();
    outlet.send(ShardMessage::QueryBroadcast(sender)).await.ok()?;
    answer.await.ok()
}

/// One broadcast, and where its ticks and audience are told.
pub(super) struct Outlet<S> {
    pub channel: ChannelId,
    pub shard: ShardId,
    pub mailbox: mpsc::Sender<ShardMessage<S>>,
}

impl<S> Clone for Outlet<S> {
    fn clone(&self) -> Self {
        Self { channel: self.channel, shard: self.shard, mailbox: self.mailbox.clone() }
    }
}

//! The shell around a [`Broadcast`]: a mailbox like that of a shard, and one timer.
//!
//! To the hub it is a shard with one client, its own. It never waits for the hub, which may be
//! waiting for it, nor for a shard that is behind: its latest frame, which holds everything, goes
//! there when the one before has been given out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::select_all;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::hub::HubMessage;
use super::shard::ShardMessage;
use super::tls::MaybeTls;
use crate::engine::{
    Broadcast, BroadcastEffect, BroadcastTotals, ChannelId, Epoch, Event, Identity, RESTARTING,
    Request, RouteId, ShardId,
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

/// What goes to each shard next, as soon as there is room: the route on which its clients listen,
/// and the frame.
type Waiting = BTreeMap<ShardId, (RouteId, Bytes)>;

impl<R: Runtime> Broadcaster<R> {
    /// Serves the broadcast until every sender of its mailbox is gone.
    pub async fn run(mut self, mut mailbox: mpsc::Receiver<ShardMessage<MaybeTls<R::Stream>>>) {
        // A frame under way to each shard, and no more.
        let room: Vec<_> = self.shards.iter().map(|_| Arc::new(Semaphore::new(1))).collect();
        let mut messages = Vec::with_capacity(MESSAGES_PER_TURN);
        let mut effects = Vec::new();
        let mut to_hub: VecDeque<Event> = VecDeque::new();
        let mut waiting = Waiting::new();
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
                (shard, permit) = first_with_room(&room, &waiting), if !waiting.is_empty() => {
                    self.send(shard, permit, &mut waiting).await;
                    continue;
                }
                () = self.clock.sleep_until_ms(deadline_ms.unwrap_or(0)),
                    if deadline_ms.is_some() => {}
            }
            self.broadcast.set_now(self.clock.now_ms());
            for message in messages.drain(..) {
                self.take(message, &mut effects);
            }
            if self.broadcast.due(&mut effects) {
                let frame = self.broadcast.frame(self.runtime.unix_ms());
                let routes = self.broadcast.routes();
                waiting = routes.map(|(shard, at)| (shard, (at, frame.clone()))).collect();
            }
            for (shard, room) in room.iter().enumerate() {
                if waiting.contains_key(&shard)
                    && let Ok(permit) = room.clone().try_acquire_owned()
                {
                    self.send(shard, permit, &mut waiting).await;
                }
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

    /// Hands a shard what waits for it, if somebody listens there still. All get the same bytes.
    async fn send(&self, shard: ShardId, room: OwnedSemaphorePermit, waiting: &mut Waiting) {
        let Some((route, frame)) = waiting.remove(&shard) else { return };
        if self.broadcast.routes().any(|at| at == (shard, route)) {
            let ticks = vec![(route, frame)].into_iter();
            let ticks = ShardMessage::Ticks { heard: self.heard, ticks, room };
            // A closed mailbox means that the gateway is ending.
            let _ = self.shards[shard].send(ticks).await;
        }
    }
}

/// The first shard for which something waits and that has given out what it had. Cancel-safe.
async fn first_with_room(
    room: &[Arc<Semaphore>],
    waiting: &Waiting,
) -> (ShardId, OwnedSemaphorePermit) {
    let acquiring = waiting.keys().map(|&shard| {
        let room = room[shard].clone();
        Box::pin(async move { (shard, room.acquire_owned().await) })
    });
    match select_all(acquiring).await {
        ((shard, Ok(permit)), ..) => (shard, permit),
        // The semaphore is closed, which nobody does.
        ((_, Err(_)), ..) => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::BroadcastOptions;
    use crate::runtime::TokioRuntime;

    type Message = ShardMessage<MaybeTls<<TokioRuntime as Runtime>::Stream>>;

    /// What a shard was handed last, if it was handed anything: the price in it, and the room.
    fn handed(shard: &mut mpsc::Receiver<Message>) -> Option<(u64, OwnedSemaphorePermit)> {
        let Ok(ShardMessage::Ticks { mut ticks, room, .. }) = shard.try_recv() else { return None };
        let (_, frame) = ticks.next().expect("a frame");
        let json: serde_json::Value =
            serde_json::from_slice(frame::payload(&frame).expect("a frame")).expect("JSON");
        Some((json["ticks"][0]["data"]["ltp"].as_u64().expect("a price"), room))
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_is_behind_keeps_no_other_from_the_broadcast() {
        let runtime = TokioRuntime::new();
        let (to_hub, _hub) = mpsc::channel(8);
        let (mailbox, messages) = mpsc::channel(8);
        let (behind, mut first) = mpsc::channel(8);
        let (quick, mut second) = mpsc::channel(8);
        let options = BroadcastOptions {
            number: (0, 1),
            path: "/ws/all".to_owned(),
            interval_ms: 100,
            subscribes: false,
            retry_min_ms: 1_000,
            retry_max_ms: 1_000,
            linger_ms: 0,
        };
        let broadcaster = Broadcaster {
            runtime: runtime.clone(),
            clock: Clock::start(),
            broadcast: Broadcast::new(options),
            shard: 2,
            identity: Identity::trader("indices".into(), "paper".into()),
            topics: Vec::new(),
            hub: to_hub,
            shards: vec![behind, quick],
            heard: Epoch::default(),
        };
        let task = runtime.spawn("broadcast", broadcaster.run(messages));
        let tell = async |message: Message| mailbox.send(message).await.expect("it lives");
        let era = RouteId(7);
        for shard in [0, 1] {
            let (wanted, epoch) = (true, Epoch(0));
            tell(ShardMessage::Audience { shard, route: era, wanted, epoch }).await;
        }
        let mut held = None;
        for price in 1..=3 {
            let instrument = crate::topic::Instrument::new("NSE", "NIFTY");
            let data = format!(r#"{{"ltp":{price}}}"#);
            let mode = crate::topic::Mode::Ltp;
            let tick = frame::tick_frame(&instrument, mode, "paper", data.as_bytes());
            let room = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("it is open");
            let ticks = vec![(RouteId::picked(era, 1), tick)].into_iter();
            tell(ShardMessage::Ticks { heard: Epoch(0), ticks, room }).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(handed(&mut second).map(|(price, _)| price), Some(price));
            held = held.or(handed(&mut first));
        }
        assert_eq!(held.as_ref().map(|(price, _)| *price), Some(1));
        assert!(handed(&mut first).is_none(), "one frame is under way to it, and no more");
        drop(held);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(handed(&mut first).map(|(price, _)| price), Some(3), "the latest, at once");
        drop(mailbox);
        task.await;
    }
}

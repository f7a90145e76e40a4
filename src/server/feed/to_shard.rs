//! The way from the feed to one shard.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::select_all;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::ShardMessage;
use crate::engine::{Backlog, BacklogLimits, Epoch, RouteId, RouteNews};
use crate::protocol::FeedStatus;

/// Bytes of ticks that count as one tick where it is said how many may wait.
const BYTES_PER_TICK: usize = 1_024;

/// News by route, the latest of each.
type News = IndexMap<RouteId, RouteNews, FxBuildHasher>;

/// What waits for one shard: ticks, and how topics are.
///
/// That a topic ticks again goes before all ticks, that it is silent behind all of them. So a shard
/// never has a tick behind a silence whose end it has not been told, however far it is behind.
pub(super) struct ToShard<S> {
    pub mailbox: mpsc::Sender<ShardMessage<S>>,
    backlog: Backlog,
    limits: BacklogLimits,
    /// For ticks, and KiB of them, in the mailbox; the shard gives it back.
    room: Arc<Semaphore>,
    /// Silences that have ended.
    ends: News,
    silences: News,
    heard: Epoch,
}

/// A place in a shard's mailbox, and for so many ticks in what it holds.
pub(super) type Room<S> = (mpsc::OwnedPermit<ShardMessage<S>>, OwnedSemaphorePermit);

impl<S> ToShard<S> {
    pub fn new(mailbox: mpsc::Sender<ShardMessage<S>>, waiting_max: usize) -> Self {
        let bytes_max = waiting_max.saturating_mul(BYTES_PER_TICK);
        let limits = BacklogLimits { ticks_max: waiting_max, bytes_max };
        Self {
            mailbox,
            backlog: Backlog::default(),
            limits,
            room: Arc::new(Semaphore::new(waiting_max)),
            ends: News::default(),
            silences: News::default(),
            heard: Epoch::default(),
        }
    }

    pub fn push(&mut self, route: RouteId, tick: Bytes) {
        self.backlog.push(self.limits, route, tick);
    }

    pub fn push_news(&mut self, news: RouteNews) {
        let route = news.route;
        match news.status {
            // A tick that came before the market closed and opened may still be on its way.
            None if self.ends.get(&route).is_some_and(|end| end.status.is_some()) => {
                self.silences.swap_remove(&route);
            }
            None | Some(FeedStatus::Live) => {
                self.silences.swap_remove(&route);
                self.ends.insert(route, news);
            }
            Some(FeedStatus::Stale | FeedStatus::Recovering | FeedStatus::Closed) => {
                self.silences.insert(route, news);
            }
        }
    }

    /// The shard wants a route, or no longer does.
    pub fn heard(&mut self, epoch: Epoch) {
        self.heard = epoch;
    }

    /// Nobody there wants this route any more.
    pub fn forget(&mut self, route: RouteId) {
        self.backlog.forget(route);
        self.ends.swap_remove(&route);
        self.silences.swap_remove(&route);
    }

    /// Whether something waits.
    pub fn is_behind(&self) -> bool {
        !self.backlog.is_empty() || !self.ends.is_empty() || !self.silences.is_empty()
    }

    /// Ticks that were shed so far.
    pub const fn shed(&self) -> u64 {
        self.backlog.shed()
    }

    /// What the ticks that wait need; a quarter of what there is at most, so that a shard that is
    /// behind is never out of work. News needs nothing but its place in the mailbox.
    fn size(&self) -> u32 {
        if !self.ends.is_empty() {
            return 0;
        }
        let size = self.backlog.len() + self.backlog.bytes() / BYTES_PER_TICK;
        u32::try_from(size.min(self.limits.ticks_max.div_ceil(4))).unwrap_or(u32::MAX)
    }

    /// Waits until some of what waits can be sent. `None`: the gateway is ending.
    pub fn room(&self) -> impl Future<Output = Option<Room<S>>> + use<S> {
        let (mailbox, room, size) = (self.mailbox.clone(), self.room.clone(), self.size());
        async move {
            let place = mailbox.reserve_owned().await.ok()?;
            Some((place, room.acquire_many_owned(size).await.ok()?))
        }
    }

    /// Sends what there is room for at once.
    pub fn try_send(&mut self) {
        while self.is_behind() {
            let Ok(place) = self.mailbox.clone().try_reserve_owned() else { return };
            let room = self.room.clone().try_acquire_many_owned(self.size());
            let Ok(room) = room else { return };
            self.send((place, room));
        }
    }

    pub fn send(&mut self, (place, room): Room<S>) {
        if !self.ends.is_empty() {
            place.send(message(self.heard, &mut self.ends));
            return;
        }
        if self.backlog.is_empty() {
            place.send(message(self.heard, &mut self.silences));
            return;
        }
        let size = room.num_permits();
        let limits = BacklogLimits { ticks_max: size, bytes_max: size * BYTES_PER_TICK };
        let ticks = self.backlog.take(limits).into_iter();
        place.send(ShardMessage::Ticks { heard: self.heard, ticks, room });
    }
}

/// Waits until something can be sent to one of those that are behind, and says to which; `None` in
/// it: the gateway is ending. `None`: nobody is behind.
pub(super) fn room_of_any<S: Send + 'static>(
    shards: &[ToShard<S>],
) -> Option<impl Future<Output = (usize, Option<Room<S>>)> + use<S>> {
    let behind = shards.iter().enumerate().filter(|(_, shard)| shard.is_behind());
    let rooms = behind.map(|(at, shard)| shard.room().map(move |room| (at, room)).boxed());
    let rooms: Vec<_> = rooms.collect();
    (!rooms.is_empty()).then(|| select_all(rooms).map(|(first, _, _)| first))
}

fn message<S>(heard: Epoch, news: &mut News) -> ShardMessage<S> {
    let news: Vec<RouteNews> = std::mem::take(news).into_values().collect();
    ShardMessage::News { heard, news: news.into_iter() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a route is told of, in their order.
    fn told(statuses: &[Option<FeedStatus>]) -> Vec<Option<FeedStatus>> {
        let (mailbox, mut sent) = mpsc::channel::<ShardMessage<tokio::io::DuplexStream>>(1);
        let mut way = ToShard::new(mailbox, 100);
        for status in statuses {
            let (broker, entry) = ("paper".into(), Bytes::new());
            way.push_news(RouteNews {
                route: RouteId(1),
                shards: 1,
                status: *status,
                broker,
                entry,
            });
        }
        way.try_send();
        let mut told = Vec::new();
        while let Ok(message) = sent.try_recv() {
            if let ShardMessage::News { news, .. } = message {
                told.extend(news.map(|news| news.status));
            }
            way.try_send();
        }
        told
    }

    #[test]
    fn the_end_of_a_silence_is_told_though_the_market_has_closed_and_opened_since() {
        use FeedStatus::{Closed, Live};
        assert_eq!(told(&[Some(Closed), None]), [None]);
        assert_eq!(told(&[Some(Live), None]), [Some(Live)]);
        assert_eq!(told(&[Some(Live), Some(Closed), None]), [Some(Live)]);
        assert_eq!(told(&[None, Some(Live)]), [Some(Live)]);
        assert_eq!(told(&[Some(Live), Some(Closed)]), [Some(Live), Some(Closed)]);
    }
}

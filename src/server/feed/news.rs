//! How topics are: looked at in time, and handed on.

use super::{Feed, ToShard};
use crate::audit::What;
use crate::engine::{FeedNote, Moment};

impl<S> Feed<S> {
    /// Looks for topics that are silent.
    pub(super) fn look(&mut self, at: Moment) {
        let state = &mut self.tables.state;
        state.set_now(at);
        state.fire();
        self.spread_news();
    }

    /// Hands on how topics are.
    pub(super) fn spread_news(&mut self) {
        while let Some(news) = self.tables.state.pop_news() {
            let mut shards = news.shards;
            while shards != 0 {
                let shard = shards.trailing_zeros() as usize;
                shards &= shards - 1;
                if shard < self.tables.told {
                    self.shards[shard].push_news(news.clone());
                }
            }
        }
        self.shards.iter_mut().for_each(ToShard::try_send);
        for note in self.tables.state.take_notes() {
            self.tell_operator(note);
        }
    }

    fn tell_operator(&self, note: FeedNote) {
        match note {
            FeedNote::Silent { broker, topics, for_ms } => {
                tracing::warn!(
                    %broker,
                    topics,
                    for_ms,
                    "the feed is silent: no tick of any topic although markets are open"
                );
                self.audit.put(What::FeedSilent { broker, topics }.record());
            }
            FeedNote::Audible { broker } => {
                tracing::info!(%broker, "the feed ticks again");
                self.audit.put(What::FeedAudible { broker }.record());
            }
        }
    }
}

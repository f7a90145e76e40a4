//! Which silences of a topic the gateway may have come to know as usual.

use std::collections::{BTreeMap, BTreeSet};

use super::TOLERANCE_US;
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// How soon behind the last holder the next may come, and nobody can say whether the gateway has
/// forgotten the topic in between.
const HANDED_ON_US: u64 = 1_000_000;
/// Silences that were too long after which a topic is known to be rare.
const LATE_MIN: usize = 2;

/// Ticks behind which the gateway has surely seen as many gaps as teach it a habit.
const TICKS_MANY: usize = 100;

/// What the gateway allows, and since when somebody has held each topic.
pub(super) struct Silences {
    min_us: u64,
    max_us: u64,
    rare_us: u64,
    factor: u64,
    by_exchange: BTreeMap<String, u64>,
    from_us: BTreeMap<TopicName, u64>,
    /// Since when, and until when, somebody held what nobody holds.
    left_us: BTreeMap<TopicName, (u64, u64)>,
}

impl Silences {
    pub fn new(plan: &Plan) -> Self {
        let markets = plan.gateway.markets.iter();
        let own = markets.filter_map(|market| Some((market, market.stale_after_ms? * 1_000)));
        Self {
            min_us: plan.gateway.stale_min_ms * 1_000,
            max_us: plan.gateway.stale_after_ms * 1_000,
            rare_us: plan.gateway.stale_max_ms * 1_000,
            factor: plan.gateway.stale_factor as u64,
            by_exchange: own
                .flat_map(|(market, us)| market.exchanges.iter().map(move |it| (it.clone(), us)))
                .collect(),
            from_us: BTreeMap::new(),
            left_us: BTreeMap::new(),
        }
    }

    /// Silence after which a topic is stale that is not known to be rare.
    pub fn max_us(&self, topic: &TopicName) -> u64 {
        self.by_exchange.get(&*topic.instrument().exchange).copied().unwrap_or(self.max_us)
    }

    /// A client holds a topic from now on.
    pub fn held(&mut self, topic: &TopicName, at_us: u64) {
        if self.from_us.contains_key(topic) {
            return;
        }
        let before = self.left_us.remove(topic);
        let before = before.filter(|(_, left_us)| left_us + HANDED_ON_US > at_us);
        self.from_us.insert(topic.clone(), before.map_or(at_us, |(from_us, _)| from_us));
    }

    /// Nobody holds a topic any more.
    pub fn left(&mut self, topic: &TopicName, at_us: u64) {
        if let Some(from_us) = self.from_us.remove(topic) {
            self.left_us.insert(topic.clone(), (from_us, at_us));
        }
    }

    /// The longest silence of a topic that may be allowed.
    pub fn longest_us(&self, topic: &TopicName, published: Option<&BTreeSet<u64>>) -> u64 {
        let max_us = self.max_us(topic);
        let from_us = self.from_us.get(topic).copied().unwrap_or_default();
        let late = published.into_iter().flat_map(|published| {
            let seen = published.range(from_us.saturating_sub(HANDED_ON_US)..);
            let gaps = seen.clone().zip(seen.skip(1)).map(|(before, us)| us - before);
            gaps.filter(|gap_us| gap_us + TOLERANCE_US >= max_us)
        });
        let (count, longest_us) =
            late.fold((0, 0), |(count, longest), us| (count + 1, us.max(longest)));
        if count < LATE_MIN {
            return max_us;
        }
        let usual_us = (longest_us + TOLERANCE_US).saturating_mul(self.factor);
        usual_us.min(self.rare_us).max(max_us)
    }

    /// The longest silence that the gaps of a topic explain, if somebody has held it since
    /// `since_us` and the gateway has surely learnt them by its last tick.
    pub fn usual_us(
        &self,
        topic: &TopicName,
        published: &BTreeSet<u64>,
        since_us: u64,
    ) -> Option<u64> {
        let learning_us = (self.min_us * self.factor).min(self.max_us(topic));
        let last_us = published.last().copied()?;
        // It has looked at them since, and the silence after the last tick is not among them.
        let learnt_us = last_us.saturating_sub(2 * learning_us + HANDED_ON_US);
        if since_us + learning_us > learnt_us
            || published.range(since_us..learnt_us).take(TICKS_MANY).count() < TICKS_MANY
        {
            return None;
        }
        let from_us = self.from_us.get(topic).copied().unwrap_or_default();
        let seen = published.range(from_us.saturating_sub(HANDED_ON_US)..);
        let gaps = seen.clone().zip(seen.skip(1)).map(|(before, us)| us - before);
        let usual_us = (gaps.max()? + TOLERANCE_US).saturating_mul(self.factor);
        Some(usual_us.max(self.min_us))
    }

    /// The moment at which the last two silences before this one began, and a silence that is
    /// surely allowed if both were seen in full and both were too long.
    pub fn surely_us(&self, topic: &TopicName, published: &[u64; 3]) -> Option<(u64, u64)> {
        let [began_us, between_us, last_us] = *published;
        let shorter_us = (between_us - began_us).min(last_us - between_us);
        let max_us = self.max_us(topic);
        let taught_us = max_us.saturating_mul(self.factor);
        let allowed_us = shorter_us.min(taught_us).min(self.rare_us);
        (shorter_us >= max_us + TOLERANCE_US).then_some((began_us, allowed_us))
    }
}

//! Which topic the broker is asked for where a client wants one in a mode that the broker lacks.

use std::collections::BTreeMap;

use tickgate::topic::{Mode, UserId};

use crate::plan::Plan;
use crate::topic_name::TopicName;

/// The modes that brokers have, the leanest first. By default nothing is known of them, and each
/// topic is asked for as it is.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    modes: Vec<Mode>,
}

impl Carriers {
    pub fn new(plan: &Plan) -> Self {
        Self { modes: plan.gateway.quirks.modes().unwrap_or_default() }
    }

    /// The topic that serves this one: in the leanest mode that the broker has and that is enough.
    pub fn of(&self, topic: &TopicName) -> TopicName {
        let mode = self.modes.iter().copied().find(|mode| *mode >= topic.mode());
        let instrument = topic.instrument();
        mode.filter(|mode| *mode != topic.mode()).map_or_else(
            || topic.clone(),
            |mode| TopicName::new(&instrument.exchange, &instrument.symbol, mode),
        )
    }

    /// Counts of topics as counts of what serves them.
    pub fn counts(
        &self,
        counts: BTreeMap<(UserId, TopicName), u64>,
    ) -> BTreeMap<(UserId, TopicName), u64> {
        let mut carried = BTreeMap::new();
        for ((user, topic), count) in counts {
            *carried.entry((user, self.of(&topic))).or_default() += count;
        }
        carried
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{named, plan};
    use super::*;

    #[test]
    fn a_mode_that_a_broker_lacks_is_served_from_the_next_higher_one() {
        let mut plan = plan();
        plan.gateway.quirks.modes = vec!["LTP".into(), "Depth".into()];
        let carriers = Carriers::new(&plan);
        for (asked, carrier) in [("LTP", "LTP"), ("Quote", "Depth"), ("Depth", "Depth")] {
            let [asked, carrier] = [asked, carrier].map(|mode| named(&format!("NSE:A/{mode}")));
            assert_eq!(carriers.of(&asked), carrier);
            assert_eq!(Carriers::default().of(&asked), asked);
        }
        let count =
            |mode: &str, count: u64| (("alice".into(), named(&format!("NSE:A/{mode}"))), count);
        let counts = carriers.counts([count("Quote", 2), count("Depth", 1)].into());
        assert_eq!(counts, [count("Depth", 3)].into());
    }
}

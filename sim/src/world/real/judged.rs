//! What can be judged in real time, and what cannot.

use super::LATENCY_MAX_MS;
use crate::invariant::{self, Invariant};
use crate::plan::Plan;

/// What no run in real time can judge or decide, one sentence for each.
const ALWAYS: [&str; 3] = [
    "tasks that are left when the gateway stops: a process that has ended shows none",
    "the engine's checks after each event: the release binary is built without them",
    "the order of the gateway's tasks and its yield points: the system decides, not the seed",
];

/// The invariants that are asked in real time.
pub(super) fn invariants(plan: &Plan) -> Vec<Box<dyn Invariant>> {
    let unjudged = unjudged(plan);
    let is_judged = |name: &str| unjudged.iter().all(|(other, _)| *other != name);
    invariant::all(plan).into_iter().filter(|one| is_judged(one.name())).collect()
}

/// What is not judged when this plan is played in real time, and why: one sentence for each.
#[must_use]
pub fn limits(plan: &Plan) -> Vec<String> {
    let unjudged = unjudged(plan).into_iter().map(|(name, why)| format!("{name}: {why}"));
    unjudged.chain(ALWAYS.map(str::to_owned)).collect()
}

/// Invariants that real time makes meaningless for this plan, by name, each with the reason.
fn unjudged(plan: &Plan) -> Vec<(&'static str, String)> {
    // Publisher and gateway may each have waited for a core that long.
    let waited_ms = 2 * LATENCY_MAX_MS;
    let ticks = plan.feed.topics.iter().map(|topic| topic.ticks_within(waited_ms));
    let ticks = ticks.sum::<u64>();
    let outbox = plan.gateway.outbox_ticks_max as u64;
    let mut unjudged = vec![("audit_agrees", "nobody keeps the audit log of a process".to_owned())];
    if outbox < ticks {
        unjudged.push((
            "ticks_in_order",
            format!(
                "an outbox holds {outbox} ticks; on a busy machine {ticks} come at once, and the \
                 gateway may rightly leave some out for any client"
            ),
        ));
    }
    unjudged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan, scenario};

    /// What is left out of a scenario in real time.
    fn left_out(file: &str) -> Vec<&'static str> {
        let path = format!("{}/../scenarios/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let scenario = scenario::load(path.as_ref()).expect("the scenario is good");
        let plan = plan::draw(&scenario, 1);
        let asked: Vec<_> = invariants(&plan).iter().map(|one| one.name()).collect();
        let all = invariant::all(&plan);
        all.iter().map(|one| one.name()).filter(|name| !asked.contains(name)).collect()
    }

    #[test]
    fn an_invariant_is_left_out_where_an_outbox_is_tiny_and_nowhere_else() {
        assert_eq!(left_out("lagging"), ["ticks_in_order", "audit_agrees"]);
        for file in ["smoke", "rc_014"] {
            assert_eq!(left_out(file), ["audit_agrees"]);
        }
    }
}

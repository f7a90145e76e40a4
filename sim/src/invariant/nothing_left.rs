use std::collections::BTreeMap;

use tickgate::server::status::Status;

use super::broker_view::BrokerView;
use super::{Held, Invariant};
use crate::history::{Event, Phase, Seen};
use crate::plan::Plan;

/// After the last client has left, nothing is left: no client, user, session, topic, route or
/// timer; the tasks are those of the idle gateway; the broker has no session.
#[derive(Default)]
pub(super) struct NothingLeft {
    phase: Option<Phase>,
    idle: Option<Box<Status>>,
    broker: BrokerView,
    /// Whether the broker's sessions stay open.
    kept: bool,
}

impl Invariant for NothingLeft {
    fn name(&self) -> &'static str {
        "nothing_left"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.broker.observe(event);
        match (&event.seen, self.phase) {
            (Seen::Phase(phase), _) => self.phase = Some(*phase),
            (Seen::Status(status), None | Some(Phase::WarmUp)) => self.idle = Some(status.clone()),
            (Seen::Status(status), Some(Phase::Empty)) => return self.judge(status),
            (_, _) => {}
        }
        Ok(())
    }
}

impl NothingLeft {
    pub fn new(plan: &Plan) -> Self {
        Self { kept: plan.gateway.quirks.keep_session, ..Self::default() }
    }

    fn judge(&self, status: &Status) -> Result<(), String> {
        let idle = self.idle.as_deref();
        let sum = |of: fn(&tickgate::server::status::ShardStatus) -> u64| -> u64 {
            status.shards.iter().map(of).sum()
        };
        let left = [
            ("clients", status.clients.total),
            ("connections", status.gate.connections),
            ("users", if self.kept { 0 } else { status.users_total }),
            ("topics", status.topics_total),
            ("subscriptions", status.subscriptions),
            ("clients in shards", sum(|shard| shard.clients)),
            ("routes", sum(|shard| shard.routes)),
            ("topics with routes", sum(|shard| shard.topics)),
            ("bytes in outboxes", sum(|shard| shard.outbox_bytes)),
            ("kept last values", sum(|shard| shard.last_values)),
            ("timers", status.timers.saturating_sub(idle.map_or(0, |idle| idle.timers))),
            ("broker sessions", if self.kept { 0 } else { self.broker.users().len() as u64 }),
            ("topics on at the broker", self.broker.topics().len() as u64),
        ];
        if let Some((what, count)) = left.into_iter().find(|(_, count)| *count > 0) {
            return Err(format!("after the last client left there are still {count} {what}"));
        }
        let idle_tasks = idle.map(|idle| idle.tasks.clone()).unwrap_or_default();
        match difference(&idle_tasks, &status.tasks) {
            Some((name, before, now)) => Err(format!(
                "after the last client left there are {now} tasks `{name}`; the idle gateway had \
                 {before}"
            )),
            None => Ok(()),
        }
    }
}

fn difference<'a>(
    before: &'a BTreeMap<String, u64>,
    now: &'a BTreeMap<String, u64>,
) -> Option<(&'a str, u64, u64)> {
    let count = |tasks: &BTreeMap<String, u64>, name: &str| tasks.get(name).copied().unwrap_or(0);
    before
        .keys()
        .chain(now.keys())
        .map(|name| (name.as_str(), count(before, name), count(now, name)))
        .find(|(_, before, now)| before != now)
}

#[cfg(test)]
mod tests {
    use tickgate::server::status::ShardStatus;

    use super::super::testing::{Story, page};
    use super::*;
    use crate::history::Op;

    fn story() -> Story<NothingLeft> {
        let mut story = Story::of(NothingLeft::default());
        story.status(idle()).expect("the idle gateway is good");
        story.phase(Phase::Play);
        story.serve("alice", 1, Op::Connect);
        story.status(page(&[("alice", 1)], &[])).expect("clients may be there now");
        story
    }

    fn idle() -> Status {
        let mut status = page(&[], &[]);
        status.tasks.insert("hub".into(), 1);
        status.shards.push(ShardStatus::default());
        status
    }

    #[test]
    fn a_gateway_as_idle_as_before_is_good() {
        let mut story = story();
        story.serve("alice", 1, Op::Disconnect);
        story.phase(Phase::Empty);
        assert_eq!(story.status(idle()), Ok(()));
    }

    #[test]
    fn whatever_is_left_is_noticed() {
        let changes: [fn(&mut Status); 7] = [
            |status| status.clients.total = 1,
            |status| status.users_total = 1,
            |status| status.topics_total = 1,
            |status| status.shards[0].routes = 1,
            |status| status.timers = 1,
            |status| status.tasks = [("hub".into(), 1), ("client".into(), 1)].into(),
            |status| status.tasks.clear(),
        ];
        for change in changes {
            let mut story = story();
            story.serve("alice", 1, Op::Disconnect);
            story.phase(Phase::Empty);
            let mut status = idle();
            change(&mut status);
            assert!(story.status(status).is_err());
        }
        let mut open_session = story();
        open_session.phase(Phase::Empty);
        assert!(open_session.status(idle()).is_err());
    }
}

use super::{Held, Invariant};
use crate::history::{Event, Seen};
use crate::plan::Plan;

/// What a stop may take beyond the configured drain time.
const TOLERANCE_MS: u64 = 500;

/// A gateway that is told to stop stops within its drain time and leaves no task behind.
pub(super) struct StopsCleanly {
    most_ms: u64,
    stopped: bool,
}

impl StopsCleanly {
    pub const fn new(plan: &Plan) -> Self {
        Self { most_ms: plan.gateway.drain_timeout_ms + TOLERANCE_MS, stopped: false }
    }
}

impl Invariant for StopsCleanly {
    fn name(&self) -> &'static str {
        "stops_cleanly"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let Seen::Stopped { took_ms, tasks_left } = &event.seen else { return Ok(()) };
        self.stopped = true;
        if *took_ms > self.most_ms {
            return Err(format!(
                "the gateway took {took_ms} ms to stop; {} ms is the most",
                self.most_ms
            ));
        }
        match tasks_left.first() {
            Some((name, count)) => {
                Err(format!("the gateway has stopped, but {count} tasks `{name}` are alive"))
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.stopped { Ok(()) } else { Err("the gateway never stopped".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, plan};
    use super::*;
    use crate::history::Actor;

    fn stop(took_ms: u64, tasks_left: &[(String, u64)]) -> Result<(), String> {
        let mut story = Story::of(StopsCleanly::new(&plan()));
        let stopped = Seen::Stopped { took_ms, tasks_left: tasks_left.to_vec() };
        story.see(&Actor::Gateway, stopped)
    }

    #[test]
    fn a_slow_stop_a_task_left_behind_and_no_stop_at_all_are_noticed() {
        assert_eq!(stop(100, &[]), Ok(()));
        assert!(stop(60_000, &[]).is_err());
        assert!(stop(100, &[("client".into(), 1)]).is_err());
        assert!(Story::of(StopsCleanly::new(&plan())).finish().is_err());
    }
}

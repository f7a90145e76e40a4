use super::*;
use crate::history::{Actor, Event, Request, Seen};
use crate::invariant::{self, Held};
use crate::plan::draw;
use crate::scenario::parse;

const TEXT: &str = r#"
about: A storm.
world:
  duration_ms: 900
  users:
    - { name: alice, clients: 3, arrive_ms: [0, 60] }
    - { name: bob, clients: 2, arrive_ms: [0, 60] }
  topics: [NSE:TCS/LTP, NSE:INFY/LTP, NSE:SBIN/Quote]
  broker:
    topics:
      - { topic: NSE:INFY/LTP, subscribe: { flaky: 0.5 } }
storm:
  pause_ms: [0, 80]
  weights: { subscribe: 10, unsubscribe: 4, ping: 4, vanish: 1, flip: 1 }
  incidents: { invalidations: [1, 2], broker_deaths: [1, 1] }
"#;

fn plan(seed: u64) -> Plan {
    draw(&parse("s.yaml", TEXT).expect("it is good"), seed)
}

fn shrunk(plan: &Plan, judges: &Judges<'_>, jobs: usize) -> (Shrunk, Stats) {
    let mut last = Stats::default();
    let shrunk = shrink(plan, judges, jobs, &mut |stats| {
        last = *stats;
        true
    });
    (shrunk.expect("it fails"), last)
}

/// A defect that is planted: a client must not subscribe to one topic twice.
#[derive(Default)]
struct NobodySubscribesTwice(BTreeSet<(Actor, String)>);

impl Invariant for NobodySubscribesTwice {
    fn name(&self) -> &'static str {
        "nobody_subscribes_twice"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        let Seen::Sent(sent) = &event.seen else { return Ok(()) };
        let Request::Subscribe(topics) = &sent.request else { return Ok(()) };
        for topic in topics {
            if !self.0.insert((event.actor.clone(), topic.to_string())) {
                return Err(format!("{} wants {topic} again", event.actor));
            }
        }
        Ok(())
    }
}

/// Another one: the broker must not be asked for a topic after credentials were invalidated.
#[derive(Default)]
struct NothingAfterInvalidation(bool);

impl Invariant for NothingAfterInvalidation {
    fn name(&self) -> &'static str {
        "nothing_after_invalidation"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        self.0 |= matches!(event.seen, Seen::Invalidated { .. });
        match &event.seen {
            Seen::Called(call) if self.0 && call.op.topic().is_some() => Err(call.op.to_string()),
            _ => Ok(()),
        }
    }
}

fn with(mut own: Vec<Box<dyn Invariant>>, plan: &Plan) -> Vec<Box<dyn Invariant>> {
    own.extend(invariant::all(plan));
    own
}

#[test]
fn a_planted_defect_is_shrunk_to_the_steps_it_needs() {
    let judges = |plan: &Plan| with(vec![Box::new(NobodySubscribesTwice::default())], plan);
    let plan = plan(1);
    let before = Size::of(&plan).expect("it has a size");
    let (shrunk, stats) = shrunk(&plan, &judges, 2);
    let after = Size::of(&shrunk.plan).expect("it has a size");
    assert!(before.steps > 40 && before.clients == 5, "{before:?}");
    // To connect, and to subscribe twice.
    assert_eq!((after.clients, after.steps), (1, 3), "{:#?}", shrunk.plan);
    assert_eq!((shrunk.plan.feed.topics.len(), shrunk.plan.broker.topics.len()), (1, 0));
    assert_eq!(shrunk.plan.network.latency_ms, [1, 1]);
    assert!(shrunk.complete && stats.size.steps == after.steps);
    let expected = Expectation::Violated("nobody_subscribes_twice".into());
    assert_eq!(shrunk.plan.expect, expected);
    assert!(expected.met_by(&verdict_of(&shrunk.plan, &judges)), "it fails by itself");
}

#[test]
fn incidents_and_steps_that_belong_together_both_stay() {
    let judges = |plan: &Plan| with(vec![Box::new(NothingAfterInvalidation::default())], plan);
    let (shrunk, _) = shrunk(&plan(2), &judges, 2);
    let size = Size::of(&shrunk.plan).expect("it has a size");
    assert!(size.steps <= 8 && size.clients == 1, "{:#?}", shrunk.plan);
    assert_eq!(shrunk.plan.feed.invalidations.len(), 1);
}

#[test]
fn the_result_does_not_depend_on_how_many_run_at_once() {
    let judges = |plan: &Plan| with(vec![Box::new(NobodySubscribesTwice::default())], plan);
    let tree = |jobs| Node::of(&shrunk(&plan(3), &judges, jobs).0.plan);
    assert_eq!(tree(1), tree(3));
}

#[test]
fn a_crash_stays_the_same_crash() {
    struct Panics;
    impl Invariant for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }

        fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
            assert!(!matches!(event.seen, Seen::Leaves { politely: false }), "on purpose");
            Ok(())
        }
    }
    let judges = |plan: &Plan| with(vec![Box::new(Panics)], plan);
    let (shrunk, _) = shrunk(&plan(4), &judges, 2);
    assert!(matches!(&shrunk.verdict, Verdict::Crashed(crash) if crash.message == "on purpose"));
    assert_eq!(shrunk.plan.expect, Expectation::Crashed);
    assert!(Size::of(&shrunk.plan).expect("it has a size").steps <= 2);
}

#[test]
fn what_passes_is_not_shrunk_and_time_is_bounded() {
    let calm = |_: &Plan| Vec::new();
    let problem = shrink(&plan(1), &calm, 1, &mut |_| true).expect_err("it passes");
    assert!(problem.contains("it passes"), "{problem}");
    let judges = |plan: &Plan| with(vec![Box::new(NobodySubscribesTwice::default())], plan);
    let mut left = 3;
    let shrunk = shrink(&plan(1), &judges, 1, &mut |_| {
        left -= 1;
        left > 0
    });
    let shrunk = shrunk.expect("it fails");
    assert!(!shrunk.complete);
    assert!(!shrunk.verdict.passed(), "what there is so far fails in the same way");
}

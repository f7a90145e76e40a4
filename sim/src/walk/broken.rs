//! Each thing that the walk compares can fail: engines that are broken on purpose are noticed.

use tickgate::broker::CommandKind;
use tickgate::engine::{Effect, Event, Hub, HubSnapshot, Note, Orders};
use tickgate::protocol::{Answer, RowOutcome};
use tickgate::topic::{ClientId, Mode};

use super::choices::Seeded;
use super::engine::Engine;
use super::exhaustive::{World, search_with};
use super::{Options, translate, walk_with};
use crate::model::Rules;

/// Breaks the effects of one event.
type Mischief = fn(&mut Vec<Effect>);

/// The hub, and a liar between it and the walk.
#[derive(Clone)]
struct Broken {
    hub: Hub,
    mischief: Mischief,
    /// It lies about deadlines.
    sleeps: bool,
    /// It lies to operators.
    miscounts: bool,
    /// It has never heard of this kind of event.
    deaf: fn(&Event) -> bool,
}

impl Broken {
    fn new(rules: &Rules, mischief: Mischief) -> Self {
        let hub = Hub::new(translate::options(rules, 1));
        Self { hub, mischief, sleeps: false, miscounts: false, deaf: |_| false }
    }
}

impl Engine for Broken {
    fn handle(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>) {
        if (self.deaf)(&event) {
            return;
        }
        self.hub.handle(now_ms, event, effects);
        (self.mischief)(effects);
    }

    fn check(&self) {
        self.hub.check();
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        self.hub.next_deadline_ms().map(|at_ms| at_ms + u64::from(self.sleeps))
    }

    fn is_idle(&self) -> bool {
        self.hub.is_idle()
    }

    fn snapshot(&self, now_ms: u64) -> HubSnapshot {
        let mut snapshot = self.hub.snapshot(now_ms, usize::MAX);
        if self.miscounts
            && let Some(topic) = snapshot.topics.first_mut()
        {
            topic.count += 1;
        }
        snapshot
    }
}

/// What the walk says of this engine: the first complaint within some seeds.
fn complaint(engine: impl Fn(&Rules) -> Broken) -> String {
    let found =
        (0..50).find_map(|seed| walk_with(Seeded::new(seed), Options::default(), &engine).err());
    found.expect("the walk notices it").reason
}

fn complaint_about(mischief: Mischief) -> String {
    complaint(|rules| Broken::new(rules, mischief))
}

/// Removes the first effect of a kind.
fn drop_first(effects: &mut Vec<Effect>, is_it: fn(&Effect) -> bool) {
    if let Some(at) = effects.iter().position(is_it) {
        effects.remove(at);
    }
}

#[test]
fn the_engine_as_it_is_gives_no_reason_to_complain() {
    for seed in 0..50 {
        let engine = |rules: &Rules| Broken::new(rules, |_| {});
        walk_with(Seeded::new(seed), Options::default(), engine).expect("no difference");
    }
}

#[test]
fn a_broker_command_that_is_dropped_is_missed() {
    let said = complaint_about(|effects| {
        drop_first(effects, |effect| matches!(effect, Effect::Command { .. }));
    });
    assert!(said.contains("is missing"), "{said}");
}

#[test]
fn a_broker_command_said_twice_is_noticed() {
    let said = complaint_about(|effects| {
        let again = effects.iter().find_map(|effect| match effect {
            Effect::Command { broker, command } => {
                let (broker, mut command) = (broker.clone(), command.clone());
                command.id.0 += 1_000_000;
                command.session.0 += 1_000_000;
                Some(Effect::Command { broker, command })
            }
            _ => None,
        });
        effects.extend(again);
    });
    assert!(said.contains("nothing explains"), "{said}");
    let said = complaint_about(|effects| {
        let is_command = |effect: &&Effect| matches!(effect, Effect::Command { .. });
        effects.extend(effects.iter().find(is_command).cloned());
    });
    assert!(said.contains("is not a new number"), "{said}");
}

#[test]
fn a_command_in_another_session_or_for_another_depth_is_noticed() {
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Command { command, .. } = effect {
                command.session.0 = 1;
            }
        }
    });
    assert!(said.contains("session"), "{said}");
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Command { command, .. } = effect
                && let CommandKind::Subscribe { depth, .. } = &mut command.kind
            {
                *depth += 1;
            }
        }
    });
    assert!(said.contains("levels"), "{said}");
}

#[test]
fn an_answer_that_is_dropped_is_missed() {
    let said = complaint_about(|effects| {
        let is_answer = |effect: &Effect| matches!(effect, Effect::Deliver { answer: Some(_), .. });
        drop_first(effects, is_answer);
    });
    assert!(said.contains("is not told"), "{said}");
}

#[test]
fn an_answer_said_twice_is_noticed() {
    let said = complaint_about(|effects| {
        let is_answer = |effect: &&Effect| {
            matches!(effect, Effect::Deliver { answer: Some((Answer::SubscribedOrders, _)), .. })
        };
        effects.extend(effects.iter().find(is_answer).cloned());
    });
    assert!(said.contains("told something unexpected"), "{said}");
}

#[test]
fn answers_that_are_swapped_are_noticed() {
    let said = complaint_about(|effects| {
        let is_answer =
            |at: &usize| matches!(&effects[*at], Effect::Deliver { answer: Some(_), .. });
        let answers: Vec<usize> = (0..effects.len()).filter(is_answer).collect();
        if let [first, second, ..] = answers[..] {
            let (left, right) = effects.split_at_mut(second);
            if let (Effect::Deliver { answer: one, .. }, Effect::Deliver { answer: other, .. }) =
                (&mut left[first], &mut right[0])
            {
                std::mem::swap(one, other);
            }
        }
    });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn an_answer_without_its_request_id_is_noticed() {
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Deliver { answer: Some((_, id)), .. } = effect {
                *id = None;
            }
        }
    });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn a_row_that_claims_success_is_noticed() {
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Deliver { answer: Some((Answer::Subscribed { rows, .. }, _)), .. } =
                effect
            {
                for row in rows {
                    if matches!(row.outcome, RowOutcome::Failed(_)) {
                        let mode = Mode::Ltp;
                        row.outcome = RowOutcome::Success { mode, depth: 5, interval_ms: 0 };
                    }
                }
            }
        }
    });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn a_pace_that_is_forgotten_or_somebody_elses_is_noticed() {
    let routed: [Mischief; 2] = [
        |effects| {
            for effect in effects {
                if let Effect::Deliver { change, .. } = effect {
                    change.paces.clear();
                }
            }
        },
        |effects| {
            for effect in effects {
                if let Effect::Deliver { change, .. } = effect {
                    change.paces.values_mut().for_each(|pace_ms| *pace_ms += 1);
                }
            }
        },
    ];
    for mischief in routed {
        let said = complaint_about(mischief);
        assert!(said.contains("has the paces"), "{said}");
    }
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Deliver { answer: Some((Answer::Subscribed { rows, .. }, _)), .. } =
                effect
            {
                for row in rows {
                    if let RowOutcome::Success { interval_ms, .. } = &mut row.outcome {
                        *interval_ms = 0;
                    }
                }
            }
        }
    });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn a_route_that_is_not_given_or_not_taken_away_is_noticed() {
    for mischief in [
        (|effects: &mut Vec<Effect>| {
            for effect in effects {
                if let Effect::Deliver { change, .. } = effect {
                    change.add.clear();
                }
            }
        }) as Mischief,
        |effects| {
            for effect in effects {
                if let Effect::Deliver { change, .. } = effect {
                    change.remove.clear();
                }
            }
        },
    ] {
        let said = complaint_about(mischief);
        assert!(said.contains("is routed"), "{said}");
    }
}

#[test]
fn order_updates_that_are_not_taken_away_are_noticed() {
    let said = complaint_about(|effects| {
        for effect in effects {
            if let Effect::Deliver { change, .. } = effect
                && change.orders == Orders::Stop
            {
                change.orders = Orders::Keep;
            }
        }
    });
    assert!(said.contains("is routed"), "{said}");
}

#[test]
fn an_answer_that_overtakes_the_feeds_interest_is_noticed() {
    let mischief: Mischief = |effects| {
        effects.sort_by_key(|effect| matches!(effect, Effect::Interest { .. }));
    };
    // Of a route that is new before it is told of, and of one that the feed has forgotten.
    for words in ["unknown route", "of which the feed does not know"] {
        let said = (0..50).find_map(|seed| {
            let engine = |rules: &Rules| Broken::new(rules, mischief);
            let failure = walk_with(Seeded::new(seed), Options::default(), engine).err()?;
            failure.reason.contains(words).then_some(failure.reason)
        });
        assert!(said.is_some(), "no walk says: {words}");
    }
}

#[test]
fn interest_that_is_forgotten_or_told_too_early_is_noticed() {
    let said = complaint_about(|effects| {
        drop_first(effects, |effect| matches!(effect, Effect::Interest { wanted: false, .. }));
    });
    assert!(said.contains("interest is"), "{said}");
    let said = complaint_about(|effects| {
        effects.sort_by_key(|effect| !matches!(effect, Effect::Interest { .. }));
    });
    assert!(said.contains("forgets"), "{said}");
}

#[test]
fn closes_and_detaches_that_are_dropped_are_missed() {
    let said = complaint_about(|effects| {
        drop_first(effects, |effect| matches!(effect, Effect::Close { .. }));
    });
    assert!(said.contains("is not closed"), "{said}");
    let said = complaint_about(|effects| {
        drop_first(effects, |effect| matches!(effect, Effect::Detach { .. }));
    });
    assert!(said.contains("is not forgotten"), "{said}");
}

#[test]
fn success_that_is_logged_before_the_broker_agrees_is_noticed() {
    let said = complaint_about(|effects| {
        let early = effects.iter().find_map(|effect| match effect {
            Effect::Command { command, .. } => match &command.kind {
                CommandKind::Subscribe { topic, .. } => {
                    let client = ClientId(1);
                    Some(Effect::Note(Note::Subscribed { client, topic: topic.clone() }))
                }
                _ => None,
            },
            _ => None,
        });
        effects.extend(early);
    });
    assert!(said.contains("the log says"), "{said}");
}

#[test]
fn a_deadline_that_comes_late_is_noticed() {
    let said = complaint(|rules| Broken { sleeps: true, ..Broken::new(rules, |_| {}) });
    assert!(said.contains("is due at"), "{said}");
}

#[test]
fn a_reference_count_that_is_wrong_is_noticed() {
    let said = complaint(|rules| Broken { miscounts: true, ..Broken::new(rules, |_| {}) });
    assert!(said.contains("an operator sees"), "{said}");
}

#[test]
fn an_engine_that_ignores_an_event_is_noticed() {
    let deaf: [fn(&Event) -> bool; 4] = [
        |event| matches!(event, Event::Closed { .. }),
        |event| matches!(event, Event::Invalidate { .. }),
        |event| matches!(event, Event::Drain),
        |event| matches!(event, Event::Timer),
    ];
    for deaf in deaf {
        complaint(|rules| Broken { deaf, ..Broken::new(rules, |_| {}) });
    }
}

#[test]
fn a_panic_of_the_engine_is_a_failure_with_its_message() {
    let said = complaint_about(|effects| assert!(effects.len() < 3, "three effects at once"));
    assert!(said.contains("three effects at once"), "{said}");
}

#[test]
fn the_exhaustive_search_notices_what_the_walk_notices() {
    let rules = super::exhaustive::RULES;
    let broken = Broken::new(&rules, |effects| {
        let is_off = |effect: &Effect| match effect {
            Effect::Command { command, .. } => {
                matches!(command.kind, CommandKind::Unsubscribe { .. })
            }
            _ => false,
        };
        drop_first(effects, is_off);
    });
    let failure = search_with(World::OneTopic, 4, broken).expect_err("it is noticed");
    assert!(failure.reason.contains("unsubscribe TCS/LTP for alice is missing"), "{failure}");
    // Six steps set the world up; then a subscribe that is not answered in time is to be undone.
    assert_eq!(failure.trail.len(), 8, "the shortest order is found first: {failure}");
    let honest = Broken::new(&rules, |_| {});
    assert!(search_with(World::OneUser, 4, honest).is_ok());
}

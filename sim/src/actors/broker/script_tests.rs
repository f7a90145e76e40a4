use super::*;
use crate::broker_host::BrokerHost;
use crate::plan::TopicPlan;

fn script(manner: Manner) -> Script {
    let topic = "NSE:A/LTP".parse().expect("a topic");
    let rule = TopicPlan { topic, subscribe: manner, unsubscribe: Manner::Normal, times: None };
    let plan = BrokerPlan {
        host: BrokerHost::ONLY,
        answer_ms: [1, 10],
        connect_ms: [1, 10],
        topics: vec![rule],
        sessions: Vec::new(),
        incidents: Vec::new(),
    };
    let mut script = Script::new(plan, 1, 5);
    script.receive(&call(1, Op::Connect), 1_000, 0);
    drain(&mut script, 20_000);
    script
}

fn call(id: u64, op: Op) -> Call {
    Call { id, user: "alice".into(), connection: 0, session: 1, op, more: false }
}

fn on(id: u64) -> Call {
    call(id, Op::Subscribe("NSE:A/LTP".parse().expect("a topic")))
}

fn off(id: u64) -> Call {
    call(id, Op::Unsubscribe("NSE:A/LTP".parse().expect("a topic")))
}

/// All deeds until a moment, those with an effect carried out.
fn drain(script: &mut Script, until_us: u64) -> Vec<Deed> {
    let mut deeds = Vec::new();
    while let Some(deed) = script.next_deed(until_us) {
        if let Deed::Effect(call) = &deed {
            script.take_effect(call);
        }
        deeds.push(deed);
    }
    deeds
}

#[test]
fn a_normal_command_takes_effect_and_is_answered_in_time() {
    let mut script = script(Manner::Normal);
    script.receive(&on(2), 1_000, 20_000);
    let deeds = drain(&mut script, 40_000);
    assert_eq!(deeds, [Deed::Effect(on(2)), Deed::Reply { call: on(2), in_time: true }]);
    assert_eq!(script.outcome(&on(2)), None);
    assert_eq!(script.topics().len(), 1);
}

#[test]
fn commands_of_one_topic_take_effect_in_order_even_if_the_first_is_slow() {
    let mut script = script(Manner::Slow([300, 300]));
    script.receive(&on(2), 1_000, 20_000);
    script.receive(&off(3), 1_000, 21_000);
    assert_eq!(drain(&mut script, 319_000), []);
    let deeds = drain(&mut script, 400_000);
    assert_eq!(deeds[0], Deed::Effect(on(2)));
    assert_eq!(deeds[2], Deed::Effect(off(3)));
    assert!(script.topics().is_empty());
}

#[test]
fn a_disconnect_waits_for_what_came_before_and_ends_it() {
    let mut script = script(Manner::Slow([300, 300]));
    script.receive(&on(2), 1_000, 20_000);
    script.receive(&call(3, Op::Disconnect), 1_000, 21_000);
    assert_eq!(drain(&mut script, 319_000), []);
    assert_eq!(drain(&mut script, 400_000)[2], Deed::Effect(call(3, Op::Disconnect)));
    script.receive(&off(4), 1_000, 400_000);
    drain(&mut script, 500_000);
    assert_eq!(script.outcome(&off(4)), Some("NOT_CONNECTED"));
}

#[test]
fn each_manner_is_as_it_says() {
    let deeds_of = |manner| {
        let mut script = script(manner);
        script.receive(&on(2), 100, 20_000);
        (drain(&mut script, 10_000_000), script.topics().len())
    };
    let refused = vec![Deed::Refuse { call: on(2), code: "REFUSED", in_time: true }];
    assert_eq!(deeds_of(Manner::Refuse), (refused.clone(), 0));
    assert_eq!(deeds_of(Manner::Flaky(1.0)), (refused, 0));
    assert_eq!(deeds_of(Manner::Flaky(0.0)).1, 1);
    assert_eq!(deeds_of(Manner::Ignore), (Vec::new(), 0));
    assert_eq!(deeds_of(Manner::Mute), (vec![Deed::Effect(on(2))], 1));
    let late = deeds_of(Manner::Late).0;
    assert_eq!(late[1], Deed::Reply { call: on(2), in_time: false });
    assert_eq!(deeds_of(Manner::Twice).0.len(), 3);
    let lie = deeds_of(Manner::Lie);
    let told = Deed::Reply { call: on(2), in_time: true };
    assert_eq!(lie, (vec![Deed::Lie(on(2)), told], 0));
    assert_eq!(deeds_of(Manner::Forget(50)).0[2], Deed::Forget(on(2)));
    assert_eq!(deeds_of(Manner::Die(7)).0, [Deed::Die(7)]);
}

#[test]
fn a_healed_broker_treats_everything_normally() {
    let mut script = script(Manner::Ignore);
    assert!(script.heal().is_empty());
    script.receive(&on(2), 1_000, 20_000);
    assert_eq!(drain(&mut script, 40_000).len(), 2);
}

#[test]
fn a_rule_with_a_number_of_times_ends_after_them() {
    let mut script = script(Manner::Ignore);
    script.plan.topics[0].times = Some(1);
    script.receive(&on(2), 1_000, 20_000);
    script.receive(&on(3), 1_000, 20_000);
    let deeds = drain(&mut script, 60_000);
    assert_eq!(deeds[0], Deed::Effect(on(3)));
}

#[test]
fn what_is_forgotten_is_off_and_who_was_deceived_is_known() {
    let mut script = script(Manner::Forget(50));
    script.receive(&on(2), 1_000, 20_000);
    drain(&mut script, 60_000);
    assert_eq!(script.topics().len(), 1);
    assert!(script.lose(&on(2)) && script.topics().is_empty());
    assert!(!script.lose(&on(2)), "it is off already");
    assert!(script.heal().contains(&"alice".into()));
}

#[test]
fn a_session_that_is_forgotten_is_known_to_nobody_until_it_is_told_or_opened_again() {
    let mut script = script(Manner::Normal);
    let opened = call(1, Op::Connect);
    assert!(script.lose(&opened), "the script begins with it");
    assert!(!script.lose(&opened), "it is gone already");
    script.take_effect(&on(2));
    assert_eq!(script.outcome(&on(2)), Some("NOT_CONNECTED"));
    assert_eq!(script.lose_session(&"alice".into()), Some(1), "now it is told");
    assert_eq!(script.lose_session(&"alice".into()), None);

    let again = Call { session: 2, ..call(3, Op::Connect) };
    script.take_effect(&again);
    assert!(!script.lose(&opened), "there is a newer one");
    assert!(script.lose(&again));
    script.take_effect(&Call { session: 3, ..call(4, Op::Connect) });
    assert_eq!(script.lose_session(&"alice".into()), Some(3), "what it has forgotten is over");
}

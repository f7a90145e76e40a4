//! Hand-made histories.

use super::super::testing::{Story, client, plan};
use super::*;

fn story() -> Story<KeysDecide> {
    Story::of(KeysDecide::new(&plan()))
}

fn change(story: &mut Story<KeysDecide>, role: Option<Role>) {
    let change = KeyChange { user: "alice".into(), role };
    story.good(&Actor::Gateway, Seen::KeyChanges(change.clone()));
    story.good(&Actor::Gateway, Seen::KeyChanged(change));
}

fn refused(code: &str) -> Reply {
    Reply::Refused { code: code.into(), message: String::new() }
}

fn closed(code: u16) -> Seen {
    Seen::Lost { code: Some(code), reason: "credential revoked".into() }
}

#[test]
fn a_key_that_is_gone_lets_nobody_in() {
    let mut story = story();
    story.connect("alice-1");
    change(&mut story, None);
    let late = story.send("alice-1", Request::Authenticate(Some("alice".into())));
    assert!(story.answer("alice-1", late, Reply::Authenticated("alice".into())).is_err());
}

#[test]
fn whoever_comes_in_long_after_its_key_was_changed_has_what_the_new_one_gives() {
    // The role, how long the answer takes, and whether it may be, and an order thereafter.
    for (role, after_ms, comes_in, orders) in [
        (None, 0, true, true),
        (None, 300, false, false),
        (Some(Role::Viewer), 300, true, false),
        (Some(Role::Viewer), 0, true, true),
    ] {
        let mut story = story();
        story.connect("alice-1");
        let id = story.send("alice-1", Request::Authenticate(Some("alice".into())));
        change(&mut story, role);
        story.later(after_ms, &Actor::Network, Seen::Finished).expect("nothing");
        let answered = story.answer("alice-1", id, Reply::Authenticated("alice".into()));
        assert_eq!(answered.is_ok(), comes_in, "{role:?}");
        let id = story.send("alice-1", Request::SubscribeOrders);
        let answered = story.answer("alice-1", id, Reply::OrdersOn);
        assert_eq!(answered.is_ok(), orders || !comes_in, "{role:?} after {after_ms} ms");
    }
}

#[test]
fn the_audit_log_lets_nobody_in_by_a_key_of_before() {
    let audited = |story: &mut Story<KeysDecide>, user: &str| {
        let (user, role) = (Some(user.into()), Some(Role::default()));
        let record = Record { user, role, ..What::Authenticated {}.record() };
        story.see(&Actor::Gateway, Seen::Audited(Box::new(record)))
    };
    for role in [None, Some(Role::Viewer)] {
        let mut story = story();
        assert_eq!(audited(&mut story, "alice"), Ok(()));
        change(&mut story, role);
        assert_eq!(audited(&mut story, "alice"), Ok(()), "it was just before");
        story.later(300, &Actor::Network, Seen::Finished).expect("nothing");
        assert_eq!(audited(&mut story, "bob"), Ok(()));
        assert!(audited(&mut story, "alice").is_err());
    }
}

#[test]
fn a_key_that_holds_lets_its_user_in() {
    let wrong = "AUTHENTICATION_ERROR";
    let mut story = story();
    story.connect("alice-1");
    let id = story.send("alice-1", Request::Authenticate(Some("alice".into())));
    assert!(story.answer("alice-1", id, refused(wrong)).is_err());
    let mut other = self::story();
    other.connect("alice-1");
    let id = other.send("alice-1", Request::Authenticate(Some("alice".into())));
    change(&mut other, None);
    assert_eq!(other.answer("alice-1", id, refused(wrong)), Ok(()));
    assert!(other.later(9, &client("bob-1"), Seen::TurnedAway { status: 401 }).is_err());
    assert_eq!(other.later(9, &client("alice-2"), Seen::TurnedAway { status: 401 }), Ok(()));
}

#[test]
fn who_came_in_by_a_key_that_is_gone_is_served_no_longer() {
    for role in [None, Some(Role::Viewer)] {
        let mut story = story();
        story.join("alice-1");
        story.join("bob-1");
        change(&mut story, role);
        assert_eq!(story.tick("alice-1", "NSE:A/LTP", 1), Ok(()), "it was under way");
        story.later(300, &Actor::Network, Seen::Finished).expect("nothing");
        assert_eq!(story.tick("bob-1", "NSE:A/LTP", 1), Ok(()));
        assert!(story.tick("alice-1", "NSE:A/LTP", 2).is_err());
    }
}

#[test]
fn who_stays_without_a_word_is_noticed_when_all_is_at_rest() {
    let mut story = story();
    story.join("alice-1");
    change(&mut story, None);
    let rest = Seen::Phase(Phase::Rest);
    assert!(story.later(300, &Actor::Operator, rest).is_err());
}

#[test]
fn nobody_is_closed_whose_key_holds() {
    let mut story = story();
    story.join("alice-1");
    story.join("bob-1");
    change(&mut story, None);
    assert!(story.see(&client("bob-1"), closed(REVOKED)).is_err());
    assert_eq!(story.see(&client("alice-1"), closed(REVOKED)), Ok(()));
}

#[test]
fn roles_give_what_they_give_and_no_more() {
    for (role, reply, is_good) in [
        (Role::Viewer, Reply::OrdersOn, false),
        (Role::Viewer, refused("FORBIDDEN"), true),
        (Role::Admin, refused("FORBIDDEN"), false),
        (Role::Admin, Reply::OrdersOn, true),
    ] {
        let mut story = story();
        change(&mut story, Some(role));
        story.join("alice-1");
        let id = story.send("alice-1", Request::SubscribeOrders);
        assert_eq!(story.answer("alice-1", id, reply).is_ok(), is_good, "{role}");
    }
}

#[test]
fn a_change_that_changes_nothing_sends_nobody_away() {
    let mut story = story();
    story.join("alice-1");
    change(&mut story, Some(Role::default()));
    story.later(300, &Actor::Network, Seen::Finished).expect("nothing");
    assert_eq!(story.tick("alice-1", "NSE:A/LTP", 2), Ok(()));
}

//! What each role may do, what a revoked credential ends, and when.

use tickgate::config::Config;
use tickgate::engine::{CredentialUse, Event, Identity, Request};
use tickgate::topic::{ClientId, CredentialTag, Role};

use crate::hub_support::{Story, identity, subscribe};

fn by(tag: u64, generation: u64) -> Identity {
    let tag = CredentialTag::new(tag);
    let credential = CredentialUse { tag, generation, expires_in_ms: None };
    identity(Role::Trader, Some(credential))
}

/// Every cell of role and action. `unsubscribe` and what tells nothing of anybody are for all.
#[test]
fn each_role_may_do_exactly_what_the_table_says() {
    let requests = || {
        [
            ("ticks", subscribe(1)),
            ("orders", Request::SubscribeOrders),
            ("no orders", Request::UnsubscribeOrders),
            ("unsubscribe all", Request::UnsubscribeAll),
            ("broker", Request::BrokerInfo),
            ("brokers", Request::SupportedBrokers),
        ]
    };
    for (role, forbidden) in [
        (Role::Anonymous, &["orders"][..]),
        (Role::Viewer, &["orders"]),
        (Role::Trader, &[]),
        (Role::Analyst, &["orders"]),
        (Role::Admin, &[]),
        (Role::SuperAdmin, &[]),
    ] {
        let mut story = Story::new(|_| {});
        assert_eq!(story.enter(1, identity(role, None)), "success", "{role}");
        for (name, request) in requests() {
            let expected = if forbidden.contains(&name) { "FORBIDDEN" } else { "success" };
            assert_eq!(story.ask(1, request), expected, "{role}: {name}");
        }
    }
}

#[test]
fn the_configuration_can_take_every_action_from_a_role() {
    let mut story = Story::new(|config| config.roles.trader_allow = Vec::new());
    story.enter(1, identity(Role::Trader, None));
    assert_eq!(story.ask(1, subscribe(1)), "FORBIDDEN");
    assert_eq!(story.ask(1, Request::SubscribeOrders), "FORBIDDEN");
}

#[test]
fn a_role_has_its_own_limit_of_topics_within_that_of_everybody() {
    for (role, client_max, held) in [
        (Role::Anonymous, 1_000, 3),
        (Role::Viewer, 1_000, 10),
        (Role::Viewer, 4, 4),
        (Role::Trader, 20, 20),
        (Role::Admin, 20, 20),
    ] {
        let limit = |config: &mut Config| config.limits.subscriptions_per_client_max = client_max;
        let mut story = Story::new(limit);
        story.enter(1, identity(role, None));
        for symbol in 0..held {
            assert_eq!(story.ask(1, subscribe(symbol)), "success", "{role} #{symbol}");
        }
        assert_eq!(story.ask(1, subscribe(held)), "LIMIT_EXCEEDED", "{role}");
    }
}

#[test]
fn whoever_comes_back_with_another_role_starts_anew() {
    let mut story = Story::new(|_| {});
    story.enter(1, identity(Role::Trader, None));
    for symbol in 0..20 {
        story.ask(1, subscribe(symbol));
    }
    story.ask(1, Request::SubscribeOrders);
    story.ask(1, Request::Authenticate(Ok(identity(Role::Viewer, None))));
    assert_eq!(story.hub.snapshot(0, 100).topics.len(), 0, "nothing is left of the trader's");
    assert_eq!(story.ask(1, Request::SubscribeOrders), "FORBIDDEN");
}

#[test]
fn a_revoked_credential_closes_whoever_came_in_by_it_and_nobody_else() {
    let mut story = Story::new(|_| {});
    story.enter(1, by(7, 0));
    story.enter(2, by(8, 0));
    let issued = CredentialTag::new(7).issuing(99);
    let credential = CredentialUse { tag: issued, generation: 0, expires_in_ms: None };
    story.enter(3, identity(Role::Trader, Some(credential)));
    story.open(4);
    story.tell(Event::Revoke { generation: 1, tags: vec![CredentialTag::new(7)] });
    assert_eq!(story.closes, [(ClientId(1), 4403), (ClientId(3), 4403)]);
}

#[test]
fn a_credential_that_is_revoked_on_the_way_in_lets_nobody_in() {
    let mut story = Story::new(|_| {});
    story.tell(Event::Revoke { generation: 1, tags: vec![CredentialTag::new(7)] });
    assert_eq!(story.enter(1, by(7, 0)), "AUTHENTICATION_ERROR", "it was found before");
    assert_eq!(story.enter(2, by(8, 0)), "success", "it is another one");
    assert_eq!(story.enter(3, by(7, 1)), "success", "it was found good since: it is there again");
}

#[test]
fn whoever_was_on_the_way_for_longer_than_anybody_remembers_has_to_try_again() {
    let mut story = Story::new(|_| {});
    for generation in 1..=16 {
        story.tell(Event::Revoke { generation, tags: Vec::new() });
    }
    assert_eq!(story.enter(1, by(7, 0)), "success", "all that came since is remembered");
    story.tell(Event::Revoke { generation: 17, tags: Vec::new() });
    assert_eq!(story.enter(2, by(7, 0)), "SERVER_ERROR", "the first is forgotten");
    assert_eq!(story.enter(3, by(7, 1)), "success");
}

#[test]
fn a_credential_that_expires_ends_its_connection_unless_it_is_renewed() {
    let expiring = |ms| {
        let tag = CredentialTag::new(7);
        let credential = CredentialUse { tag, generation: 0, expires_in_ms: Some(ms) };
        identity(Role::Trader, Some(credential))
    };
    let mut story = Story::new(|_| {});
    story.enter(1, expiring(1_000));
    story.enter(2, expiring(1_000));
    story.now_ms = 900;
    assert_eq!(story.ask(2, Request::Authenticate(Ok(expiring(1_000)))), "success");
    story.now_ms = 1_000;
    assert_eq!(story.hub.next_deadline_ms(), Some(1_000));
    story.tell(Event::Timer);
    assert_eq!(story.closes, [(ClientId(1), 4401)]);
    story.tell(Event::Closed { client: ClientId(1) });
    story.tell(Event::Closed { client: ClientId(2) });
    assert_eq!(story.hub.next_deadline_ms(), None, "no timer outlives its client");
}

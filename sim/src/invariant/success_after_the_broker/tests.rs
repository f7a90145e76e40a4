use super::super::testing::{Story, named, plan, subscribed};
use super::*;

fn authenticated() -> Story<SuccessAfterTheBroker> {
    let mut story = Story::of(SuccessAfterTheBroker::new(&plan()));
    story.serve("alice", 1, Op::Connect);
    story.join("alice-1");
    story
}

#[test]
fn success_after_the_broker_agreed_is_good() {
    let mut story = authenticated();
    story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
    story.subscribe("alice-1", "NSE:A/LTP");
}

#[test]
fn success_before_the_broker_agreed_is_noticed() {
    let mut story = authenticated();
    let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
    let call = story.call("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
    story.good(&Actor::BROKER, Seen::Called(call));
    assert!(story.answer("alice-1", id, subscribed("NSE:A/LTP")).is_err());
}

#[test]
fn success_long_after_the_topic_went_off_is_noticed() {
    let mut story = authenticated();
    story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
    story.serve("alice", 1, Op::Unsubscribe(named("NSE:A/LTP")));
    let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
    assert!(story.answer("alice-1", id, subscribed("NSE:A/LTP")).is_err());
}

fn asks_for_its_broker(story: &mut Story<SuccessAfterTheBroker>) -> Result<(), String> {
    let id = story.send("alice-1", Request::BrokerInfo);
    let (broker, session) = ("simbroker".to_owned(), CONNECTED.to_owned());
    story.answer("alice-1", id, Reply::BrokerInfo { broker, session })
}

#[test]
fn being_told_of_a_connection_that_is_long_gone_is_noticed() {
    let mut story = authenticated();
    assert_eq!(asks_for_its_broker(&mut story), Ok(()));
    story.serve("alice", 1, Op::Disconnect);
    assert!(asks_for_its_broker(&mut story).is_err());
}

fn loses_alice(story: &mut Story<SuccessAfterTheBroker>) {
    let lost = Seen::SessionLost { user: "alice".into(), session: 1 };
    story.good(&Actor::BROKER, lost);
}

#[test]
fn success_while_word_of_the_loss_is_on_its_way_is_good() {
    let mut story = authenticated();
    story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
    loses_alice(&mut story);
    let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
    assert_eq!(story.answer("alice-1", id, subscribed("NSE:A/LTP")), Ok(()));
}

#[test]
fn success_after_word_of_the_loss_has_come_is_noticed() {
    let mut story = authenticated();
    story.serve("alice", 1, Op::Subscribe(named("NSE:A/LTP")));
    loses_alice(&mut story);
    story.connect("bob-1");
    story.connect("bob-2");
    story.connect("bob-3");
    let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
    assert!(story.answer("alice-1", id, subscribed("NSE:A/LTP")).is_err());
}

/// Alice's session with A and B is gone without a word.
fn forgets_alice() -> Story<SuccessAfterTheBroker> {
    let mut story = authenticated();
    for topic in ["NSE:A/LTP", "NSE:B/LTP"] {
        story.serve("alice", 1, Op::Subscribe(named(topic)));
    }
    let call = story.call("alice", 1, Op::Connect);
    story.good(&Actor::BROKER, Seen::Forgot(call));
    story
}

/// Long enough for word to arrive.
fn moments_pass(story: &mut Story<SuccessAfterTheBroker>) {
    for client in ["bob-1", "bob-2", "bob-3"] {
        story.connect(client);
    }
}

#[test]
fn a_session_that_is_gone_without_a_word_is_believed_in() {
    let mut story = forgets_alice();
    moments_pass(&mut story);
    assert_eq!(asks_for_its_broker(&mut story), Ok(()));
    story.subscribe("alice-1", "NSE:A/LTP");
}

#[test]
fn a_session_of_which_the_broker_knows_nothing_is_not_believed_in_any_more() {
    let hears = |in_time| {
        let mut story = forgets_alice();
        let call = story.call("alice", 1, Op::Subscribe(named("NSE:C/LTP")));
        let error = Some("NOT_CONNECTED");
        story.good(&Actor::BROKER, Seen::Replied { call, error, in_time });
        moments_pass(&mut story);
        story
    };
    assert!(asks_for_its_broker(&mut hears(true)).is_err());
    assert_eq!(asks_for_its_broker(&mut hears(false)), Ok(()), "nobody waited for it");
    let mut story = hears(true);
    let id = story.send("alice-1", Request::Subscribe(vec![named("NSE:B/LTP")]));
    assert!(story.answer("alice-1", id, subscribed("NSE:B/LTP")).is_err());
}

#[test]
fn being_let_in_without_a_session_is_noticed() {
    let mut story = Story::of(SuccessAfterTheBroker::new(&plan()));
    story.connect("alice-1");
    let id = story.send("alice-1", Request::Authenticate(Some("alice".into())));
    assert!(story.answer("alice-1", id, Reply::Authenticated("alice".into())).is_err());
}

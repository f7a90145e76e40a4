use super::super::testing::{Story, client, named, page, plan, subscribed};
use super::*;
use crate::history::{Reply, Request};
use crate::plan::TimedFault;

const A: &str = "NSE:A/LTP";
const SIMBROKER: &str = "simbroker";

type Judged = Result<(), String>;

/// alice-1 holds A. A silence of more than half a second is too long.
fn story() -> Story<SilentFeedsAreNamed> {
    with(None)
}

fn with(fault: Option<TimedKind>) -> Story<SilentFeedsAreNamed> {
    let mut plan = plan();
    (plan.gateway.stale_min_ms, plan.gateway.stale_after_ms) = (100, 500);
    let timed = fault.map(|what| TimedFault { at_ms: 0, for_ms: 100, what });
    plan.faults.timed.extend(timed);
    let mut story = Story::of(SilentFeedsAreNamed::new(&plan));
    story.join("alice-1");
    story.subscribe("alice-1", A);
    story
}

fn silent(story: &mut Story<SilentFeedsAreNamed>, after_ms: u64, topics: u64) -> Judged {
    let record = What::FeedSilent { broker: SIMBROKER.into(), topics }.record();
    story.later(after_ms, &Actor::Gateway, Seen::Audited(Box::new(record)))
}

fn audible(story: &mut Story<SilentFeedsAreNamed>) -> Judged {
    let record = What::FeedAudible { broker: SIMBROKER.into() }.record();
    story.see(&Actor::Gateway, Seen::Audited(Box::new(record)))
}

fn shown(story: &mut Story<SilentFeedsAreNamed>, after_ms: u64, silent: bool) -> Judged {
    let mut status = page(&[("alice", 1)], &[("alice", A, 1)]);
    status.feed.silent_brokers = silent.then(|| SIMBROKER.into()).into_iter().collect();
    story.later(after_ms, &Actor::Operator, Seen::Status(Box::new(status)))
}

fn told(story: &mut Story<SilentFeedsAreNamed>, status: FeedStatus) {
    story.good(&client("alice-1"), Seen::FeedStatus { status, topics: vec![named(A)] });
}

fn ticks(story: &mut Story<SilentFeedsAreNamed>, seq: u64) {
    story.publish(A, seq);
    assert_eq!(story.tick("alice-1", A, seq), Ok(()));
}

fn says(judged: Judged, words: &str) {
    assert!(judged.as_ref().is_err_and(|said| said.contains(words)), "{judged:?}");
}

#[test]
fn a_silence_is_told_and_shown_and_ends_with_a_tick() {
    let mut story = story();
    ticks(&mut story, 1);
    assert_eq!(silent(&mut story, 600, 1), Ok(()));
    told(&mut story, FeedStatus::Stale);
    assert_eq!(shown(&mut story, 5_000, true), Ok(()));
    story.publish(A, 2);
    assert_eq!(audible(&mut story), Ok(()));
    assert_eq!(shown(&mut story, 100, false), Ok(()));
}

#[test]
fn a_silence_in_which_a_tick_was_read_is_noticed() {
    let mut story = story();
    ticks(&mut story, 1);
    story.publish(A, 2);
    assert_eq!(silent(&mut story, 480, 1), Ok(()), "nobody has read the second one");
    ticks(&mut story, 3);
    says(silent(&mut story, 300, 10), "published 310 ms before, and read");
    says(shown(&mut story, 100, true), "names the feed of simbroker silent");
    assert_eq!(shown(&mut story, 300, true), Ok(()));
}

#[test]
fn a_silence_from_the_beginning_or_of_nothing_is_noticed() {
    says(silent(&mut story(), 300, 1), "from the beginning");
    says(silent(&mut story(), 600, 0), "nothing of it is");
}

#[test]
fn what_is_told_twice_is_noticed_unless_it_has_grown() {
    let mut story = story();
    assert_eq!(silent(&mut story, 600, 2), Ok(()));
    says(silent(&mut story, 600, 19), "19 topics, 2 before");
    assert_eq!(silent(&mut story, 600, 190), Ok(()));
}

#[test]
fn a_gateway_that_was_started_again_tells_it_again() {
    let mut story = with(Some(TimedKind::GatewayCrash));
    assert_eq!(silent(&mut story, 600, 2), Ok(()));
    let strike = Strike { fault: FaultKind::GatewayCrash, party: Party::Gateway, lasts_ms: 100 };
    story.good(&Actor::Network, Seen::Struck(strike));
    assert_eq!(silent(&mut story, 600, 2), Ok(()));
}

#[test]
fn an_end_of_nothing_or_without_a_tick_is_noticed() {
    says(audible(&mut story()), "and of no silence");
    let mut calm = story();
    assert_eq!(silent(&mut calm, 600, 1), Ok(()));
    says(audible(&mut calm), "nothing was published");
    let of = Party::Feed;
    let mut slow = with(Some(TimedKind::Hold { of }));
    assert_eq!(silent(&mut slow, 600, 1), Ok(()));
    assert_eq!(audible(&mut slow), Ok(()), "it may have come late");
}

/// A is stale, and nobody says that all is silent.
fn untold() -> Story<SilentFeedsAreNamed> {
    let mut story = story();
    ticks(&mut story, 1);
    told(&mut story, FeedStatus::Stale);
    story
}

#[test]
fn a_silence_that_only_clients_know_of_is_noticed() {
    assert_eq!(shown(&mut untold(), 1_400, false), Ok(()), "there is time yet");
    says(shown(&mut untold(), 2_000, false), "the status page does not say");
    says(shown(&mut untold(), 2_000, true), "the audit log does not say");
    let mut busy = untold();
    story_goes_on(&mut busy, "NSE:B/LTP");
    assert_eq!(shown(&mut busy, 300, false), Ok(()), "others are published");
}

fn story_goes_on(story: &mut Story<SilentFeedsAreNamed>, topic: &str) {
    let published = Seen::Published { topic: named(topic), seq: 1, wanted: true };
    assert_eq!(story.later(2_000, &Actor::Feed, published), Ok(()));
}

#[test]
fn nobody_speaks_for_what_it_does_not_hold_or_know() {
    let mut gone = untold();
    gone.unsubscribe("alice-1", A);
    assert_eq!(shown(&mut gone, 2_000, false), Ok(()));
    let mut back = untold();
    told(&mut back, FeedStatus::Recovering);
    assert_eq!(shown(&mut back, 2_000, false), Ok(()));
    let mut left = untold();
    left.good(&client("alice-1"), Seen::Leaves { politely: true });
    assert_eq!(shown(&mut left, 2_000, false), Ok(()));
    let mut waits = untold();
    let id = waits.send("alice-1", Request::Subscribe(vec![named("NSE:B/LTP")]));
    assert_eq!(shown(&mut waits, 2_000, false), Ok(()));
    assert_eq!(waits.answer("alice-1", id, subscribed("NSE:B/LTP")), Ok(()));
    assert!(shown(&mut waits, 0, false).is_err());
    let mut slow = untold();
    let party = Party::Client("alice-1".into());
    let strike = Strike { fault: FaultKind::StoppedReader, party, lasts_ms: 100 };
    slow.good(&client("alice-1"), Seen::Struck(strike));
    assert_eq!(shown(&mut slow, 2_000, false), Ok(()));
    let mut other = untold();
    let reply = Reply::Authenticated("bob".into());
    let id = other.send("alice-1", Request::Authenticate(Some("bob".into())));
    assert_eq!(other.answer("alice-1", id, reply), Ok(()));
    assert_eq!(shown(&mut other, 2_000, false), Ok(()));
}

use super::super::testing::{Story, client, named, plan};
use super::*;
use crate::fault::{FaultKind, Strike};
use crate::history::Phase;
use tickgate::config::MarketEntry;

const A: &str = "NSE:A/LTP";

/// alice-1 holds A. Silence is too long after 500 to 2,000 ms; the market of BSE closes after a
/// minute, that of MCX opens then.
fn story() -> Story<FeedStatusIsTrue> {
    let mut plan = plan();
    (plan.gateway.stale_min_ms, plan.gateway.stale_after_ms) = (500, 2_000);
    plan.gateway.markets.push(MarketEntry {
        exchanges: vec!["BSE".into()],
        utc_offset: "+00:00".into(),
        days: vec!["thu".into()],
        open: "00:00".into(),
        close: "00:01".into(),
        holidays: Vec::new(),
        stale_after_ms: None,
    });
    let opens = MarketEntry {
        exchanges: vec!["MCX".into()],
        open: "00:01".into(),
        close: "24:00".into(),
        ..plan.gateway.markets[0].clone()
    };
    plan.gateway.markets.push(opens);
    let mut story = Story::of(FeedStatusIsTrue::new(&plan));
    story.join("alice-1");
    story.subscribe("alice-1", A);
    story
}

fn told(
    story: &mut Story<FeedStatusIsTrue>,
    after_ms: u64,
    status: FeedStatus,
    topic: &str,
) -> Result<(), String> {
    let topics = vec![named(topic)];
    story.later(after_ms, &client("alice-1"), Seen::FeedStatus { status, topics })
}

#[test]
fn a_silence_and_its_end_are_told() {
    let mut story = story();
    story.publish(A, 1);
    assert_eq!(told(&mut story, 700, FeedStatus::Stale, A), Ok(()));
    story.publish(A, 2);
    assert_eq!(told(&mut story, 5, FeedStatus::Live, A), Ok(()));
    assert_eq!(story.tick("alice-1", A, 2), Ok(()));
}

#[test]
fn a_silence_that_is_none_is_noticed() {
    let mut story = story();
    story.publish(A, 1);
    let problem = told(&mut story, 300, FeedStatus::Stale, A);
    assert!(problem.is_err_and(|problem| problem.contains("published 300 ms before")));
}

#[test]
fn an_end_without_a_tick_or_a_silence_is_noticed() {
    let mut story = story();
    let problem = told(&mut story, 700, FeedStatus::Live, A);
    assert!(problem.is_err_and(|problem| problem.contains("no silence before")));
    assert_eq!(told(&mut story, 700, FeedStatus::Stale, A), Ok(()));
    let problem = told(&mut story, 700, FeedStatus::Live, A);
    assert!(problem.is_err_and(|problem| problem.contains("not been published since")));
}

#[test]
fn a_tick_behind_a_silence_is_noticed_unless_its_connection_is_another() {
    let mut story = story();
    assert_eq!(told(&mut story, 700, FeedStatus::Stale, A), Ok(()));
    story.publish(A, 1);
    let problem = story.tick("alice-1", A, 1);
    assert!(problem.is_err_and(|problem| problem.contains("the last that it was told")));
    story.good(&client("alice-1"), Seen::Leaves { politely: false });
    story.join("alice-1");
    story.subscribe("alice-1", A);
    assert_eq!(story.tick("alice-1", A, 1), Ok(()));
}

#[test]
fn what_is_told_twice_or_of_others_topics_is_noticed() {
    let mut story = story();
    let problem = told(&mut story, 700, FeedStatus::Stale, "NSE:B/LTP");
    assert!(problem.is_err_and(|problem| problem.contains("does not hold")));
    assert_eq!(told(&mut story, 0, FeedStatus::Stale, A), Ok(()));
    let problem = told(&mut story, 0, FeedStatus::Stale, A);
    assert!(problem.is_err_and(|problem| problem.contains("told twice")));
}

#[test]
fn hours_are_held_against_what_is_told() {
    let bse = "BSE:A/LTP";
    for (at_ms, status, is_true) in [
        (30_000, FeedStatus::Stale, true),
        (30_000, FeedStatus::Closed, false),
        (70_000, FeedStatus::Stale, false),
        (70_000, FeedStatus::Closed, true),
    ] {
        let mut story = story();
        story.subscribe("alice-1", bse);
        assert_eq!(told(&mut story, at_ms, status, bse).is_ok(), is_true, "{at_ms} {status:?}");
    }
    let mut early = story();
    early.subscribe("alice-1", "MCX:A/LTP");
    let problem = told(&mut early, 60_100, FeedStatus::Stale, "MCX:A/LTP");
    assert!(problem.is_err_and(|problem| problem.contains("only now")), "it opens at 00:01");
    let problem = told(&mut story(), 700, FeedStatus::Closed, A);
    assert!(problem.is_err_and(|problem| problem.contains("at this hour")), "it trades always");
}

#[test]
fn a_recovery_from_nothing_is_noticed() {
    let mut story = story();
    let problem = told(&mut story, 700, FeedStatus::Recovering, A);
    assert!(problem.is_err_and(|problem| problem.contains("from nothing")));
    story.good(&Actor::BROKER, Seen::SessionLost { user: "alice".into(), session: 1 });
    assert_eq!(told(&mut story, 700, FeedStatus::Recovering, A), Ok(()));
}

/// A was published every three seconds, four times; so it has been silent for too long three times.
fn rare() -> Story<FeedStatusIsTrue> {
    let mut story = story();
    story.publish(A, 1);
    for seq in 2..=4 {
        assert_eq!(told(&mut story, 2_500, FeedStatus::Stale, A), Ok(()), "{seq}");
        let published = Seen::Published { topic: named(A), seq, wanted: true };
        assert_eq!(story.later(500, &Actor::Feed, published), Ok(()));
        assert_eq!(told(&mut story, 5, FeedStatus::Live, A), Ok(()));
    }
    story
}

#[test]
fn what_is_stale_again_and_again_is_noticed() {
    let problem = told(&mut rare(), 2_500, FeedStatus::Stale, A);
    assert!(problem.is_err_and(|problem| problem.contains("as often before")));
    assert_eq!(told(&mut rare(), 3_500, FeedStatus::Stale, A), Ok(()));
}

#[test]
fn a_rare_topic_may_be_silent_for_longer_but_not_for_ever() {
    let phase = || Seen::Phase(Phase::Rest);
    assert_eq!(rare().later(11_000, &Actor::Operator, phase()), Ok(()));
    let problem = rare().later(13_000, &Actor::Operator, phase());
    assert!(problem.is_err_and(|problem| problem.contains("told nothing")));
}

#[test]
fn whoever_is_left_without_a_word_is_noticed_unless_messages_are_slow() {
    let left = |ms, fault: bool| {
        let mut story = story();
        story.publish(A, 1);
        if fault {
            let party = Party::Client("alice-1".into());
            let strike = Strike { fault: FaultKind::RateCap, party, lasts_ms: 0 };
            story.good(&Actor::Network, Seen::Struck(strike));
        }
        story.later(ms, &Actor::Operator, Seen::Phase(Phase::Rest))
    };
    assert_eq!(left(1_990, false), Ok(()));
    assert!(left(3_000, false).is_err_and(|problem| problem.contains("told nothing")));
    assert_eq!(left(3_000, true), Ok(()));
}

#[test]
fn whoever_is_told_late_of_a_topic_with_a_habit_is_noticed() {
    /// It ticks a hundred times a second for so long, of which the last two seconds come after a
    /// session was lost; then it is silent.
    fn silent(ticks_ms: u64, after_session_ms: u64, silent_ms: u64) -> Result<(), String> {
        let mut story = story();
        (0..ticks_ms / 10).for_each(|seq| story.publish(A, seq));
        story.good(&Actor::BROKER, Seen::SessionLost { user: "alice".into(), session: 1 });
        (0..after_session_ms / 10).for_each(|seq| story.publish(A, ticks_ms + seq));
        story.later(silent_ms, &Actor::Operator, Seen::Phase(Phase::Rest))
    }
    assert_eq!(silent(8_000, 2_000, 990), Ok(()));
    let problem = silent(8_000, 2_000, 1_500);
    assert!(problem.is_err_and(|problem| problem.contains("told nothing")));
    assert_eq!(silent(4_000, 2_000, 1_500), Ok(()), "nobody knows whether it has a habit");
    assert_eq!(silent(8_000, 0, 1_500), Ok(()), "it may have its session to blame");
}

#[test]
fn the_session_of_another_user_is_no_excuse() {
    fn silent(user: &str) -> Result<(), String> {
        let mut story = story();
        story.publish(A, 1);
        let lost = Seen::SessionLost { user: user.into(), session: 1 };
        assert_eq!(story.later(1_500, &Actor::BROKER, lost), Ok(()));
        story.later(1_500, &Actor::Operator, Seen::Phase(Phase::Rest))
    }
    assert_eq!(silent("alice"), Ok(()));
    assert!(silent("bob").is_err_and(|problem| problem.contains("told nothing")));

    fn stale_again(user: &str) -> Result<(), String> {
        let mut story = rare();
        story.good(&Actor::BROKER, Seen::SessionLost { user: user.into(), session: 1 });
        told(&mut story, 2_490, FeedStatus::Stale, A)
    }
    assert_eq!(stale_again("alice"), Ok(()));
    assert!(stale_again("bob").is_err_and(|problem| problem.contains("as often before")));
}

use super::*;
use crate::config::MarketEntry;
use crate::topic::{Instrument, Mode};

/// 2026-11-23, a Monday, 10:00 in Mumbai.
const MONDAY_10_MS: u64 = (20_780 * 24 * 60 + 10 * 60 - 330) * 60_000;
const HOUR_MS: u64 = 3_600_000;

/// A feed state and what it told, in words.
pub(super) struct Desk {
    pub state: FeedState,
    pub now_ms: u64,
}

impl Desk {
    pub const BEGAN_MS: u64 = MONDAY_10_MS;

    pub fn new() -> Self {
        let mut config = Config::default();
        config.market.push(MarketEntry {
            exchanges: vec!["NSE".into()],
            utc_offset: "+05:30".into(),
            days: ["mon", "tue", "wed", "thu", "fri"].map(String::from).to_vec(),
            open: "09:15".into(),
            close: "15:30".into(),
            holidays: Vec::new(),
            stale_after_ms: None,
        });
        let mut desk = Self {
            state: FeedState::new(&config, Moment { now_ms: 0, unix_ms: MONDAY_10_MS }),
            now_ms: 0,
        };
        desk.go(1);
        desk
    }

    /// One whose markets never close.
    pub fn without_markets() -> Self {
        let at = Moment { now_ms: 0, unix_ms: MONDAY_10_MS };
        Self { state: FeedState::new(&Config::default(), at), now_ms: 0 }
    }

    /// One whose market MCX never closes and has a longest silence of its own.
    pub fn around_the_clock(stale_after_ms: u64) -> Self {
        let mut config = Config::default();
        config.market.push(MarketEntry {
            exchanges: vec!["MCX".into()],
            utc_offset: "+00:00".into(),
            days: crate::config::DAYS.map(String::from).to_vec(),
            open: "00:00".into(),
            close: "24:00".into(),
            holidays: Vec::new(),
            stale_after_ms: Some(stale_after_ms),
        });
        let at = Moment { now_ms: 0, unix_ms: MONDAY_10_MS };
        Self { state: FeedState::new(&config, at), now_ms: 0 }
    }

    /// Goes on to a moment; deadlines on the way are looked at in time.
    pub fn go(&mut self, to_ms: u64) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(at_ms) = self.state.next_deadline_ms().filter(|at_ms| *at_ms <= to_ms) {
            self.jump(at_ms.max(self.now_ms));
            self.state.fire();
            told.extend(self.told());
        }
        self.jump(to_ms);
        told
    }

    pub fn jump(&mut self, to_ms: u64) {
        self.now_ms = to_ms;
        self.state.set_now(Moment { now_ms: to_ms, unix_ms: MONDAY_10_MS + to_ms });
    }

    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(news) = self.state.pop_news() {
            let entry: serde_json::Value = serde_json::from_slice(&news.entry).unwrap();
            let word = news.status.map_or("nothing", FeedStatus::word);
            let symbol = entry["symbol"].as_str().unwrap();
            told.push(format!("{symbol} {word}: {}", entry["reason"].as_str().unwrap()));
        }
        told
    }

    pub fn want(&mut self, route: u64, topic: &str) -> Vec<String> {
        self.interest(route, topic, 0, true)
    }

    pub fn interest(
        &mut self,
        route: u64,
        topic: &str,
        shard: ShardId,
        wanted: bool,
    ) -> Vec<String> {
        let (exchange, symbol) = topic.split_once(':').unwrap();
        let topic = Topic::new(Instrument::new(exchange, symbol), Mode::Ltp);
        self.state.set_interest(RouteId(route), &topic, &"paper".into(), shard, wanted);
        self.told()
    }

    /// What another shard is told of a topic that is route 1, when somebody there wants it too.
    pub fn told_to_another(&mut self, topic: &str) -> serde_json::Value {
        let (exchange, symbol) = topic.split_once(':').unwrap();
        let topic = Topic::new(Instrument::new(exchange, symbol), Mode::Ltp);
        self.state.set_interest(RouteId(1), &topic, &"paper".into(), 1, true);
        let news = self.state.pop_news().unwrap();
        self.state.set_interest(RouteId(1), &topic, &"paper".into(), 1, false);
        serde_json::from_slice(&news.entry).unwrap()
    }

    pub fn tick(&mut self, route: u64) -> Vec<String> {
        self.state.ticked(RouteId(route), self.now_ms);
        self.told()
    }

    pub fn serve(&mut self, route: u64, up: bool) {
        self.state.set_served(RouteId(route), up);
    }

    /// Ticks so often until then. Says what was told meanwhile.
    pub fn ticks(&mut self, route: u64, every_ms: u64, until_ms: u64) -> Vec<String> {
        let mut told = Vec::new();
        while self.now_ms < until_ms {
            told.extend(self.go(self.now_ms + every_ms));
            told.extend(self.tick(route));
        }
        told
    }

    pub fn counts(&self) -> [u64; 5] {
        let TopicCounts { waiting, live, stale, recovering, closed } = self.state.counts();
        [waiting, live, stale, recovering, closed]
    }
}

pub(super) const NOTHING: [String; 0] = [];

#[test]
fn a_topic_that_never_ticks_is_stale_after_the_longest_silence_allowed() {
    let mut desk = Desk::new();
    assert_eq!(desk.want(1, "NSE:TCS"), NOTHING);
    assert_eq!(desk.go(120_000), NOTHING);
    assert_eq!(desk.go(120_001), ["TCS stale: no tick since subscribe"]);
    assert_eq!(desk.go(HOUR_MS), NOTHING, "it is told once");
    assert_eq!(desk.counts(), [0, 0, 1, 0, 0]);
    assert_eq!(desk.tick(1), ["TCS live: it ticks"]);
}

#[test]
fn each_topic_is_judged_by_its_own_habit() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:FAST");
    desk.want(2, "NSE:SLOW");
    let mut told = Vec::new();
    for minute in 1..=10 {
        told.extend(desk.ticks(1, 100, minute * 60_000));
        told.extend(desk.tick(2));
    }
    assert_eq!(told, NOTHING);
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + 4_999), NOTHING);
    assert_eq!(desk.go(at_ms + 5_000), ["FAST stale: no tick for longer than usual"]);
    assert_eq!(desk.go(at_ms + 60_000), NOTHING, "the slow one is as ever");
    assert_eq!(desk.tick(2), NOTHING);
    assert_eq!(desk.tick(1), ["FAST live: it ticks"]);
    assert_eq!(desk.counts(), [0, 2, 0, 0, 0]);
}

#[test]
fn a_topic_rarer_than_the_longest_silence_is_told_stale_twice_and_then_known() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:RARE");
    desk.tick(1);
    let (minute_ms, hour_ms) = (60_000, HOUR_MS);
    let told = desk.ticks(1, 10 * minute_ms, 10 * hour_ms);
    let (stale, live) = ("RARE stale: no tick for longer than usual", "RARE live: it ticks");
    assert_eq!(told, [stale, live, stale, live]);
    assert_eq!(desk.go(10 * hour_ms + 39 * minute_ms), NOTHING);
    assert_eq!(desk.go(11 * hour_ms), [stale], "four times ten minutes");
    assert_eq!(desk.tick(1), [live]);
    let told = desk.ticks(1, 1_000, 16 * hour_ms);
    assert_eq!(told, NOTHING);
    assert_eq!(desk.go(16 * hour_ms + 6_000), [stale], "it has become another topic");
}

#[test]
fn a_market_may_have_a_longest_silence_of_its_own() {
    let mut desk = Desk::around_the_clock(HOUR_MS);
    desk.want(1, "MCX:COTTON");
    desk.want(2, "NSE:TCS");
    assert_eq!(desk.go(130_000), ["TCS stale: no tick since subscribe"]);
    desk.jump(600_000);
    desk.tick(1);
    assert_eq!(desk.ticks(1, 3_000_000, 10 * HOUR_MS), NOTHING);
    let at_ms = desk.now_ms;
    assert_eq!(desk.go(at_ms + HOUR_MS - 1), NOTHING);
    assert_eq!(desk.go(at_ms + HOUR_MS).len(), 1);
}

#[test]
fn whoever_may_be_silent_for_long_may_be_so_when_it_is_known_to_be_rare() {
    let mut desk = Desk::around_the_clock(2 * HOUR_MS);
    desk.want(1, "MCX:COTTON");
    for _ in 0..3 {
        desk.go(desk.now_ms + 150 * 60_000);
        desk.tick(1);
    }
    assert_eq!(desk.go(desk.now_ms + 100 * 60_000), NOTHING);
}

#[test]
fn an_outage_or_two_do_not_make_a_topic_rare() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 600_000);
    for outage in 1..=5 {
        let at_ms = desk.now_ms;
        assert_eq!(desk.go(at_ms + 130_000).len(), 1, "outage {outage}");
        desk.jump(at_ms + 600_000);
        assert_eq!(desk.tick(1).len(), 1);
        desk.ticks(1, 100, at_ms + 1_200_000);
    }
}

#[test]
fn a_closed_market_is_silent_and_not_stale() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    desk.want(2, "CRYPTO:BTC");
    desk.want(3, "NSE:MUTE");
    let close_ms = 5 * HOUR_MS + HOUR_MS / 2;
    desk.go(close_ms - 60_000);
    desk.told();
    assert_eq!(desk.ticks(1, 100, close_ms - 1_000), ["TCS live: it ticks"]);
    let told = desk.go(close_ms + 60_000);
    assert_eq!(told, ["MUTE closed: the market is closed", "TCS closed: the market is closed"]);
    assert_eq!(desk.want(4, "NSE:LATE"), ["LATE closed: the market is closed"]);
    desk.serve(1, false);
    assert_eq!(desk.go(close_ms + 17 * HOUR_MS), NOTHING, "whatever happens at night");
    assert_eq!(desk.counts(), [0, 0, 1, 0, 3], "the other one trades at night too");
}

#[test]
fn an_opening_is_no_tick() {
    let mut desk = Desk::new();
    let close_ms = 5 * HOUR_MS + HOUR_MS / 2;
    desk.go(close_ms + 1);
    for route in 1..4 {
        desk.want(route, "NSE:TCS");
    }
    desk.serve(3, false);
    let open_ms = 23 * HOUR_MS + HOUR_MS / 4;
    let told = desk.go(open_ms);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|told| told.starts_with("TCS nothing")), "{told:?}");
    assert_eq!(desk.go(open_ms + 1_000), ["TCS recovering: the broker session is lost"]);
    desk.jump(open_ms + 2_000);
    assert_eq!(desk.tick(1), ["TCS live: it ticks"]);
    let told = desk.go(open_ms + 121_000);
    assert_eq!(told, ["TCS stale: no tick since the market is open"]);
}

#[test]
fn what_ticks_outside_hours_is_live_until_it_falls_silent() {
    let mut desk = Desk::new();
    desk.go(6 * HOUR_MS);
    assert_eq!(desk.want(1, "NSE:TCS"), ["TCS closed: the market is closed"]);
    assert_eq!(desk.tick(1), ["TCS live: it ticks"]);
    assert_eq!(desk.go(7 * HOUR_MS), ["TCS closed: the market is closed"]);
}

#[test]
fn a_lost_session_is_told_soon_and_only_a_tick_ends_that() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    desk.ticks(1, 1_000, 60_000);
    let at_ms = desk.now_ms;
    desk.serve(1, false);
    assert_eq!(desk.go(at_ms + 999), NOTHING);
    assert_eq!(desk.go(at_ms + 1_000), ["TCS recovering: the broker session is lost"]);
    desk.jump(at_ms + 30_000);
    desk.serve(1, true);
    assert_eq!(desk.go(at_ms + 149_999), NOTHING, "a session is no tick");
    assert_eq!(desk.counts(), [0, 0, 0, 1, 0]);
    assert_eq!(desk.go(at_ms + 150_000), ["TCS stale: no tick since the session is up"]);
    desk.serve(1, false);
    let told = desk.go(at_ms + 152_000);
    assert_eq!(told, ["TCS recovering: the broker session is lost"]);
    assert_eq!(desk.tick(1), ["TCS live: it ticks"]);
}

#[test]
fn a_session_that_is_rebuilt_at_once_is_not_told() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    desk.ticks(1, 1_000, 60_000);
    let at_ms = desk.now_ms;
    desk.serve(1, false);
    desk.go(at_ms + 900);
    desk.serve(1, true);
    assert_eq!(desk.go(at_ms + 60_000), NOTHING);
}

#[test]
fn ticks_that_come_although_the_session_is_lost_are_ticks() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    desk.ticks(1, 1_000, 60_000);
    desk.serve(1, false);
    let at_ms = desk.now_ms;
    assert_eq!(desk.ticks(1, 500, at_ms + 60_000), NOTHING);
    let at_ms = desk.now_ms;
    let told = desk.go(at_ms + 10_000);
    assert_eq!(told, ["TCS recovering: the broker session is lost"]);
}

#[test]
fn a_shard_that_comes_later_is_told_what_holds() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    assert_eq!(desk.interest(1, "NSE:TCS", 1, true), NOTHING);
    desk.go(130_000);
    let told = desk.interest(1, "NSE:TCS", 2, true);
    assert_eq!(told, ["TCS stale: no tick since subscribe"]);
    assert_eq!(desk.interest(1, "NSE:TCS", 2, true), NOTHING, "it knows");
    for shard in 0..3 {
        desk.interest(1, "NSE:TCS", shard, false);
    }
    assert_eq!((desk.counts(), desk.state.wheel.len()), ([0; 5], 0));
    assert_eq!(desk.tick(1), NOTHING, "nobody wants it");
}

#[test]
fn a_gateway_that_was_away_listens_before_it_judges() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:TCS");
    desk.want(2, "NSE:MUTE");
    desk.ticks(1, 100, 60_000);
    desk.jump(600_000);
    desk.state.fire();
    assert_eq!(desk.told(), NOTHING, "nobody has read what was sent meanwhile");
    desk.tick(1);
    let told = desk.go(601_000);
    assert_eq!(told, ["MUTE stale: no tick since subscribe"]);
    desk.want(3, "NSE:LATER");
    desk.jump(1_200_000);
    desk.state.fire();
    assert_eq!(desk.told(), NOTHING, "it listens anew");
    assert!(desk.go(1_201_000).contains(&"LATER stale: no tick since subscribe".to_owned()));
}

#[test]
fn whoever_comes_a_little_late_is_in_time() {
    for (late_ms, in_time) in [(250, true), (251, false)] {
        let mut desk = Desk::new();
        desk.want(1, "NSE:MUTE");
        assert_eq!(desk.go(120_000), NOTHING);
        let due_ms = desk.state.next_deadline_ms().unwrap();
        desk.jump(due_ms + late_ms);
        assert!(!desk.state.has_news());
        desk.state.fire();
        assert_eq!(desk.state.has_news(), in_time, "{late_ms}");
    }
}

#[test]
fn a_feed_that_is_silent_as_a_whole_is_told_once() {
    let mut desk = Desk::new();
    desk.want(1, "NSE:A");
    desk.want(2, "NSE:B");
    desk.ticks(1, 100, 60_000);
    desk.tick(2);
    let at_ms = desk.now_ms;
    desk.go(at_ms + 119_999);
    assert_eq!(desk.state.take_notes(), [], "one of them may be silent for that long");
    desk.go(at_ms + 120_001);
    let silent = FeedNote::Silent { broker: "paper".into(), topics: 2, for_ms: 120_000 };
    assert_eq!(desk.state.take_notes(), [silent]);
    assert_eq!(desk.state.silent_brokers().count(), 1);
    desk.go(at_ms + HOUR_MS);
    assert_eq!(desk.state.take_notes(), []);
    desk.tick(2);
    assert_eq!(desk.state.take_notes(), [FeedNote::Audible { broker: "paper".into() }]);
}

#[test]
fn a_rare_topic_does_not_hide_that_a_whole_feed_is_silent() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:RARE");
    for _ in 0..4 {
        desk.go(desk.now_ms + 400_000);
        desk.tick(1);
    }
    desk.want(2, "CRYPTO:BTC");
    desk.ticks(2, 100, desk.now_ms + 60_000);
    desk.state.take_notes();
    let at_ms = desk.now_ms;
    desk.go(at_ms + 119_000);
    assert_eq!(desk.state.take_notes(), []);
    desk.go(at_ms + 121_000);
    assert_eq!(desk.counts()[1], 1, "the rare one may be silent for longer");
    let silent = FeedNote::Silent { broker: "paper".into(), topics: 1, for_ms: 120_000 };
    assert_eq!(desk.state.take_notes(), [silent]);
    desk.go(at_ms + 300_000);
    assert_eq!(desk.tick(1), NOTHING);
    assert_eq!(desk.state.take_notes(), [FeedNote::Audible { broker: "paper".into() }]);
}

#[test]
fn a_session_that_is_lost_makes_no_habit_forgotten() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:RARE");
    for _ in 0..4 {
        desk.go(desk.now_ms + 400_000);
        desk.tick(1);
    }
    desk.told();
    for _ in 0..3 {
        desk.serve(1, false);
        desk.go(desk.now_ms + 500);
        desk.serve(1, true);
        assert_eq!(desk.go(desk.now_ms + 400_000), NOTHING);
        assert_eq!(desk.tick(1), NOTHING);
    }
}

#[test]
fn a_tick_between_two_outages_does_not_make_a_topic_rare() {
    let mut desk = Desk::new();
    desk.want(1, "CRYPTO:BTC");
    desk.ticks(1, 100, 600_000);
    for _ in 0..2 {
        let at_ms = desk.now_ms;
        assert_eq!(desk.go(at_ms + 300_000).len(), 1);
        assert_eq!(desk.tick(1).len(), 1);
    }
    desk.ticks(1, 100, desk.now_ms + 60_000);
    assert_eq!(desk.go(desk.now_ms + 121_000).len(), 1);
}

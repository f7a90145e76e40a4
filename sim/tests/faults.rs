//! Each fault strikes when a scenario asks for it, and the gateway gets over it.

use tickgate_sim::fault::FaultKind;
use tickgate_sim::plan;
use tickgate_sim::scenario;
use tickgate_sim::verdict::Verdict;
use tickgate_sim::world::{Options, play};

/// Seeds of each fault.
const SEEDS: u64 = 4;

/// A small storm, with something that goes wrong.
fn story(faults: &str, manner: &str) -> String {
    format!(
        r#"
about: A small storm in which something goes wrong.
world:
  duration_ms: 700
  users:
    - {{ name: alice, clients: 2, arrive_ms: [0, 20] }}
    - {{ name: bob, clients: 1, arrive_ms: [0, 20] }}
  topics: ["NSE:A/LTP", "NSE:B/LTP", "NSE:SPECIAL/LTP"]
  broker:
    topics:
      - {{ topic: "NSE:SPECIAL/LTP", subscribe: {manner} }}
storm:
  pause_ms: [0, 60]
  weights: {{ subscribe: 10, unsubscribe: 5, vanish: 1, ping: 2 }}
faults:
  to_ms: 600
  {faults}
"#
    )
}

fn strikes(fault: FaultKind, text: &str) {
    let scenario = scenario::parse("story.yaml", text).expect("the scenario is good");
    assert!(scenario.asks_for().contains(&fault), "the scenario asks for {fault}");
    let mut hits = 0;
    for seed in 1..=SEEDS {
        let outcome = play(&plan::draw(&scenario, seed), Options::default());
        let verdict = Verdict::of(&outcome);
        assert!(verdict.passed(), "seed {seed}: {verdict}\n{}", outcome.recent.join("\n"));
        hits += outcome.counters.faults.get(&fault).copied().unwrap_or_default();
    }
    assert!(hits > 0, "{fault} never struck");
}

macro_rules! faults {
    ($($name:ident => $fault:ident, $yaml:literal;)*) => {
        $(#[test]
        fn $name() {
            strikes(FaultKind::$fault, &story($yaml, "normal"));
        })*
    };
}

macro_rules! manners {
    ($($name:ident => $fault:ident, $manner:literal;)*) => {
        $(#[test]
        fn $name() {
            strikes(FaultKind::$fault, &story("", $manner));
        })*
    };
}

faults! {
    connections_are_chopped =>
        Chop, "chop: { of: [clients, broker, feed], share: 1.0, bytes_max: 9 }";
    bytes_are_held_back_and_delivered_together =>
        Coalesce, "coalesce: { of: [clients, broker, feed], share: 0.6, for_ms: [1, 20] }";
    connections_are_slow =>
        RateCap, "rate_cap: { share: 0.7, bytes_per_second: [5000, 20000] }";
    writers_have_to_wait_for_readers =>
        Window, "window: { share: 0.7, bytes: [100, 400] }";
    a_direction_is_silent =>
        Stall, "stall: { of: [clients, broker, feed], times: [1, 2], for_ms: [10, 200] }";
    connections_are_reset_in_the_middle_of_something =>
        Reset, "reset: { of: [clients, broker, feed], share: 0.6, after_bytes: [0, 2000] }";
    a_client_writes_no_more_and_goes_on_reading =>
        HalfClose, "half_close: { share: 0.6, after_bytes: [0, 1000] }";
    the_end_of_a_connection_is_noticed_late =>
        LateEnd, "late_end: { share: 1.0, for_ms: [10, 200] }";
    a_bit_flips =>
        Corrupt, "corrupt: { share: 0.7, after_bytes: [150, 1500] }";
    connecting_is_refused =>
        RefuseConnect, "refuse_connect: { of: [clients, broker, feed], share: 0.5 }";
    connecting_takes_long =>
        HangConnect, "hang_connect: { of: [clients, broker, feed], share: 0.5, for_ms: [10, 200] }";
    a_link_holds_everything_back =>
        Hold, "hold: { of: [clients, broker, feed], times: [1, 2], for_ms: [10, 200] }";
    a_link_loses_everything =>
        Partition, "partition: { of: [broker, feed], times: [1, 1], for_ms: [50, 200] }";
    a_link_loses_everything_in_one_direction =>
        PartitionOneWay, "partition_one_way: { of: [broker, feed], times: [1, 1], for_ms: [50, 200] }";
    a_link_is_slower =>
        Latency,
        "latency: { of: [clients, broker, feed], times: [1, 1], for_ms: [50, 300], most_ms: [20, 60] }";
    the_gateway_crashes_and_is_started_again =>
        GatewayCrash, "gateway_crash: { times: [1, 1], for_ms: [0, 200] }";
    the_wall_clock_jumps =>
        ClockStep, "clock_step: { times: [1, 3], by_ms: [-3600000, 3600000] }";
    the_publisher_restarts =>
        FeedRestart, "feed_restart: { times: [1, 2], for_ms: [0, 150] }";
    the_publisher_falls_silent =>
        FeedSilence, "feed_silence: { times: [1, 1], for_ms: [50, 300] }";
    the_publisher_sends_everything_twice =>
        FeedDuplicates, "feed_duplicates: { times: [1, 1], for_ms: [50, 300] }";
    the_publisher_floods =>
        FeedFlood, "feed_flood: { times: [1, 1], for_ms: [50, 200], factor: 20 }";
}

manners! {
    the_broker_takes_long => BrokerSlow, "{ slow: [100, 200] }";
    the_broker_refuses => BrokerRefuses, "refuse";
    the_broker_ignores_a_command => BrokerIgnores, "ignore";
    the_broker_does_not_answer => BrokerMute, "mute";
    the_broker_answers_too_late => BrokerLate, "late";
    the_broker_answers_twice => BrokerTwice, "twice";
    the_broker_lies => BrokerLies, "lie";
    the_broker_forgets => BrokerForgets, "{ forget: 30 }";
    the_broker_dies => BrokerDeath, "{ die: 100 }";
}

#[test]
fn a_fault_less_leaves_the_others_as_they_were() {
    let both = story(
        "stall: { times: [1, 3], for_ms: [5, 50] }\n  chop: { share: 0.5, bytes_max: 9 }",
        "normal",
    );
    let one = story("chop: { share: 0.5, bytes_max: 9 }", "normal");
    let chopped = |text: &str| {
        let scenario = scenario::parse("story.yaml", text).expect("the scenario is good");
        serde_json::to_string(&plan::draw(&scenario, 7).faults.connections).expect("it is JSON")
    };
    assert_eq!(chopped(&both), chopped(&one));
}

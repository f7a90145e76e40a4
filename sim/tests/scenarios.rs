//! Every scenario, with a few seeds each. Thousands of seeds are the business of `cargo sim sweep`.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tickgate_sim::history::{Event, Phase, Seen};
use tickgate_sim::invariant::{Held, Invariant};
use tickgate_sim::plan::{self, Plan};
use tickgate_sim::scenario;
use tickgate_sim::verdict::Verdict;
use tickgate_sim::world::{Options, play, play_judged};

/// Seeds of each scenario.
const SEEDS: u64 = 3;

/// A file of the workspace, with a seed.
fn plan_of(file: &str, seed: u64) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    plan::draw(&scenario::load(&path).expect("the scenario is good"), seed)
}

fn passes(file: &str) {
    for seed in 1..=SEEDS {
        let verdict = Verdict::of(&play(&plan_of(file, seed), Options::default()));
        assert!(verdict.passed(), "cargo sim run {file} --seed {seed}\n{verdict}");
    }
}

macro_rules! scenarios {
    ($($name:ident => $file:literal,)*) => {
        $(#[test]
        fn $name() {
            passes($file);
        })*
    };
}

scenarios! {
    keys_that_come_and_go => "scenarios/keys.yaml",
    keys_that_go_while_requests_wait => "scenarios/keys_in_queue.yaml",
    sockets_that_take_nothing => "scenarios/stalled.yaml",
    roles_and_what_they_may => "scenarios/roles.yaml",
    a_storm_over_shared_topics => "scenarios/smoke.yaml",
    the_standard_storm => "scenarios/standard_storm.yaml",
    topics_that_are_mute => "scenarios/mute_topics.yaml",
    topics_that_are_rare => "scenarios/rare_topics.yaml",
    markets_that_open_and_close => "scenarios/market_hours.yaml",
    sessions_that_are_lost_and_come_back => "scenarios/lost_sessions.yaml",
    a_feed_that_falls_silent => "scenarios/silent_feed.yaml",
    publishers_that_are_asked_for_what_is_wanted => "scenarios/wanted_prefixes.yaml",
    values_at_intervals => "scenarios/paces.yaml",
    a_storm_of_faults => "scenarios/fault_storm.yaml",
    more_ticks_than_can_be_handed_on => "scenarios/overload.yaml",
    ticks_that_leave_together => "scenarios/batched.yaml",
    a_recorded_market => "scenarios/recorded.yaml",
    a_storm_over_four_shards => "scenarios/many_shards.yaml",
    administrators_block_remove_and_tell => "scenarios/administrators.yaml",
    several_modes_of_one_instrument => "scenarios/modes.yaml",
    modes_that_the_broker_lacks => "scenarios/lacking_modes.yaml",
    topics_on_several_connections => "scenarios/pooled.yaml",
    sessions_and_topics_that_linger => "scenarios/lingering.yaml",
    topics_that_linger_in_the_way => "scenarios/full_lingering.yaml",
    sessions_that_are_kept => "scenarios/kept_sessions.yaml",
    a_broker_that_takes_few_calls => "scenarios/rationed.yaml",
    subscribes_in_one_call => "scenarios/batched_calls.yaml",
    credentials_that_expire => "scenarios/expired.yaml",
    credentials_that_change_in_every_state => "scenarios/credentials.yaml",
    topics_that_are_taken_back => "scenarios/taken_back.yaml",
    several_hosts_that_fail_alone => "scenarios/several_hosts.yaml",
    several_hosts_that_take_few_calls => "scenarios/rationed_hosts.yaml",
    broken_broker_sessions => "scenarios/sessions.yaml",
    rc_001_ten_subscribe_at_once => "scenarios/rc_001.yaml",
    rc_002_one_user_authenticates_at_once => "scenarios/rc_002.yaml",
    rc_003_no_success_before_the_broker_agrees => "scenarios/rc_003.yaml",
    rc_004_routing_while_the_table_changes => "scenarios/rc_004.yaml",
    rc_005_the_last_leaves_while_another_comes => "scenarios/rc_005.yaml",
    rc_006_unsubscribing_what_was_never_subscribed => "scenarios/rc_006.yaml",
    rc_007_a_broker_that_fails_in_every_way => "scenarios/rc_007.yaml",
    rc_008_faster_than_the_broker_answers => "scenarios/rc_008.yaml",
    rc_009_a_hundred_clients_at_once => "scenarios/rc_009.yaml",
    rc_010_nothing_after_an_unsubscribe => "scenarios/rc_010.yaml",
    rc_011_becoming_another_user => "scenarios/rc_011.yaml",
    rc_012_credentials_and_sessions_lost_in_a_storm => "scenarios/rc_012.yaml",
    rc_013_slow_and_silent_topics => "scenarios/rc_013.yaml",
    rc_014_a_thousand_ticks_a_second => "scenarios/rc_014.yaml",
    channels_hold_their_rules => "scenarios/channels.yaml",
    a_broadcast_to_those_who_listen => "scenarios/broadcast.yaml",
    whatever_is_missed_is_told => "scenarios/gaps.yaml",
    the_oldest_goes_and_that_is_told => "scenarios/oldest.yaml",
    subscriptions_begin_once_and_go_on_without_a_gap => "scenarios/snapshots.yaml",
    subscriptions_that_begin_with_the_next_tick => "scenarios/no_snapshots.yaml",
    latest_values_that_are_too_many_bytes => "scenarios/many_latest.yaml",
    little_waits_for_clients_that_lag => "scenarios/lagging.yaml",
    ws_001_one_owner_of_what_is_known_of_a_client => "scenarios/ws_001.yaml",
    ws_002_ticks_during_a_storm_of_disconnects => "scenarios/ws_002.yaml",
    ws_003_cut_off_in_the_middle_of_everything => "scenarios/ws_003.yaml",
    ws_007_clients_that_stop_reading => "scenarios/ws_007.yaml",
    a_gateway_that_crashes_and_everybody_comes_back => "scenarios/reconnect_storm.yaml",
    slow_readers => "scenarios/slow_readers.yaml",
    garbage_senders => "scenarios/garbage.yaml",
    wrong_keys => "scenarios/wrong_keys.yaml",
    a_broker_that_lies_and_forgets => "scenarios/lying_broker.yaml",
    a_feed_that_cannot_be_relied_on => "scenarios/unreliable_feed.yaml",
    links_that_hold_back_and_lose => "scenarios/broken_links.yaml",
    everything_at_once => "scenarios/swarm.yaml",
    a_stop_in_the_middle_of_a_storm => "scenarios/stopping.yaml",
    a_stop_without_a_broker => "scenarios/stopping_without_broker.yaml",
    requests_that_may_not_wait => "scenarios/impatient.yaml",
    clients_that_do_not_authenticate_in_time => "scenarios/late_to_authenticate.yaml",
    refusals_that_settle_nothing => "scenarios/doubtful.yaml",
    rc_009_more_connections_than_an_address_may_have => "scenarios/crowded_address.yaml",
    rc_009_more_clients_and_topics_than_a_user_may_have => "scenarios/crowded_user.yaml",
    rc_009_wrong_keys_many_at_once => "scenarios/guessing.yaml",
    ws_004_clients_that_fall_silent => "scenarios/silent.yaml",
    clients_that_say_more_than_they_may => "scenarios/loud.yaml",
    rc_009_a_block_meets_clients_that_come_in => "scenarios/blocked.yaml",
    a_flood_of_order_updates => "scenarios/order_flood.yaml",
    a_flood_of_answers => "scenarios/answer_flood.yaml",
    a_broker_that_falls_silent => "scenarios/silent_broker.yaml",
    a_feed_that_pauses_while_some_lag => "scenarios/pauses.yaml",
    everybody_comes_at_the_same_moment => "scenarios/opening_bell.yaml",
    sessions_that_are_gone_without_a_word => "scenarios/forgotten_sessions.yaml",
    old_news_of_lost_sessions => "scenarios/late_news.yaml",
    requests_wait_for_their_turn => "scenarios/rush.yaml",
    routes_are_begun_anew => "scenarios/begun_anew.yaml",
    sessions_that_are_lost_and_back_at_once => "scenarios/flapping.yaml",
    routes_are_begun_anew_while_ticks_wait => "scenarios/begun_anew_behind.yaml",
}

#[test]
fn a_seed_gives_one_trace_and_another_seed_another() {
    let trace = |seed| {
        let options = Options { keep_trace: true, ..Options::default() };
        let outcome = play(&plan_of("scenarios/smoke.yaml", seed), options);
        outcome.trace.expect("it was asked for")
    };
    let first = trace(1);
    // On this thread's runtime, on another thread, and after others have run: the same.
    assert!(first == trace(1), "one process, one seed, two traces");
    assert!(first != trace(2), "two seeds, one trace");
}

/// Notes in which phases the status page is seen, and how often.
struct Attendance(Arc<Mutex<Vec<Option<Phase>>>>, Option<Phase>);

impl Invariant for Attendance {
    fn name(&self) -> &'static str {
        "attendance"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Phase(phase) => self.1 = Some(*phase),
            Seen::Status(_) => self.0.lock().expect("not poisoned").push(self.1),
            _ => {}
        }
        Ok(())
    }
}

/// Most invariants judge the status page of a certain phase; without it they judge nothing.
#[test]
fn the_status_page_is_seen_idle_at_rest_and_when_all_have_left() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let attendance = Box::new(Attendance(Arc::clone(&seen), None));
    let plan = plan_of("scenarios/rc_001.yaml", 1);
    let outcome = play_judged(&plan, Options::default(), vec![attendance]);
    assert!(Verdict::of(&outcome).passed());
    let seen = seen.lock().expect("not poisoned");
    for phase in [None, Some(Phase::Play), Some(Phase::Rest), Some(Phase::Empty)] {
        assert!(seen.contains(&phase), "no status page in {phase:?}");
    }
}

/// Fails at the first tick.
struct NoTicks;

impl Invariant for NoTicks {
    fn name(&self) -> &'static str {
        "no_ticks"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        match &event.seen {
            Seen::Tick(tick) => Err(format!("{} read {}", event.actor, tick.topic)),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_broken_invariant_ends_the_simulation_and_shows_what_led_to_it() {
    let plan = plan_of("scenarios/rc_001.yaml", 1);
    let outcome = play_judged(&plan, Options::default(), vec![Box::new(NoTicks)]);
    let Verdict::Violated(violation) = Verdict::of(&outcome) else { panic!("it must fail") };
    assert_eq!(violation.invariant, "no_ticks");
    assert!(violation.recent.last().is_some_and(|line| line.contains("<- tick")));
}

/// Panics in a task of the simulation.
struct Panics;

impl Invariant for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        assert!(!matches!(event.seen, Seen::Connected { .. }), "on purpose");
        Ok(())
    }
}

#[test]
fn a_panic_is_a_crash_that_names_its_place() {
    let plan = plan_of("scenarios/rc_001.yaml", 1);
    let outcome = play_judged(&plan, Options::default(), vec![Box::new(Panics)]);
    let Verdict::Crashed(crash) = Verdict::of(&outcome) else { panic!("it must crash") };
    assert_eq!(crash.message, "on purpose");
    assert!(crash.place.contains("scenarios.rs:"), "{}", crash.place);
}

//! Every story on real sockets and in simulation.

use tickgate_sim::story::{Story, tales};

macro_rules! stories {
    ($($name:ident => $story:ident,)*) => {
        /// On loopback sockets, in real time.
        mod real {
            $(#[test]
            fn $name() {
                super::on_real_sockets::<super::tales::$story>(stringify!($name));
            })*
        }

        /// On a seeded network, in virtual time.
        mod simulated {
            $(#[test]
            fn $name() {
                tickgate_sim::story::simulated::play::<super::tales::$story>();
            })*
        }
    };
}

stories! {
    ten_clients_subscribe_at_once_and_the_broker_is_called_once => TenAtOnce,
    a_client_subscribes_during_the_cleanup_of_another => OthersCleanup,
    a_hundred_quick_authenticate_and_disconnect_leak_no_session => QuickVisitors,
    a_thousand_messages_a_second_while_subscriptions_change => ChangesUnderLoad,
    unsubscribing_what_was_never_subscribed_calls_no_broker => NeverSubscribed,
    a_broker_that_refuses_leaves_nothing_behind => BrokerRefuses,
    a_broker_that_times_out_leaves_nothing_behind => BrokerTimesOut,
    a_broker_that_dies_in_mid_subscribe_leaves_nothing_behind => BrokerDies,
    a_hundred_clients_live_their_full_lifecycle => HundredLifecycles,
    a_thousand_connection_cycles_leave_everything_flat => ThousandCycles,
    a_broker_that_reconnects_gets_all_wants_back => BrokerReconnects,
    a_client_that_becomes_another_user_sees_no_foreign_order => AnotherUser,
    invalidated_credentials_keep_clients_and_wants => Invalidated,
    a_slow_topic_and_a_client_that_does_not_read_delay_nobody => SlowAndStuck,
    a_client_that_changes_its_mind_quickly_gets_its_last_wish => ChangesOfMind,
    each_mode_of_an_instrument_gets_each_trade_once => EachTradeOnce,
}

/// Set in a process that plays one story alone.
const ALONE: &str = "TICKGATE_STORY_ALONE";

/// Plays a story here, or in a process of its own if it measures its process.
fn on_real_sockets<S: Story>(name: &str) {
    if !S::MEASURES_PROCESS || std::env::var_os(ALONE).is_some() {
        tickgate_sim::story::real::play::<S>();
        return;
    }
    let this = std::env::current_exe().expect("the system knows this program");
    let mut alone = std::process::Command::new(this);
    alone.args(["--exact", &format!("stories::real::{name}"), "--nocapture"]).env(ALONE, "1");
    let output = alone.output().expect("this program can be started again");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "alone: {}\n{told}", output.status);
}

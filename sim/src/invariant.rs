//! What must always hold, one property a file.
//!
//! An invariant judges what users can see, in words that make sense without the source. It sees
//! every event in order and speaks up at the first that breaks its property.

mod administrators_are_obeyed;
mod already_means_held;
mod anonymous_is_bounded;
mod answered_in_order;
mod attempts_hold;
mod audit_agrees;
mod blocked_are_out;
mod broadcasts_are_current;
mod broadcasts_need_listeners;
mod broker_agrees;
mod calls_hold;
mod carriers;
mod channels_hold;
mod connections_hold;
mod every_gap_is_told;
mod failed_subscribe_leaves_nothing;
mod feed_status_is_true;
mod forbidden_line;
mod hosts_fail_alone;
mod hosts_keep_apart;
mod kept_sessions_are_emptied;
mod keys_decide;
mod keys_of_users;
mod latest_reaches_all;
mod limits_hold;
mod needed_sessions_stay;
mod new_credentials_are_used;
mod no_errors_logged;
mod no_secret_is_told;
mod no_tick_after_unsubscribe;
mod nobody_is_thrown_out;
mod nothing_left;
mod numbers_agree_with_history;
mod one_broker_call_per_want;
mod one_session_per_user;
mod one_source_at_a_time;
mod only_what_was_asked_for;
mod order_updates_complete;
mod outboxes_are_bounded;
mod paces_hold;
mod places_hold;
mod rates_hold;
mod reference_counts;
mod refused_for_a_reason;
mod silent_are_closed;
mod silent_feeds_are_named;
mod slow_delays_nobody_else;
mod speaks_the_protocol;
mod stalled_are_cut_off;
mod status_adds_up;
mod stops_cleanly;
mod success_after_the_broker;
mod ticks_in_order;
mod timeouts_are_the_brokers;
mod told_before_served;
mod wanted_is_served;

mod account;
mod broker_link;
mod broker_view;
mod feed_loss;
pub(crate) mod holdings;
mod listeners;
mod misconduct;
mod mishaps;
mod pauses;
#[cfg(test)]
mod testing;
mod trouble;
mod whereabouts;

pub use holdings::Held;

use crate::history::Event;
use crate::plan::Plan;

/// A property of every history.
pub trait Invariant: Send {
    /// In words joined by `_`, as verdicts and planted bugs name it.
    fn name(&self) -> &'static str;

    /// Judges the next event. With it comes what clients hold, which most properties are about.
    ///
    /// # Errors
    ///
    /// Fails with a sentence if the property is broken.
    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String>;

    /// Takes note of an event that nobody judges: of a connection on which bytes were corrupted.
    fn overhear(&mut self, _event: &Event) {}

    /// Judges the history as a whole, when it has come to its end.
    ///
    /// # Errors
    ///
    /// Fails with a sentence if the property is broken.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// All invariants, the most telling first: the first one that fails is the one that is shown.
#[must_use]
pub fn all(plan: &Plan) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(forbidden_line::ForbiddenLine::new(plan.forbid.clone())),
        Box::new(no_errors_logged::NoErrorsLogged),
        Box::new(no_secret_is_told::NoSecretIsTold),
        Box::new(speaks_the_protocol::SpeaksTheProtocol),
        Box::new(nobody_is_thrown_out::NobodyIsThrownOut::new(plan)),
        Box::new(answered_in_order::AnsweredInOrder::default()),
        Box::new(already_means_held::AlreadyMeansHeld::default()),
        Box::new(no_tick_after_unsubscribe::NoTickAfterUnsubscribe::default()),
        Box::new(only_what_was_asked_for::OnlyWhatWasAskedFor::default()),
        Box::new(told_before_served::ToldBeforeServed::default()),
        Box::new(ticks_in_order::TicksInOrder::new(plan)),
        Box::new(every_gap_is_told::EveryGapIsTold::new(plan)),
        Box::new(one_source_at_a_time::OneSourceAtATime::new(plan)),
        Box::new(latest_reaches_all::LatestReachesAll::new(plan)),
        Box::new(paces_hold::PacesHold::new(plan)),
        Box::new(feed_status_is_true::FeedStatusIsTrue::new(plan)),
        Box::new(silent_feeds_are_named::SilentFeedsAreNamed::new(plan)),
        Box::new(order_updates_complete::OrderUpdatesComplete::new(plan)),
        Box::new(limits_hold::LimitsHold::new(plan)),
        Box::new(places_hold::PlacesHold::new(plan)),
        Box::new(channels_hold::ChannelsHold::new(plan)),
        Box::new(anonymous_is_bounded::AnonymousIsBounded::new(plan)),
        Box::new(broadcasts_are_current::BroadcastsAreCurrent::new(plan)),
        Box::new(broadcasts_need_listeners::BroadcastsNeedListeners::new(plan)),
        Box::new(rates_hold::RatesHold::new(plan)),
        Box::new(attempts_hold::AttemptsHold::new(plan)),
        Box::new(keys_decide::KeysDecide::new(plan)),
        Box::new(administrators_are_obeyed::AdministratorsAreObeyed::new(plan)),
        Box::new(blocked_are_out::BlockedAreOut::new(plan)),
        Box::new(silent_are_closed::SilentAreClosed::new(plan)),
        Box::new(stalled_are_cut_off::StalledAreCutOff::new(plan)),
        Box::new(outboxes_are_bounded::OutboxesAreBounded::new(plan)),
        Box::new(hosts_keep_apart::HostsKeepApart::new(plan)),
        Box::new(success_after_the_broker::SuccessAfterTheBroker::new(plan)),
        Box::new(one_broker_call_per_want::OneBrokerCallPerWant::new(plan)),
        Box::new(one_session_per_user::OneSessionPerUser::new(plan)),
        Box::new(connections_hold::ConnectionsHold::new(plan)),
        Box::new(hosts_fail_alone::HostsFailAlone::new(plan)),
        Box::new(needed_sessions_stay::NeededSessionsStay::new(plan)),
        Box::new(kept_sessions_are_emptied::KeptSessionsAreEmptied::new(plan)),
        Box::new(calls_hold::CallsHold::new(plan)),
        Box::new(new_credentials_are_used::NewCredentialsAreUsed::new(plan)),
        Box::new(refused_for_a_reason::RefusedForAReason::new(plan)),
        Box::new(timeouts_are_the_brokers::TimeoutsAreTheBrokers::new(plan)),
        Box::new(slow_delays_nobody_else::SlowDelaysNobodyElse::new(plan)),
        Box::new(failed_subscribe_leaves_nothing::FailedSubscribeLeavesNothing::new(plan)),
        Box::new(reference_counts::ReferenceCounts::new(plan)),
        Box::new(broker_agrees::BrokerAgrees::new(plan)),
        Box::new(wanted_is_served::WantedIsServed::new(plan)),
        Box::new(status_adds_up::StatusAddsUp),
        Box::new(nothing_left::NothingLeft::new(plan)),
        Box::new(numbers_agree_with_history::NumbersAgreeWithHistory::new(plan)),
        Box::new(audit_agrees::AuditAgrees::new(plan)),
        Box::new(stops_cleanly::StopsCleanly::new(plan)),
    ]
}

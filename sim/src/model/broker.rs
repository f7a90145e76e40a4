//! What brokers say.

use super::words::{BROKERS, BrokerNo, Outcome, USERS, UserNo};
use super::{Life, Model};

/// The words that come with each outcome; a client that is refused reads them.
#[must_use]
pub const fn words_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "",
        Outcome::Refused => "not traded here",
        Outcome::InitFailed => "credentials have expired",
        Outcome::NotConnected => "there is no session",
        Outcome::Timeout => "did not answer in time",
    }
}

impl Model {
    /// What nobody waits for any more changes nothing.
    pub(super) fn answered(&mut self, command: u64, result: Outcome) {
        let Some(at) = self.flights.iter().position(|flight| flight.command == command) else {
            return;
        };
        let flight = self.flights.remove(at);
        let words = words_of(result);
        match flight.topic {
            None => self.session_answered(flight.user, result, words),
            Some(topic) => {
                self.topic_answered(flight.user, topic, result, words);
                if result == Outcome::NotConnected {
                    // The broker knows nothing of the session that the gateway believes in.
                    self.session_lost(flight.user);
                }
            }
        }
    }

    pub(super) fn broker_up(&mut self, broker: BrokerNo) {
        if broker as usize >= BROKERS {
            return;
        }
        self.reachable[broker as usize] = true;
        for user in self.users_of(broker) {
            let account = self.account(user);
            if matches!(account.life, Life::None | Life::Unknown) {
                account.pause.hurry();
            }
        }
    }

    pub(super) fn broker_down(&mut self, broker: BrokerNo) {
        if broker as usize >= BROKERS {
            return;
        }
        self.reachable[broker as usize] = false;
        for user in self.users_of(broker) {
            self.session_lost(user);
        }
    }

    pub(super) fn lost(&mut self, user: UserNo, broker: BrokerNo, session: u64) {
        let is_current = self.accounts[user as usize].as_ref().is_some_and(|account| {
            account.is_open() && account.broker == broker && account.session == session
        });
        if is_current {
            self.session_lost(user);
        }
    }

    fn users_of(&self, broker: BrokerNo) -> Vec<UserNo> {
        let is_there = |user: &usize| {
            self.accounts[*user].as_ref().is_some_and(|account| account.broker == broker)
        };
        (0..USERS).filter(is_there).map(|user| user as UserNo).collect()
    }
}

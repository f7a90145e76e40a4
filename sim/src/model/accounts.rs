//! Sessions: at most one for each user, and none that nobody needs.

use super::pause::Pause;
use super::words::{BrokerNo, Kind, Line, Outcome, UserNo};
use super::{Account, Life, Model};

/// What a client is told when the session is lost.
const LOST: &str = "broker session lost";

impl Account {
    pub(super) fn new(broker: BrokerNo) -> Self {
        Self {
            broker,
            clients: Vec::new(),
            life: Life::None,
            session: 0,
            in_doubt: false,
            outdated: false,
            pause: Pause::default(),
            shares: Vec::new(),
        }
    }
}

impl Model {
    /// Sends what brings the session in line with whether it is needed.
    pub(super) fn decide_session(&mut self, user: UserNo) {
        let Some(account) = &self.accounts[user as usize] else { return };
        let has_clients = !account.clients.is_empty();
        let is_needed = has_clients && !self.draining;
        let is_reachable = self.reachable[account.broker as usize];
        match account.life {
            // One command at a time: its answer decides.
            Life::Opening(_) | Life::Closing(_) => {}
            Life::Open => {
                if !is_needed || account.outdated {
                    self.close_session(user);
                }
            }
            Life::None => {
                if !has_clients {
                    self.forget(user);
                } else if is_needed && is_reachable {
                    self.try_command(user, Kind::Connect);
                }
            }
            Life::Unknown => {
                if is_reachable {
                    let kind = if is_needed { Kind::Connect } else { Kind::Disconnect };
                    self.try_command(user, kind);
                } else if self.draining && !has_clients {
                    // It is not worth waiting for a broker that may never come back.
                    self.forget(user);
                }
            }
        }
    }

    /// Opens or closes a session, unless a pause forbids it.
    fn try_command(&mut self, user: UserNo, kind: Kind) {
        let now_ms = self.now_ms;
        if !self.account(user).pause.is_over(now_ms) {
            return;
        }
        match kind {
            Kind::Connect => {
                let sent = self.command(user, kind, None);
                let account = self.account(user);
                account.session = sent.session;
                account.outdated = false;
                account.life = Life::Opening(sent.command);
            }
            Kind::Disconnect => self.close_session(user),
            Kind::Subscribe | Kind::Unsubscribe => unreachable!("these are about topics"),
        }
    }

    fn close_session(&mut self, user: UserNo) {
        self.all_topics_off(user);
        let sent = self.command(user, Kind::Disconnect, None);
        self.account(user).life = Life::Closing(sent.command);
    }

    /// The connect or disconnect in flight was answered.
    pub(super) fn session_answered(&mut self, user: UserNo, result: Outcome, words: &'static str) {
        let (now_ms, rules) = (self.now_ms, self.rules);
        let account = self.account(user);
        let was_opening = matches!(account.life, Life::Opening(_));
        match (was_opening, result) {
            (true, Outcome::Done(_)) => {
                account.life = Life::Open;
                account.in_doubt = false;
                account.pause.forget();
                self.log(Line::SessionUp(user));
                for client in self.account(user).clients.clone() {
                    self.let_in(client);
                }
            }
            (true, failure) => {
                // After a timeout the session may exist, or come to exist.
                account.in_doubt |= failure == Outcome::Timeout;
                let in_doubt = account.in_doubt;
                self.connect_failed(user, in_doubt, failure, words);
                if self.account(user).clients.is_empty() {
                    // What may exist and nobody needs is closed at once.
                    self.account(user).pause.hurry();
                }
            }
            (false, Outcome::Done(_)) => {
                account.life = Life::None;
                account.in_doubt = false;
                account.pause.forget();
            }
            (false, _) => {
                account.life = Life::Unknown;
                account.in_doubt = true;
                account.pause.failed(now_ms, &rules);
                self.log(Line::SessionDown(user));
            }
        }
    }

    fn connect_failed(
        &mut self,
        user: UserNo,
        in_doubt: bool,
        failure: Outcome,
        words: &'static str,
    ) {
        let (now_ms, rules) = (self.now_ms, self.rules);
        let account = self.account(user);
        account.pause.failed(now_ms, &rules);
        account.life = if in_doubt { Life::Unknown } else { Life::None };
        self.log(Line::SessionDown(user));
        for client in self.account(user).clients.clone() {
            self.turn_away(client, failure, words);
        }
    }

    /// The session has ended unasked. What is held stays wanted.
    pub(super) fn session_lost(&mut self, user: UserNo) {
        let (now_ms, rules) = (self.now_ms, self.rules);
        self.flights.retain(|flight| flight.user != user || flight.topic.is_some());
        let account = self.account(user);
        match account.life {
            Life::None | Life::Unknown => {}
            Life::Opening(_) => {
                // It may be opened yet, when the broker is back.
                account.in_doubt = true;
                self.connect_failed(user, true, Outcome::NotConnected, LOST);
            }
            Life::Closing(_) => {
                account.life = if account.in_doubt { Life::Unknown } else { Life::None };
            }
            Life::Open => {
                account.life = Life::None;
                account.pause.failed(now_ms, &rules);
                self.all_topics_off(user);
                self.fail_all_waiting(user, LOST);
                self.log(Line::SessionDown(user));
            }
        }
    }

    pub(super) fn invalidated(&mut self, user: UserNo) {
        let now_ms = self.now_ms;
        let Some(account) = &mut self.accounts[user as usize] else { return };
        // A connect under way may still use the old credentials. The log tells of it once until
        // the session is rebuilt.
        let is_news = match account.life {
            Life::Open | Life::Opening(_) => !std::mem::replace(&mut account.outdated, true),
            Life::None | Life::Unknown => !account.pause.is_over(now_ms),
            Life::Closing(_) => false,
        };
        account.pause.hurry();
        if is_news {
            self.log(Line::Invalidated(user));
        }
    }
}

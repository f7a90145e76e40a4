//! Broker commands: what is due, compared with what was sent.

use super::words::{self, Kind, Sent, Topic, UserNo};
use super::{Flight, Model};

impl Model {
    /// A command is due: finds it among those that the engine has sent.
    pub(super) fn command(&mut self, user: UserNo, kind: Kind, topic: Option<Topic>) -> Sent {
        let found = self.find_sent(user, kind, topic);
        let sent = match found {
            Some(at) => self.sent.remove(at),
            None => {
                self.complain(|| format!("{} is missing", words::command(user, kind, topic)));
                Sent::placeholder(user, kind, topic, self.newest_command + 1)
            }
        };
        let timeout_ms = match kind {
            Kind::Connect | Kind::Disconnect => self.rules.connect_timeout_ms,
            Kind::Subscribe | Kind::Unsubscribe => self.rules.answer_timeout_ms,
        };
        let until_ms = self.now_ms + timeout_ms;
        self.flights.push(Flight { command: sent.command, user, topic, until_ms });
        if found.is_some() {
            self.judge_command(&sent, timeout_ms);
        }
        sent
    }

    fn judge_command(&mut self, sent: &Sent, timeout_ms: u64) {
        if sent.deadline_ms != timeout_ms {
            self.complain(|| format!("{sent} has a deadline of {} ms", sent.deadline_ms));
        }
        let account = self.accounts[sent.user as usize].as_ref().expect("an account sends it");
        let (broker, session) = (account.broker, account.session);
        if sent.broker != broker {
            self.complain(|| format!("{sent} goes to the wrong broker"));
        }
        match sent.kind {
            Kind::Connect => {}
            Kind::Disconnect | Kind::Subscribe | Kind::Unsubscribe if sent.session != session => {
                self.complain(|| format!("{sent} names another session than {session}"));
            }
            Kind::Disconnect | Kind::Subscribe | Kind::Unsubscribe => {}
        }
    }

    fn find_sent(&self, user: UserNo, kind: Kind, topic: Option<Topic>) -> Option<usize> {
        self.sent.iter().position(|sent| (sent.user, sent.kind, sent.topic) == (user, kind, topic))
    }
}

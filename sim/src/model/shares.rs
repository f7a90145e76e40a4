//! Topics that clients of one user share: who holds them, and what the broker has to hear.

use super::pause::Pause;
use super::words::{ClientNo, Kind, Line, Outcome, Topic, UserNo};
use super::{AtBroker, Holder, Life, Model, Share, take_out};

/// How deep a book comes.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Levels {
    /// How deep a book the broker was asked for last.
    requested: u32,
    /// What the broker said it sends.
    sends: Option<u32>,
}

impl Levels {
    /// Nobody gets more than the broker was asked for; who asks for less is promised no more.
    pub(super) fn of(self, asked: u32) -> u32 {
        self.sends.unwrap_or(asked.min(self.requested))
    }
}

impl Model {
    /// A client begins to want a topic. Says whether it has it at once.
    pub(super) fn begin_to_hold(
        &mut self,
        user: UserNo,
        client: ClientNo,
        topic: Topic,
        asked: u32,
    ) -> bool {
        let is_open = self.account(user).is_open();
        let share = match self.share(user, topic) {
            Some(share) => share,
            None => {
                self.account(user).shares.push(Share::new(topic));
                self.share(user, topic).expect("it was just added")
            }
        };
        let agreed = is_open && share.at_broker == AtBroker::On;
        share.deepest = share.deepest.max(asked);
        share.holders.push(Holder { client, asked, agreed });
        agreed
    }

    /// A client wants a topic no longer, whatever the reason. The log knows if it had it.
    pub(super) fn give_up(&mut self, user: UserNo, client: ClientNo, topic: Topic) {
        if self.let_go(user, client, topic) {
            self.log(Line::Unsubscribed(client, topic));
        }
    }

    /// Says whether the broker had agreed.
    pub(super) fn let_go(&mut self, user: UserNo, client: ClientNo, topic: Topic) -> bool {
        let holders = &mut self.share(user, topic).expect("it is held").holders;
        take_out(holders, |holder| holder.client == client).expect("it holds it").agreed
    }

    /// Levels of the book that somebody who asked for `asked` gets.
    pub(super) fn depth_of(&mut self, user: UserNo, topic: Topic, asked: u32) -> u32 {
        self.share(user, topic).map_or(asked, |share| share.levels.of(asked))
    }

    /// Sends what brings the broker in line with what is wanted.
    pub(super) fn decide_topics(&mut self, user: UserNo) {
        let Some(account) = &mut self.accounts[user as usize] else { return };
        let is_open = account.is_open();
        // What nobody wants and the broker does not send is nothing.
        account.shares.retain(|share| {
            !share.holders.is_empty() || (is_open && share.at_broker != AtBroker::Off)
        });
        if !is_open {
            return;
        }
        for at in 0..account.shares.len() {
            self.decide_topic(user, at);
        }
    }

    fn decide_topic(&mut self, user: UserNo, at: usize) {
        let now_ms = self.now_ms;
        let share = &self.account(user).shares[at];
        let (topic, is_wanted) = (share.topic, !share.holders.is_empty());
        let kind = match (share.at_broker, is_wanted) {
            (AtBroker::Off | AtBroker::Unknown, true) => Kind::Subscribe,
            (AtBroker::On | AtBroker::Unknown, false) => Kind::Unsubscribe,
            (AtBroker::Off, false) | (AtBroker::On, true) => return,
            // One command at a time: its answer decides.
            (AtBroker::TurningOn(_) | AtBroker::TurningOff(_), _) => return,
        };
        let somebody_waits = share.holders.iter().any(|holder| !holder.agreed);
        if !somebody_waits && !share.pause.is_over(now_ms) {
            return;
        }
        // A book as deep as anybody who wants it has asked, and no deeper than anybody ever has.
        let at_least = share.holders.iter().map(|holder| holder.asked).max().unwrap_or(0);
        let depths = match kind {
            Kind::Subscribe => at_least..=share.deepest,
            Kind::Unsubscribe | Kind::Connect | Kind::Disconnect => 0..=0,
        };
        let sent = self.command(user, kind, Some(topic));
        if !depths.contains(&sent.depth) {
            self.complain(|| format!("{sent} asks for {} levels", sent.depth));
        }
        let share = &mut self.account(user).shares[at];
        share.at_broker = match kind {
            Kind::Subscribe => {
                share.levels.requested = sent.depth;
                AtBroker::TurningOn(sent.command)
            }
            Kind::Unsubscribe | Kind::Connect | Kind::Disconnect => {
                AtBroker::TurningOff(sent.command)
            }
        };
    }

    /// The command in flight for a topic was answered.
    pub(super) fn topic_answered(
        &mut self,
        user: UserNo,
        topic: Topic,
        result: Outcome,
        words: &'static str,
    ) {
        let rules = self.rules;
        let now_ms = self.now_ms;
        let share = self.share(user, topic).expect("a command has its topic");
        let was_turning_on = matches!(share.at_broker, AtBroker::TurningOn(_));
        match (was_turning_on, result) {
            (true, Outcome::Done(sends)) => {
                share.at_broker = AtBroker::On;
                share.in_doubt = false;
                share.pause.forget();
                share.levels.sends = sends;
                let waiting = share.waiting();
                for holder in &mut share.holders {
                    holder.agreed = true;
                }
                for client in waiting {
                    self.row_done(client, topic, result, words);
                }
            }
            (true, failure) => {
                // A refusal says nothing about an earlier try that was not answered.
                share.in_doubt |= failure == Outcome::Timeout;
                share.at_broker = if share.in_doubt { AtBroker::Unknown } else { AtBroker::Off };
                let waiting = self.share(user, topic).expect("it exists").waiting();
                for client in waiting {
                    self.row_done(client, topic, failure, words);
                }
                let share = self.share(user, topic).expect("it exists");
                let is_held = !share.holders.is_empty();
                if is_held {
                    share.pause.failed(now_ms, &rules);
                } else {
                    share.pause.forget();
                }
                if is_held || failure != Outcome::Refused {
                    self.log(Line::TopicFailed(user, topic));
                } else {
                    self.log(Line::TopicRefused(user, topic));
                }
            }
            (false, Outcome::Done(_)) => {
                share.at_broker = AtBroker::Off;
                share.in_doubt = false;
                share.pause.forget();
            }
            (false, _) => {
                share.at_broker = AtBroker::Unknown;
                share.in_doubt = true;
                share.pause.failed(now_ms, &rules);
                self.log(Line::TopicFailed(user, topic));
            }
        }
    }

    /// The session ends: the broker sends nothing any more, and answers nothing about topics.
    pub(super) fn all_topics_off(&mut self, user: UserNo) {
        self.flights.retain(|flight| flight.user != user || flight.topic.is_none());
        for share in &mut self.account(user).shares {
            share.at_broker = AtBroker::Off;
            share.in_doubt = false;
        }
    }

    /// Those who wait for a topic are told that it will not come, in the order in which they came.
    pub(super) fn fail_all_waiting(&mut self, user: UserNo, words: &'static str) {
        for client in self.account(user).clients.clone() {
            for topic in self.waits_for(client) {
                self.row_done(client, topic, Outcome::NotConnected, words);
            }
        }
    }

    pub(super) fn share(&mut self, user: UserNo, topic: Topic) -> Option<&mut Share> {
        self.account(user).shares.iter_mut().find(|share| share.topic == topic)
    }
}

impl Share {
    fn new(topic: Topic) -> Self {
        Self {
            topic,
            at_broker: AtBroker::Off,
            in_doubt: false,
            holders: Vec::new(),
            pause: Pause::default(),
            deepest: 0,
            levels: Levels::default(),
        }
    }

    fn waiting(&self) -> Vec<ClientNo> {
        let waiting = self.holders.iter().filter(|holder| !holder.agreed);
        waiting.map(|holder| holder.client).collect()
    }
}

impl super::Account {
    pub(super) fn is_open(&self) -> bool {
        self.life == Life::Open
    }
}

//! What lies around the gateway: open connections, and brokers that do what they like.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use super::choices::Choices;
use crate::model::words::{BROKERS, BrokerNo, ClientNo, Kind, Outcome, Sent, Step, USERS, UserNo};

/// Answers that are remembered to be said once more.
const SAID_MAX: usize = 8;

/// Clients and brokers as they really are, whatever anybody says.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Connections that are open.
    pub open: Vec<ClientNo>,
    /// Connections that there have been.
    pub opened: ClientNo,
    /// Requests with an id that there have been.
    pub ids: u32,
    up: [bool; BROKERS],
    sessions: [[Option<u64>; USERS]; BROKERS],
    topics: [[u32; USERS]; BROKERS],
    /// The session that each user had before.
    ended: [[Option<u64>; USERS]; BROKERS],
    /// Commands that have arrived and are not carried out yet.
    waiting: Vec<Sent>,
    /// Answers that are under way.
    unsaid: Vec<(Sent, Outcome)>,
    /// Answers that have arrived.
    said: VecDeque<(u64, Outcome)>,
}

impl World {
    /// A command arrives at its broker.
    pub fn receive(&mut self, sent: Sent) {
        self.waiting.push(sent);
    }

    /// Whether a broker can be talked to.
    #[must_use]
    pub fn is_up(&self, broker: BrokerNo) -> bool {
        self.up.get(broker as usize).copied().unwrap_or(false)
    }

    /// The session and the topics that a broker has for a user.
    #[must_use]
    pub fn at_broker(&self, broker: BrokerNo, user: UserNo) -> (Option<u64>, u32) {
        let (broker, user) = (broker as usize, user as usize);
        (self.sessions[broker][user], self.topics[broker][user])
    }

    /// A broker comes up.
    pub fn start(&mut self, broker: BrokerNo) -> Step {
        if let Some(up) = self.up.get_mut(broker as usize) {
            *up = true;
        }
        Step::BrokerUp(broker)
    }

    /// A broker goes down, and loses everything. What is under way is lost as well, or is done
    /// when it is back.
    pub fn stop(&mut self, broker: BrokerNo, choices: &mut impl Choices) -> Step {
        if let Some(up) = self.up.get_mut(broker as usize) {
            *up = false;
            self.sessions[broker as usize] = [None; USERS];
            self.topics[broker as usize] = [0; USERS];
        }
        if choices.one_in(2) {
            self.waiting.retain(|sent| sent.broker != broker);
        }
        if choices.one_in(2) {
            self.unsaid.retain(|(sent, _)| sent.broker != broker);
        }
        Step::BrokerDown(broker)
    }

    /// A session ends unasked.
    pub fn lose_session(&mut self, broker: BrokerNo, user: UserNo) -> Option<Step> {
        let session = self.sessions[broker as usize][user as usize].take()?;
        self.ended[broker as usize][user as usize] = Some(session);
        self.topics[broker as usize][user as usize] = 0;
        // A broker tells things in the order in which they happen: what it has not said of this
        // user until now, it will not say any more.
        self.unsaid.retain(|(sent, _)| (sent.broker, sent.user) != (broker, user));
        Some(Step::SessionLost { user, broker, session })
    }

    /// A broker says of a session that it was lost, which is long over.
    #[must_use]
    pub fn old_news(&self, broker: BrokerNo, user: UserNo) -> Option<Step> {
        let session = self.ended[broker as usize][user as usize]?;
        Some(Step::SessionLost { user, broker, session })
    }

    /// A broker carries out a command, or not, and says so, or not. `trouble`: 0 is an honest
    /// broker; of so many cases, nine are trouble.
    pub fn act(&mut self, choices: &mut impl Choices, trouble: u32, steps: &mut VecDeque<Step>) {
        let can_act = |sent: &Sent| self.up[sent.broker as usize];
        let candidates = self.waiting.iter().filter(|sent| can_act(sent)).count();
        if candidates == 0 {
            return;
        }
        let nth = choices.below(candidates as u32) as usize;
        let at = (0..self.waiting.len()).filter(|at| can_act(&self.waiting[*at])).nth(nth);
        let at = self.first_of_its_kind(at.expect("it was counted"));
        let sent = self.waiting.remove(at);
        let depth = if choices.one_in(3) { Some(choices.pick(&[5, 20])) } else { None };
        let trouble = if trouble == 0 { u32::MAX } else { choices.below(trouble) };
        match trouble {
            0 => steps.push_back(self.say(&sent, Outcome::Refused)),
            1 => steps.push_back(self.say(&sent, Outcome::InitFailed)),
            2 => {
                steps.extend(self.lose_session(sent.broker, sent.user));
                steps.push_back(self.say(&sent, Outcome::NotConnected));
            }
            3 => {
                if choices.one_in(2) {
                    let _ = self.carry_out(&sent, depth);
                }
                steps.push_back(self.say(&sent, Outcome::Timeout));
            }
            4 => {
                // The answer is lost.
                let _ = self.carry_out(&sent, depth);
            }
            5 => {
                let outcome = self.carry_out(&sent, depth);
                steps.push_back(self.say(&sent, outcome));
                steps.push_back(self.say(&sent, outcome));
            }
            6..9 => {
                let outcome = self.carry_out(&sent, depth);
                self.unsaid.push((sent, outcome));
            }
            _ => {
                let outcome = self.carry_out(&sent, depth);
                steps.push_back(self.say(&sent, outcome));
            }
        }
    }

    /// An answer that was under way arrives, whatever has overtaken it.
    pub fn deliver_late(&mut self, choices: &mut impl Choices) -> Option<Step> {
        if self.unsaid.is_empty() {
            return None;
        }
        let at = choices.below(self.unsaid.len() as u32) as usize;
        let (sent, outcome) = self.unsaid.swap_remove(at);
        Some(self.say(&sent, outcome))
    }

    /// An answer arrives once more, or one to a command that nobody has sent.
    pub fn repeat(&mut self, choices: &mut impl Choices) -> Step {
        let at = choices.below(SAID_MAX as u32 + 1) as usize;
        let (command, result) =
            self.said.get(at).copied().unwrap_or((u64::MAX, Outcome::Done(None)));
        Step::Answered { command, result }
    }

    /// The next thing that honest brokers do, the oldest first.
    pub fn act_honestly(&mut self) -> Option<Step> {
        if !self.unsaid.is_empty() {
            let (sent, outcome) = self.unsaid.remove(0);
            return Some(self.say(&sent, outcome));
        }
        if self.waiting.is_empty() {
            return None;
        }
        let sent = self.waiting.remove(0);
        let outcome = self.carry_out(&sent, None);
        Some(self.say(&sent, outcome))
    }

    /// Takes the `at`th waiting command whose turn it can be and answers it: for the exhaustive
    /// search, which takes every branch.
    pub fn answer(&mut self, at: usize, with: Option<Outcome>) -> Step {
        let sent = self.waiting.remove(at);
        let outcome = with.unwrap_or_else(|| self.carry_out(&sent, None));
        self.say(&sent, outcome)
    }

    /// The waiting command is carried out, and its answer is lost.
    pub fn answer_is_lost(&mut self, at: usize) {
        let sent = self.waiting.remove(at);
        let _ = self.carry_out(&sent, None);
    }

    /// Positions of the commands that may be carried out next.
    #[must_use]
    pub fn next_ones(&self) -> Vec<usize> {
        (0..self.waiting.len()).filter(|at| self.first_of_its_kind(*at) == *at).collect()
    }

    /// Every number of a command that lies here, and of a session.
    pub fn numbers(&self, commands: &mut Vec<u64>, sessions: &mut Vec<u64>) {
        commands.extend(self.waiting.iter().map(|sent| sent.command));
        sessions.extend(self.waiting.iter().map(|sent| sent.session));
        sessions.extend(self.sessions.iter().flatten().flatten());
    }

    /// As [`Model::fingerprint`](crate::model::Model::fingerprint), for honest brokers: no answer
    /// is under way.
    pub fn fingerprint(&self, hasher: &mut impl Hasher, commands: &[u64], sessions: &[u64]) {
        let rank = |numbers: &[u64], number: u64| numbers.binary_search(&number).ok();
        (&self.open, self.up, self.topics).hash(hasher);
        for session in self.sessions.iter().flatten() {
            session.and_then(|session| rank(sessions, session)).hash(hasher);
        }
        for sent in &self.waiting {
            let numbers = (rank(commands, sent.command), rank(sessions, sent.session));
            (numbers, sent.broker, sent.user, sent.kind, sent.topic, sent.depth).hash(hasher);
        }
    }

    fn say(&mut self, sent: &Sent, result: Outcome) -> Step {
        if self.said.len() == SAID_MAX {
            self.said.pop_front();
        }
        self.said.push_back((sent.command, result));
        Step::Answered { command: sent.command, result }
    }

    /// The contract of a broker: commands of one topic in order, session commands as barriers.
    fn first_of_its_kind(&self, at: usize) -> usize {
        let command = &self.waiting[at];
        let blocks = |earlier: &Sent| {
            (earlier.broker, earlier.user) == (command.broker, command.user)
                && (earlier.topic.is_none()
                    || command.topic.is_none()
                    || earlier.topic == command.topic)
        };
        self.waiting[..at].iter().position(blocks).unwrap_or(at)
    }

    fn carry_out(&mut self, sent: &Sent, depth: Option<u32>) -> Outcome {
        let (broker, user) = (sent.broker as usize, sent.user as usize);
        let session = &mut self.sessions[broker][user];
        let topics = &mut self.topics[broker][user];
        let bit = sent.topic.map_or(0, |topic| topic.bit());
        match sent.kind {
            Kind::Connect => {
                let before = session.replace(sent.session).filter(|before| *before < sent.session);
                let ended = &mut self.ended[broker][user];
                *ended = before.or(*ended);
                *topics = 0;
            }
            Kind::Disconnect => {
                if session.is_some_and(|session| session <= sent.session) {
                    self.ended[broker][user] = session.take();
                    *topics = 0;
                }
            }
            Kind::Subscribe if *session != Some(sent.session) => return Outcome::NotConnected,
            Kind::Subscribe => *topics |= bit,
            Kind::Unsubscribe => *topics &= !bit,
        }
        Outcome::Done(depth.filter(|_| sent.kind == Kind::Subscribe))
    }
}

//! What the scripted broker does, without any socket: commands and moments in, deeds out.
//!
//! It keeps the rules of the control protocol (commands of one topic take effect in order,
//! session commands wait for everything before them and hold back everything after), unless the
//! plan tells it to break them.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::broker::Line;
use tickgate::topic::UserId;

use crate::history::{Call, Op};
use crate::plan::BrokerPlan;
use crate::rng::Stream;
use crate::scenario::Manner;
use crate::topic_name::TopicName;

/// Added to the network's part of a deadline, so that "in time" is certain.
const CERTAIN_US: u64 = 20_000;
/// How long after its deadline a late answer is sent.
const LATE_US: u64 = 30_000;

/// Something that the broker is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The command takes effect.
    Effect(Call),
    /// The command is answered with the outcome of its effect.
    Reply {
        /// Which.
        call: Call,
        /// Whether the gateway is certain to read it before the deadline.
        in_time: bool,
    },
    /// The command is answered with an error and takes no effect.
    Refuse {
        /// Which.
        call: Call,
        /// Which error.
        code: &'static str,
        /// Whether the gateway is certain to read it before the deadline.
        in_time: bool,
    },
    /// The command is going to be answered as if it had taken effect.
    Lie(Call),
    /// What the command has turned on, or the session that it has opened, is gone without a word.
    Forget(Call),
    /// The broker dies and is back after so many milliseconds.
    Die(u64),
}

/// The broker's mind: its sessions, and what it has decided to do.
#[derive(Debug)]
pub struct Script {
    plan: BrokerPlan,
    seed: u64,
    latency_us: u64,
    healed: bool,
    sessions: BTreeMap<Line, Session>,
    /// Sessions that are gone without a word, by their numbers.
    forgotten: BTreeMap<Line, u64>,
    lanes: BTreeMap<Line, Lanes>,
    /// Commands of each kind so far, by name.
    counts: BTreeMap<String, u32>,
    /// Deeds by moment, then by order of decision.
    due: BTreeMap<(u64, u64), Deed>,
    decided: u64,
    /// Users who were told that something is on which is not, or no longer.
    deceived: BTreeSet<UserId>,
    /// Outcomes of commands that took effect and are not answered for the last time.
    outcomes: BTreeMap<u64, Option<&'static str>>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    topics: BTreeSet<TopicName>,
}

/// When the earlier commands of a connection will be done.
#[derive(Debug, Default)]
struct Lanes {
    all_us: u64,
    topics: BTreeMap<TopicName, u64>,
}

impl Script {
    /// A broker without sessions. `latency_ms`: the longest way of a message.
    #[must_use]
    pub fn new(plan: BrokerPlan, seed: u64, latency_ms: u64) -> Self {
        Self {
            plan,
            seed,
            latency_us: latency_ms * 1_000,
            healed: false,
            sessions: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            lanes: BTreeMap::new(),
            counts: BTreeMap::new(),
            due: BTreeMap::new(),
            decided: 0,
            deceived: BTreeSet::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// From now on every command is treated normally. Gives the users who were deceived.
    pub fn heal(&mut self) -> BTreeSet<UserId> {
        self.healed = true;
        self.due.retain(|_, deed| !matches!(deed, Deed::Forget(_)));
        std::mem::take(&mut self.deceived)
    }

    /// Forgets what a command has turned on, or the session that it has opened.
    pub fn lose(&mut self, call: &Call) -> bool {
        let line = call.line();
        let held = self.sessions.get_mut(&line).filter(|held| held.number == call.session);
        let Some(session) = held else { return false };
        match &call.op {
            Op::Connect => {
                self.sessions.remove(&line);
                self.forgotten.insert(line, call.session);
                true
            }
            op => op.topic().is_some_and(|topic| session.topics.remove(topic)),
        }
    }

    /// Forgets all sessions and everything it was about to do.
    pub fn forget(&mut self) {
        self.sessions.clear();
        self.forgotten.clear();
        self.lanes.clear();
        self.due.clear();
        self.outcomes.clear();
    }

    /// Takes a command; tells how it is treated.
    pub fn receive(&mut self, call: &Call, deadline_ms: u64, now_us: u64) -> Manner {
        let manner = self.manner(call);
        let deadline_us = now_us + deadline_ms * 1_000;
        let mut stream = self.stream(call);
        let done_us = self.done_us(call, manner, &mut stream, now_us);
        let certain_us = deadline_us.saturating_sub(2 * self.latency_us + CERTAIN_US);
        let reply = |at_us: u64| Deed::Reply { call: call.clone(), in_time: at_us <= certain_us };
        let code = match (manner, &call.op) {
            (Manner::Expired, _) | (_, Op::Connect) => "INIT_FAILED",
            (_, _) => "REFUSED",
        };
        let refuse = Deed::Refuse { call: call.clone(), code, in_time: done_us <= certain_us };
        match manner {
            Manner::Normal | Manner::Slow(_) => {
                self.decide(done_us, Deed::Effect(call.clone()));
                self.decide(done_us, reply(done_us));
            }
            Manner::Refuse | Manner::Expired => self.decide(done_us, refuse),
            Manner::Flaky(probability) if stream.chance(probability) => {
                self.decide(done_us, refuse);
            }
            Manner::Flaky(_) => {
                self.decide(done_us, Deed::Effect(call.clone()));
                self.decide(done_us, reply(done_us));
                return Manner::Normal;
            }
            Manner::Ignore => {}
            Manner::Mute => self.decide(done_us, Deed::Effect(call.clone())),
            Manner::Late => {
                self.decide(done_us, Deed::Effect(call.clone()));
                let late_us = done_us.max(deadline_us + self.latency_us + LATE_US);
                self.decide(late_us, reply(late_us));
            }
            Manner::Twice => {
                self.decide(done_us, Deed::Effect(call.clone()));
                self.decide(done_us, reply(done_us));
                let again_us = done_us + stream.between(0, 20_000);
                self.decide(again_us, reply(again_us));
            }
            Manner::Lie => {
                self.deceived.insert(call.user.clone());
                self.decide(done_us, Deed::Lie(call.clone()));
                self.decide(done_us, reply(done_us));
            }
            Manner::Forget(after_ms) => {
                self.deceived.insert(call.user.clone());
                self.decide(done_us, Deed::Effect(call.clone()));
                self.decide(done_us, reply(done_us));
                self.decide(done_us + after_ms * 1_000, Deed::Forget(call.clone()));
            }
            Manner::Die(back_in_ms) => self.decide(done_us, Deed::Die(back_in_ms)),
        }
        manner
    }

    /// The moment of the next deed.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at_us, _), _)| *at_us)
    }

    /// The next deed whose moment has come.
    pub fn next_deed(&mut self, now_us: u64) -> Option<Deed> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now_us).then(|| entry.remove())
    }

    /// Lets a command take effect.
    pub fn take_effect(&mut self, call: &Call) {
        let error = self.apply(call).err();
        self.outcomes.insert(call.id, error);
    }

    /// How a command that took effect went: `None` is success.
    #[must_use]
    pub fn outcome(&self, call: &Call) -> Option<&'static str> {
        self.outcomes.get(&call.id).copied().flatten()
    }

    /// Ends one of a user's sessions, or remembers one that has ended without a word; gives its
    /// number.
    pub fn lose_session(&mut self, user: &UserId) -> Option<u64> {
        let of_user = (user.clone(), 0)..=(user.clone(), u32::MAX);
        let forgotten = self.forgotten.range(of_user).next().map(|(line, _)| line.clone());
        if let Some(line) = forgotten {
            return self.forgotten.remove(&line);
        }
        let held = || self.sessions.iter().filter(|((of, _), _)| of == user);
        let numbers: u64 = held().map(|(_, session)| session.number).sum();
        // Whichever: not always the same.
        let which = numbers.checked_rem(held().count() as u64)?;
        let line = held().nth(which as usize)?.0.clone();
        self.sessions.remove(&line).map(|session| session.number)
    }

    /// The topics that are on for at least one user.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<TopicName> {
        self.sessions.values().flat_map(|session| session.topics.iter().cloned()).collect()
    }

    fn apply(&mut self, call: &Call) -> Result<(), &'static str> {
        let line = call.line();
        let closes = call.op == Op::Disconnect;
        let current = self
            .sessions
            .get_mut(&line)
            .filter(|held| held.number == call.session || (closes && held.number < call.session));
        match (&call.op, current) {
            (Op::Connect, Some(_)) | (Op::Disconnect, None) => {}
            (Op::Connect, None) => {
                self.forgotten.remove(&line);
                let session = Session { number: call.session, topics: BTreeSet::new() };
                self.sessions.insert(line, session);
            }
            (Op::Disconnect, Some(_)) => {
                self.sessions.remove(&line);
            }
            (Op::Subscribe(_) | Op::Unsubscribe(_) | Op::UnsubscribeAll, None) => {
                return Err("NOT_CONNECTED");
            }
            (Op::Subscribe(topic), Some(session)) => {
                session.topics.insert(topic.clone());
            }
            (Op::Unsubscribe(topic), Some(session)) => {
                session.topics.remove(topic);
            }
            (Op::UnsubscribeAll, Some(session)) => session.topics.clear(),
        }
        Ok(())
    }

    fn manner(&mut self, call: &Call) -> Manner {
        let count = self.counts.entry(Self::kind(call)).or_default();
        *count += 1;
        if self.healed {
            return Manner::Normal;
        }
        let holds = |times: Option<u32>| times.is_none_or(|times| *count <= times);
        let (mut sessions, mut topics) = (self.plan.sessions.iter(), self.plan.topics.iter());
        let mut of_topic =
            |topic: &TopicName| topics.find(|rule| rule.topic == *topic && holds(rule.times));
        let mut of_user =
            |user: &UserId| sessions.find(|rule| rule.user == *user && holds(rule.times));
        let manner = match &call.op {
            Op::Connect => of_user(&call.user).map(|rule| rule.connect),
            Op::Disconnect => of_user(&call.user).map(|rule| rule.disconnect),
            Op::Subscribe(topic) => of_topic(topic).map(|rule| rule.subscribe),
            Op::Unsubscribe(topic) => of_topic(topic).map(|rule| rule.unsubscribe),
            Op::UnsubscribeAll => None,
        };
        manner.unwrap_or_default()
    }

    fn kind(call: &Call) -> String {
        format!("{} {}", call.user, call.op)
    }

    /// A stream for the n-th command of this kind, so that commands more or less of another
    /// topic change nothing.
    fn stream(&self, call: &Call) -> Stream {
        let kind = Self::kind(call);
        let count = self.counts.get(&kind).copied().unwrap_or_default();
        Stream::fork(self.seed, "broker", &format!("{kind} {count}"))
    }

    /// When the command is done; later commands of its lane start then.
    fn done_us(&mut self, call: &Call, manner: Manner, stream: &mut Stream, now_us: u64) -> u64 {
        let [least, most] = match (manner, &call.op) {
            (Manner::Slow(range), _) => range,
            (_, Op::Connect | Op::Disconnect) => self.plan.connect_ms,
            (_, Op::Subscribe(_) | Op::Unsubscribe(_) | Op::UnsubscribeAll) => self.plan.answer_ms,
        };
        let takes_us = stream.between(least * 1_000, most * 1_000);
        let lanes = self.lanes.entry(call.line()).or_default();
        let occupies = manner != Manner::Ignore;
        match call.op.topic() {
            Some(topic) => {
                let free_us = lanes.topics.get(topic).copied().unwrap_or_default();
                let done_us = now_us.max(free_us).max(lanes.all_us) + takes_us;
                if occupies {
                    lanes.topics.insert(topic.clone(), done_us);
                }
                done_us
            }
            None => {
                let last_us = lanes.topics.values().copied().max().unwrap_or_default();
                let done_us = now_us.max(last_us).max(lanes.all_us) + takes_us;
                if occupies {
                    lanes.all_us = done_us;
                    lanes.topics.clear();
                }
                done_us
            }
        }
    }

    fn decide(&mut self, at_us: u64, deed: Deed) {
        self.decided += 1;
        self.due.insert((at_us, self.decided), deed);
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;

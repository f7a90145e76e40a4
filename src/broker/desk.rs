//! Who has a session with a broker in this process, and what they subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use super::{BrokerError, BrokerErrorCode, Command, CommandKind, Done, Line, SessionId};
use crate::topic::{Mode, Topic};

/// Users that may have a session at a time.
pub const SESSIONS_MAX: usize = 100_000;
/// Topics that may be subscribed, counted once for each user.
pub const SUBSCRIPTIONS_MAX: usize = 500_000;
/// Bytes of an exchange or symbol name.
pub const NAME_BYTES_MAX: usize = 64;

/// The sessions, and how many of them want each topic.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Levels of a book that the broker has, if it knows.
    levels: Option<u32>,
    sessions: BTreeMap<Line, Session>,
    wants: BTreeMap<Topic, usize>,
    subscriptions: usize,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    topics: BTreeSet<Topic>,
}

/// What a command changes for the market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The topic has its first subscriber.
    Started(Topic),
    /// The topic has lost its last one.
    Stopped(Topic),
}

impl Desk {
    /// Of a broker that has so many levels of each book, at least 1.
    pub(super) fn with_levels(levels: u32) -> Self {
        Self { levels: Some(levels), ..Self::default() }
    }

    /// Carries out a command and tells what it changed for the market.
    pub(super) fn carry_out(
        &mut self,
        command: &Command,
        changes: &mut Vec<Change>,
    ) -> Result<Done, BrokerError> {
        let (line, session) = (&command.line(), command.session);
        match &command.kind {
            CommandKind::Connect => self.connect(line, session, changes)?,
            CommandKind::Disconnect => {
                if self.sessions.get(line).is_some_and(|held| held.id <= session) {
                    self.close(line, changes);
                }
            }
            CommandKind::Subscribe { topic, depth } => {
                return self.subscribe(line, session, topic, *depth, changes);
            }
            CommandKind::Unsubscribe { topic } => {
                if self.current(line, session)?.topics.remove(topic) {
                    self.release(topic, changes);
                }
            }
            CommandKind::UnsubscribeAll => {
                let topics = std::mem::take(&mut self.current(line, session)?.topics);
                for topic in &topics {
                    self.release(topic, changes);
                }
            }
        }
        Ok(Done::default())
    }

    fn connect(
        &mut self,
        line: &Line,
        session: SessionId,
        changes: &mut Vec<Change>,
    ) -> Result<(), BrokerError> {
        match self.sessions.get(line).map(|held| held.id) {
            Some(held) if held == session => return Ok(()),
            Some(held) if held > session => {
                return Err(refused(format!("session {session} is older than {held}")));
            }
            Some(_) => self.close(line, changes),
            None if self.sessions.len() >= SESSIONS_MAX => {
                return Err(refused(format!("{SESSIONS_MAX} sessions are open")));
            }
            None => {}
        }
        self.sessions.insert(line.clone(), Session { id: session, topics: BTreeSet::new() });
        Ok(())
    }

    fn subscribe(
        &mut self,
        line: &Line,
        session: SessionId,
        topic: &Topic,
        depth: u32,
        changes: &mut Vec<Change>,
    ) -> Result<Done, BrokerError> {
        let full = self.subscriptions >= SUBSCRIPTIONS_MAX;
        let held = self.current(line, session)?;
        check_name("exchange", &topic.instrument.exchange)?;
        check_name("symbol", &topic.instrument.symbol)?;
        if !held.topics.contains(topic) {
            if full {
                return Err(refused(format!("{SUBSCRIPTIONS_MAX} topics are subscribed")));
            }
            held.topics.insert(topic.clone());
            self.subscriptions += 1;
            let wants = self.wants.entry(topic.clone()).or_default();
            *wants += 1;
            if *wants == 1 {
                changes.push(Change::Started(topic.clone()));
            }
        }
        Ok(Done {
            depth: match topic.mode {
                Mode::Ltp | Mode::Quote => None,
                Mode::Depth => self.levels.map(|levels| depth.clamp(1, levels)),
            },
        })
    }

    fn close(&mut self, line: &Line, changes: &mut Vec<Change>) {
        let Some(session) = self.sessions.remove(line) else { return };
        for topic in &session.topics {
            self.release(topic, changes);
        }
    }

    fn release(&mut self, topic: &Topic, changes: &mut Vec<Change>) {
        self.subscriptions -= 1;
        let wants = self.wants.get_mut(topic).expect("what a session holds is counted");
        *wants -= 1;
        if *wants == 0 {
            self.wants.remove(topic);
            changes.push(Change::Stopped(topic.clone()));
        }
    }

    fn current(&mut self, line: &Line, session: SessionId) -> Result<&mut Session, BrokerError> {
        match self.sessions.get_mut(line) {
            Some(held) if held.id == session => Ok(held),
            Some(_) | None => Err(BrokerError {
                code: BrokerErrorCode::NotConnected,
                message: format!("{} has no session {session}", line.0),
            }),
        }
    }
}

fn check_name(what: &str, name: &str) -> Result<(), BrokerError> {
    if name.is_empty() {
        Err(refused(format!("the {what} is empty")))
    } else if name.len() > NAME_BYTES_MAX {
        Err(refused(format!("the {what} has more than {NAME_BYTES_MAX} bytes")))
    } else if name.chars().any(char::is_control) {
        Err(refused(format!("the {what} holds a control character")))
    } else {
        Ok(())
    }
}

const fn refused(message: String) -> BrokerError {
    BrokerError { code: BrokerErrorCode::Refused, message }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::Duration;

    use super::super::CommandId;
    use super::*;
    use crate::topic::Instrument;

    fn story(steps: &[(&str, u64, CommandKind)]) -> String {
        let mut desk = Desk::with_levels(5);
        let mut told = String::new();
        for (user, session, kind) in steps {
            let mut changes = Vec::new();
            let command = Command {
                id: CommandId(1),
                user: (*user).into(),
                connection: 0,
                session: SessionId(*session),
                kind: kind.clone(),
                deadline: Duration::from_secs(1),
                more: false,
            };
            let result = match desk.carry_out(&command, &mut changes) {
                Ok(Done { depth }) => format!("ok {depth:?}"),
                Err(error) => format!("{:?}: {error}", error.code),
            };
            writeln!(told, "{user} s{session} {kind:?}\n    {result} {changes:?}").unwrap();
        }
        writeln!(told, "{} subscriptions, wants {:?}", desk.subscriptions, desk.wants).unwrap();
        told
    }

    fn topic(symbol: &str) -> Topic {
        Topic::new(Instrument::new("NSE", symbol), Mode::Depth)
    }

    fn subscribe(symbol: &str) -> CommandKind {
        CommandKind::Subscribe { topic: topic(symbol), depth: 20 }
    }

    #[test]
    fn a_topic_is_wanted_while_any_session_wants_it() {
        use CommandKind::{Connect, Disconnect, Unsubscribe, UnsubscribeAll};
        insta::assert_snapshot!(story(&[
            ("alice", 1, subscribe("TCS")),
            ("alice", 1, Connect),
            ("alice", 1, Connect),
            ("alice", 1, subscribe("TCS")),
            ("alice", 1, subscribe("TCS")),
            ("bob", 1, Connect),
            ("bob", 1, subscribe("TCS")),
            ("alice", 1, Unsubscribe { topic: topic("TCS") }),
            ("alice", 1, Unsubscribe { topic: topic("TCS") }),
            ("bob", 1, UnsubscribeAll),
            ("bob", 1, subscribe("INFY")),
            ("bob", 1, Disconnect),
            ("bob", 1, Disconnect),
        ]));
    }

    #[test]
    fn a_disconnect_of_a_younger_session_closes_the_one_there_is() {
        use CommandKind::{Connect, Disconnect};
        let told = story(&[
            ("alice", 1, Connect),
            ("alice", 1, subscribe("TCS")),
            ("alice", 2, Disconnect),
        ]);
        assert!(told.ends_with("0 subscriptions, wants {}\n"), "{told}");
    }

    #[test]
    fn what_names_an_older_session_changes_nothing() {
        use CommandKind::{Connect, Disconnect, Unsubscribe, UnsubscribeAll};
        insta::assert_snapshot!(story(&[
            ("alice", 2, Connect),
            ("alice", 2, subscribe("TCS")),
            ("alice", 1, Connect),
            ("alice", 1, subscribe("INFY")),
            ("alice", 1, Unsubscribe { topic: topic("TCS") }),
            ("alice", 1, UnsubscribeAll),
            ("alice", 1, Disconnect),
            ("alice", 3, Connect),
        ]));
    }

    #[test]
    fn any_plain_name_is_a_symbol() {
        use CommandKind::Connect;
        insta::assert_snapshot!(story(&[
            ("alice", 1, Connect),
            ("alice", 1, subscribe("M&M")),
            ("alice", 1, subscribe("TCS:50")),
            ("alice", 1, subscribe("")),
            ("alice", 1, subscribe(&"X".repeat(65))),
            ("alice", 1, subscribe("A B")),
            ("alice", 1, subscribe("A\u{1}")),
        ]));
    }
}

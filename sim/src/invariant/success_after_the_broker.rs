use std::collections::BTreeMap;

use tickgate::audit::{Record, What};
use tickgate::topic::{Instrument, UserId};

use super::broker_link::BrokerLinks;
use super::broker_view::BrokerView;
use super::carriers::Carriers;
use super::holdings::Settled;
use super::whereabouts::Whereabouts;
use super::{Held, Invariant};
use crate::fault::{FaultKind, Party};
use crate::history::{Actor, Call, ClientName, Event, Op, Reply, Request, RowOutcome, Seen};
use crate::plan::Plan;
use crate::topic_name::TopicName;

/// The word for a session that is open.
pub(super) const CONNECTED: &str = "connected";

/// A client is told "subscribed" (or "authenticated", or that its broker is "connected") only when
/// the broker has agreed: the topic (the session) was on at some moment between question and
/// answer, as far as the gateway can know: what the broker loses on its own account lasts until
/// word of it has had time to arrive.
pub(super) struct SuccessAfterTheBroker {
    /// Word from the broker takes at most so long.
    journey_us: u64,
    broker: BrokerView,
    carriers: Carriers,
    links: BrokerLinks,
    whereabouts: Whereabouts,
    /// What the gateway must believe although it is not, or no longer, so.
    /// With the connection and the session.
    deceived: BTreeMap<(UserId, TopicName), (u32, u64)>,
    /// The same of sessions without which no client is let in.
    deceived_sessions: BTreeMap<UserId, u64>,
    /// Confirmed by the broker, and until when the gateway may believe so: `None` while it lasts.
    topics: BTreeMap<(UserId, TopicName), Option<u64>>,
    sessions: BTreeMap<UserId, Option<u64>>,
}

impl Invariant for SuccessAfterTheBroker {
    fn name(&self) -> &'static str {
        "success_after_the_broker"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        self.note_forgotten_session(&event.seen);
        self.broker.observe(event);
        self.links.observe(event);
        self.whereabouts.observe(event);
        let word_takes_us = match &event.seen {
            Seen::BrokerDied { .. } | Seen::Greeted => self.journey_us,
            seen if seen.loss().is_some() => self.journey_us,
            _ => 0,
        };
        self.note_deceit(event);
        self.note_delay(event);
        if is_news(&event.seen) {
            self.end_what_is_off(event.at_us, word_takes_us);
        }
        if let Seen::Replied { call, error: None, .. } = &event.seen {
            match &call.op {
                Op::Subscribe(topic) => {
                    let key = (call.user.clone(), topic.clone());
                    if self.broker.is_on(&call.user, topic) || self.deceived.contains_key(&key) {
                        self.topics.insert(key, None);
                    }
                }
                Op::Connect if call.connection == 0 && self.broker.has_session(&call.user) => {
                    self.sessions.insert(call.user.clone(), None);
                }
                Op::Connect | Op::Disconnect | Op::Unsubscribe(_) | Op::UnsubscribeAll => {}
            }
        }
        if let Seen::Audited(record) = &event.seen {
            return self.audited(event.at_us, record);
        }
        held.settled.map_or(Ok(()), |settled| self.judge(settled))
    }
}

impl SuccessAfterTheBroker {
    pub fn new(plan: &Plan) -> Self {
        let network = &plan.network;
        Self {
            // A step of the simulation on either side.
            journey_us: (network.latency_ms[1] + 2 * network.tick_ms) * 1_000,
            broker: BrokerView::default(),
            carriers: Carriers::new(plan),
            links: BrokerLinks::new(plan),
            whereabouts: Whereabouts::default(),
            deceived: BTreeMap::new(),
            deceived_sessions: BTreeMap::new(),
            topics: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// A session that is gone without a word is believed in, with all that is on in it.
    fn note_forgotten_session(&mut self, seen: &Seen) {
        let Seen::Forgot(Call { op: Op::Connect, user, connection, session, .. }) = seen else {
            return;
        };
        for (number, topics) in self.broker.sessions_of(user) {
            if number == session {
                let keys = topics.iter().map(|topic| (user.clone(), topic.clone()));
                self.deceived.extend(keys.map(|key| (key, (*connection, *session))));
            }
        }
        if *connection == 0 {
            self.deceived_sessions.insert(user.clone(), *session);
        }
    }

    /// Lies are believed until the session ends, or the topic is turned off; and one that is gone
    /// without a word until the broker says that it knows of none.
    fn note_deceit(&mut self, event: &Event) {
        // Whoever hears it too late may go on believing.
        if let Some((user, session)) = event.seen.loss()
            && !matches!(event.seen, Seen::Replied { in_time: false, .. })
        {
            self.undeceive(user, session);
        }
        match &event.seen {
            Seen::Lied(call) | Seen::Forgot(call) => {
                if let Op::Subscribe(topic) = &call.op {
                    let key = (call.user.clone(), topic.clone());
                    self.deceived.insert(key, (call.connection, call.session));
                }
            }
            Seen::TookEffect(call) => match &call.op {
                Op::Unsubscribe(topic) => {
                    self.deceived.remove(&(call.user.clone(), topic.clone()));
                }
                Op::Connect | Op::Disconnect | Op::UnsubscribeAll => {
                    if call.connection == 0 && call.op != Op::UnsubscribeAll {
                        self.deceived_sessions.remove(&call.user);
                    }
                    let ended =
                        |user: &UserId, on: u32| *user == call.user && on == call.connection;
                    self.deceived.retain(|(user, _), (on, _)| !ended(user, *on));
                }
                Op::Subscribe(_) => {}
            },
            Seen::BrokerDied { .. } | Seen::Greeted => {
                let whereabouts = &self.whereabouts;
                self.deceived_sessions.retain(|user, _| !whereabouts.are_at(&event.actor, user));
                self.deceived.retain(|(user, _), _| !whereabouts.are_at(&event.actor, user));
            }
            _ => {}
        }
    }

    fn undeceive(&mut self, user: &UserId, session: u64) {
        self.deceived.retain(|(of, _), (_, id)| of != user || *id != session);
        self.deceived_sessions.retain(|of, id| of != user || *id != session);
    }

    /// Word that is under way when a fault strikes comes later, or never.
    fn note_delay(&mut self, event: &Event) {
        let Seen::Struck(strike) = &event.seen else { return };
        let Party::Broker(host) = &strike.party else { return };
        let broker = Actor::Broker(host.clone());
        let until_us = match strike.fault {
            FaultKind::LateEnd => Some(event.at_us + strike.lasts_ms * 1_000 + self.journey_us),
            FaultKind::Stall | FaultKind::Hold | FaultKind::Latency => {
                self.links.at(host).word_until_us(event.at_us)
            }
            FaultKind::Partition | FaultKind::PartitionOneWay => None,
            _ => return,
        };
        let topics = self.topics.iter_mut().map(|((user, _), end)| (user, end));
        let all = topics.chain(self.sessions.iter_mut());
        for (_, end) in all.filter(|(user, _)| self.whereabouts.are_at(&broker, user)) {
            if let Some(end_us) = *end
                && end_us >= event.at_us
            {
                *end = until_us.map(|until_us| until_us.max(end_us));
            }
        }
    }

    fn end_what_is_off(&mut self, at_us: u64, word_takes_us: u64) {
        let links = &self.links;
        let known_us = |user: &UserId| {
            let until_us = links.of(user).word_until_us(at_us)?;
            Some(until_us.max(at_us) + word_takes_us)
        };
        for ((user, topic), end) in &mut self.topics {
            let believed = || self.deceived.contains_key(&(user.clone(), topic.clone()));
            if end.is_none() && !self.broker.is_on(user, topic) && !believed() {
                *end = known_us(user);
            }
        }
        for (user, end) in &mut self.sessions {
            let believed = self.deceived_sessions.contains_key(user);
            if end.is_none() && !self.broker.has_session(user) && !believed {
                *end = known_us(user);
            }
        }
    }

    /// What is written down must be so when it is.
    fn audited(&self, at_us: u64, record: &Record) -> Result<(), String> {
        let Some(user) = &record.user else { return Ok(()) };
        let lasts = |end: Option<&Option<u64>>| {
            end.is_some_and(|end| end.is_none_or(|end_us| end_us >= at_us))
        };
        match &record.what {
            What::SubscriptionAdded { topic } => {
                let Instrument { exchange, symbol } = &topic.instrument;
                let name = TopicName::new(exchange, symbol, topic.mode);
                if lasts(self.topics.get(&(user.clone(), self.carriers.of(&name)))) {
                    return Ok(());
                }
                Err(format!("a subscription of {user} to {topic} was written down too early"))
            }
            What::Authenticated {} if !lasts(self.sessions.get(user)) => {
                Err(format!("{user} was written down as being in without a broker session"))
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, settled: &Settled) -> Result<(), String> {
        let Settled { client, sent_us, request, reply, was } = settled;
        let lasted = |end: Option<&Option<u64>>| {
            end.is_some_and(|end| end.is_none_or(|end_us| end_us >= *sent_us))
        };
        match (request, reply) {
            (Request::Authenticate(_), Reply::Authenticated(user)) => {
                let known = was.as_ref() == Some(user);
                if known || lasted(self.sessions.get(user)) {
                    return Ok(());
                }
                Err(format!(
                    "{client} was told that it is {user}, but the broker never opened a session"
                ))
            }
            (Request::Subscribe(topics), Reply::Subscribed(rows)) => {
                let Some(user) = was else { return Ok(()) };
                let mut rows = topics.iter().zip(rows);
                let premature = rows.find(|(topic, row)| {
                    row.outcome == RowOutcome::Success
                        && !lasted(self.topics.get(&(user.clone(), self.carriers.of(topic))))
                });
                match premature {
                    Some((topic, _)) => Err(too_early(client, user, topic)),
                    None => Ok(()),
                }
            }
            (Request::BrokerInfo, Reply::BrokerInfo { session, .. }) if session == CONNECTED => {
                let Some(user) = was else { return Ok(()) };
                if lasted(self.sessions.get(user)) {
                    return Ok(());
                }
                Err(format!("{client} was told that {user} is connected, which has no session"))
            }
            (_, _) => Ok(()),
        }
    }
}

/// Whether something may be off now that was on, or the gateway may hear of it now.
const fn is_news(seen: &Seen) -> bool {
    matches!(
        seen,
        Seen::TookEffect(_)
            | Seen::Replied { .. }
            | Seen::Lied(_)
            | Seen::Forgot(_)
            | Seen::SessionLost { .. }
            | Seen::BrokerDied { .. }
            | Seen::Greeted
            | Seen::Struck(_)
            | Seen::Linked(_)
    )
}

fn too_early(client: &ClientName, user: &UserId, topic: &TopicName) -> String {
    format!(
        "{client} was told that it is subscribed to {topic}, but the broker had not turned it on for {user}"
    )
}

#[cfg(test)]
mod tests;

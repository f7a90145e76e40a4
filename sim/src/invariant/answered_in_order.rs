use std::collections::{BTreeMap, VecDeque};

use super::{Held, Invariant};
use crate::history::{
    Actor, Answer, ClientName, Event, Phase, Reply, Request, Seen, Sent, SubscribeRow,
};
use crate::topic_name::TopicName;

/// Each request of a connection is answered exactly once, in order, by an answer of its kind that
/// echoes its number.
#[derive(Default)]
pub(super) struct AnsweredInOrder {
    pending: BTreeMap<ClientName, VecDeque<Sent>>,
}

impl Invariant for AnsweredInOrder {
    fn name(&self) -> &'static str {
        "answered_in_order"
    }

    fn observe(&mut self, event: &Event, _: &Held<'_>) -> Result<(), String> {
        if matches!(event.seen, Seen::Phase(Phase::Rest)) {
            return self.nothing_is_pending();
        }
        let Actor::Client(client) = &event.actor else { return Ok(()) };
        match &event.seen {
            Seen::Connected { .. } => {
                self.pending.insert(client.clone(), VecDeque::new());
            }
            Seen::Leaves { .. } | Seen::Lost { .. } => {
                self.pending.remove(client);
            }
            Seen::Sent(sent) => {
                self.pending.entry(client.clone()).or_default().push_back(sent.clone());
            }
            Seen::Answered(answer) => {
                let pending = self.pending.entry(client.clone()).or_default();
                let Some(sent) = pending.pop_front() else {
                    return Err(format!("{client} was answered ({answer}) without having asked"));
                };
                return check(client, &sent, answer);
            }
            _ => {}
        }
        Ok(())
    }
}

impl AnsweredInOrder {
    fn nothing_is_pending(&self) -> Result<(), String> {
        let waiting = self.pending.iter().find_map(|(name, sent)| Some((name, sent.front()?)));
        match waiting {
            Some((client, sent)) => {
                let Sent { id, request } = sent;
                Err(format!("{client} was never answered its request {id} ({request})"))
            }
            None => Ok(()),
        }
    }
}

fn check(client: &ClientName, sent: &Sent, answer: &Answer) -> Result<(), String> {
    let Sent { id, request } = sent;
    let fits = match (request, &answer.reply) {
        (Request::Authenticate(Some(user)), Reply::Authenticated(as_user)) => user == as_user,
        (Request::Subscribe(topics), Reply::Subscribed(rows)) => rows_fit(topics, rows),
        (Request::Unsubscribe(_) | Request::UnsubscribeAll, Reply::Unsubscribed { .. })
        | (Request::SubscribeOrders, Reply::OrdersOn)
        | (Request::UnsubscribeOrders, Reply::OrdersOff)
        | (Request::Ping, Reply::Pong)
        | (Request::BrokerInfo, Reply::BrokerInfo { .. })
        | (Request::SupportedBrokers, Reply::SupportedBrokers(_)) => true,
        // These need neither broker nor permission.
        (_, Reply::Refused { code, .. }) if code == "RATE_LIMITED" => true,
        (Request::Ping | Request::SupportedBrokers, Reply::Refused { .. }) => false,
        (_, Reply::Refused { .. }) => true,
        (_, _) => false,
    };
    let echoes = match (request, answer.id) {
        (_, None) => true,
        (Request::Garbage(_), Some(_)) => false,
        (_, Some(echoed)) => echoed == *id,
    };
    if fits && echoes {
        return Ok(());
    }
    Err(format!("{client} asked {id} ({request}) and was answered {answer}"))
}

fn rows_fit(topics: &[TopicName], rows: &[SubscribeRow]) -> bool {
    let fits = |topic: &TopicName, row: &SubscribeRow| {
        topic.instrument().to_string() == row.instrument
            && row.mode.is_none_or(|mode| mode == topic.mode())
    };
    topics.len() == rows.len() && topics.iter().zip(rows).all(|(topic, row)| fits(topic, row))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, named, subscribed};
    use super::*;

    #[test]
    fn good_answers_are_good() {
        let mut story = Story::of(AnsweredInOrder::default());
        story.join("alice-1");
        story.subscribe("alice-1", "NSE:A/LTP");
        story.unsubscribe("alice-1", "NSE:A/LTP");
        story.phase(Phase::Rest);
    }

    #[test]
    fn an_answer_of_another_kind_number_or_topic_is_noticed() {
        for (id, reply) in [
            (1, Reply::Pong),
            (2, subscribed("NSE:A/LTP")),
            (1, subscribed("NSE:B/LTP")),
            (1, Reply::Subscribed(Vec::new())),
        ] {
            let mut story = Story::of(AnsweredInOrder::default());
            story.connect("alice-1");
            story.send("alice-1", Request::Subscribe(vec![named("NSE:A/LTP")]));
            assert!(story.answer("alice-1", id, reply.clone()).is_err(), "{reply}");
        }
    }

    #[test]
    fn a_second_answer_and_a_missing_answer_are_noticed() {
        let mut story = Story::of(AnsweredInOrder::default());
        story.connect("alice-1");
        let id = story.send("alice-1", Request::Ping);
        let rest = Seen::Phase(Phase::Rest);
        assert!(story.see(&Actor::Operator, rest).is_err_and(|error| error.contains("never")));
        story.answer("alice-1", id, Reply::Pong).expect("a good answer");
        assert!(story.answer("alice-1", id, Reply::Pong).is_err());
    }
}

use std::collections::BTreeMap;

use tickgate::topic::UserId;

use super::holdings::Settled;
use super::{Held, Invariant};
use crate::broker_host::BrokerHost;
use crate::history::{Actor, Answer, Call, Event, Reply, Request, Seen, Tick};
use crate::plan::Plan;

/// Brokers are kept apart: each gets commands for its own users only, and whatever names a user's
/// broker, be it an answer, a tick or the status page, names the right one.
pub(super) struct HostsKeepApart {
    first: BrokerHost,
    /// Of users whose broker is not the first.
    others: BTreeMap<UserId, BrokerHost>,
    /// What the gateway calls them, in their order.
    names: Vec<String>,
}

impl Invariant for HostsKeepApart {
    fn name(&self) -> &'static str {
        "hosts_keep_apart"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        match (&event.actor, &event.seen) {
            (Actor::Broker(host), Seen::Called(call)) => self.called(host, call),
            (Actor::Client(client), Seen::Answered(answer)) => {
                self.answered(answer, held.settled).map_err(|problem| format!("{client} {problem}"))
            }
            (Actor::Client(client), Seen::Tick(tick)) => {
                let user = held.client.and_then(|holding| holding.user.as_ref());
                self.ticked(tick, user).map_err(|problem| format!("{client} {problem}"))
            }
            (_, Seen::Status(status)) => {
                let users = status.users.iter().map(|row| (&row.user, row.broker.as_str()));
                let topics = status.topics.iter().map(|row| (&row.user, row.broker.as_str()));
                let named = users.chain(topics);
                let mut wrong = named.filter(|(user, broker)| self.name_of(user) != *broker);
                wrong.next().map_or(Ok(()), |(user, broker)| {
                    Err(format!("the status page says that the broker of {user} is {broker}"))
                })
            }
            (_, _) => Ok(()),
        }
    }
}

impl HostsKeepApart {
    pub fn new(plan: &Plan) -> Self {
        let others = plan.accounts.iter();
        Self {
            first: plan.broker.host.clone(),
            others: others.map(|it| (it.user.clone(), it.broker.clone())).collect(),
            names: plan.brokers().map(|broker| broker.host.configured().to_owned()).collect(),
        }
    }

    fn host_of(&self, user: &UserId) -> &BrokerHost {
        self.others.get(user).unwrap_or(&self.first)
    }

    fn name_of(&self, user: &UserId) -> &str {
        self.host_of(user).configured()
    }

    fn called(&self, host: &BrokerHost, call: &Call) -> Result<(), String> {
        let user = &call.user;
        if self.host_of(user) == host {
            return Ok(());
        }
        Err(format!("{host} was told to {} for {user}, who is at {}", call.op, self.host_of(user)))
    }

    fn answered(&self, answer: &Answer, settled: Option<&Settled>) -> Result<(), String> {
        if let Reply::SupportedBrokers(names) = &answer.reply
            && *names != self.names
        {
            return Err(format!("was told that the brokers are {}", names.join(", ")));
        }
        let user = settled.and_then(|settled| match (&settled.request, &settled.reply) {
            (Request::Authenticate(_), Reply::Authenticated(user)) => Some(user),
            (_, _) => settled.was.as_ref(),
        });
        match (user, &answer.broker) {
            (Some(user), Some(broker)) if self.name_of(user) != broker => {
                Err(format!("was told that the broker of {user} is {broker}"))
            }
            (_, _) => Ok(()),
        }
    }

    fn ticked(&self, tick: &Tick, user: Option<&UserId>) -> Result<(), String> {
        match (user, &tick.broker) {
            (Some(user), Some(broker)) if self.name_of(user) != &**broker => {
                let topic = &tick.topic;
                Err(format!("read {topic} of {broker}, and is {user} of {}", self.name_of(user)))
            }
            (_, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, client, named, page, two_brokers};
    use super::*;
    use crate::history::Op;

    /// alice is at paper and bob at zerodha.
    fn story() -> Story<HostsKeepApart> {
        let mut story = Story::of(HostsKeepApart::new(&two_brokers()));
        story.join("alice-1");
        story
    }

    fn told(request: Request, reply: Reply, broker: Option<&str>) -> Result<(), String> {
        let mut story = story();
        let id = Some(story.send("alice-1", request));
        let broker = broker.map(str::to_owned);
        story.see(&client("alice-1"), Seen::Answered(Answer { id, reply, broker }))
    }

    #[test]
    fn a_command_for_a_user_of_another_host_is_noticed() {
        let mut story = story();
        let mut call = |host| {
            let call = story.call("bob", 1, Op::Connect);
            story.see(&Actor::Broker(BrokerHost::named(host)), Seen::Called(call))
        };
        assert_eq!(call("zerodha"), Ok(()));
        assert!(call("paper").is_err());
    }

    #[test]
    fn an_answer_that_names_another_broker_is_noticed() {
        let on = Reply::OrdersOn;
        assert_eq!(told(Request::SubscribeOrders, on.clone(), Some("paper")), Ok(()));
        assert_eq!(told(Request::SubscribeOrders, on.clone(), None), Ok(()));
        assert!(told(Request::SubscribeOrders, on, Some("zerodha")).is_err());
        let brokers = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            told(Request::SupportedBrokers, Reply::SupportedBrokers(names), None)
        };
        assert_eq!(brokers(&["paper", "zerodha"]), Ok(()));
        assert!(brokers(&["paper"]).is_err());
    }

    #[test]
    fn a_tick_or_a_page_that_names_another_broker_is_noticed() {
        let tick = |broker: &str| {
            let topic = named("NSE:A/LTP");
            let source = topic.mode();
            let tick = Tick { broker: Some(broker.into()), ..Tick::new(topic, source, 1) };
            story().see(&client("alice-1"), Seen::Tick(tick))
        };
        assert_eq!(tick("paper"), Ok(()));
        assert!(tick("zerodha").is_err());
        let status = |broker: &str| {
            let mut page = page(&[("bob", 1)], &[]);
            page.users[0].broker = broker.into();
            story().status(page)
        };
        assert_eq!(status("zerodha"), Ok(()));
        assert!(status("paper").is_err());
    }
}

use std::collections::BTreeSet;

use tickgate::server::status::{BrokerState, SessionState, Status};
use tickgate::topic::UserId;

use super::holdings::Settled;
use super::success_after_the_broker::CONNECTED;
use super::{Held, Invariant};
use crate::broker_host::BrokerHost;
use crate::fault::Party;
use crate::history::{Event, Phase, Reply, Request, RowOutcome, Seen};
use crate::plan::{BrokerPlan, Plan};
use crate::scenario::Manner;

/// What becomes of a broker host touches nobody at another: a host to which nothing happens stays
/// up, none of its users' sessions goes down under them, and no request of theirs fails for a
/// broker's sake.
///
/// Judged are worlds of several hosts in which one is spared, until the gateway is told to stop.
pub(super) struct HostsFailAlone {
    spared: Vec<BrokerHost>,
    /// Users of those whose credentials have not changed.
    users: BTreeSet<UserId>,
    playing: bool,
}

impl Invariant for HostsFailAlone {
    fn name(&self) -> &'static str {
        "hosts_fail_alone"
    }

    fn observe(&mut self, event: &Event, held: &Held<'_>) -> Result<(), String> {
        if self.spared.is_empty() {
            return Ok(());
        }
        match &event.seen {
            Seen::Phase(phase) => self.playing = (Phase::Play..Phase::Leave).contains(phase),
            Seen::Invalidated { user } => drop(self.users.remove(user)),
            Seen::Status(status) if self.playing => return self.shown(status),
            Seen::Answered(_) => return held.settled.map_or(Ok(()), |settled| self.told(settled)),
            _ => {}
        }
        Ok(())
    }
}

impl HostsFailAlone {
    pub fn new(plan: &Plan) -> Self {
        let several = !plan.more_brokers.is_empty();
        let calm = several
            && !plan.faults.touches(&Party::Gateway)
            && plan.stop_at_ms.is_none()
            && plan.keys.is_empty()
            && plan.gateway.quirks.calls_per_second.is_none();
        let spared = plan.brokers().filter(|broker| calm && is_spared(plan, broker));
        let spared: Vec<BrokerHost> = spared.map(|broker| broker.host.clone()).collect();
        let users = plan.users.iter().filter(|user| spared.contains(plan.host_of(user)));
        Self { users: users.cloned().collect(), spared, playing: false }
    }

    fn told(&self, settled: &Settled) -> Result<(), String> {
        let Settled { client, request, reply, was, .. } = settled;
        let user = match request {
            Request::Authenticate(user) => user.as_ref(),
            _ => was.as_ref(),
        };
        let Some(user) = user.filter(|user| self.users.contains(user)) else { return Ok(()) };
        let code = match reply {
            Reply::BrokerInfo { session, .. } if session != CONNECTED => session,
            Reply::Refused { code, .. } if is_a_brokers(code) => code,
            Reply::Subscribed(rows) => {
                let mut codes = rows.iter().filter_map(|row| match &row.outcome {
                    RowOutcome::Failed { code } if is_a_brokers(code) => Some(code),
                    _ => None,
                });
                let Some(code) = codes.next() else { return Ok(()) };
                code
            }
            _ => return Ok(()),
        };
        Err(format!(
            "{client} asked to {request} as {user} and got {code}, though nothing happens to its \
             broker"
        ))
    }

    fn shown(&self, status: &Status) -> Result<(), String> {
        let spared = |name: &str| self.spared.iter().any(|host| host.configured() == name);
        let mut brokers = status.brokers.iter().filter(|row| spared(row.name.as_str()));
        if let Some(broker) = brokers.find(|row| row.state != BrokerState::Up) {
            return Err(format!("{} is shown as down, and nothing happens to it", broker.name));
        }
        let mut users = status.users.iter().filter(|row| self.users.contains(&row.user));
        let down = users.find(|row| row.clients > 0 && row.session.state == SessionState::Down);
        down.map_or(Ok(()), |row| {
            let user = &row.user;
            Err(format!("the session of {user} is down, and nothing happens to its broker"))
        })
    }
}

/// Whether nothing goes wrong at a host or on the way to it.
fn is_spared(plan: &Plan, broker: &BrokerPlan) -> bool {
    let topics = broker.topics.iter().flat_map(|rule| [rule.subscribe, rule.unsubscribe]);
    let sessions = broker.sessions.iter().flat_map(|rule| [rule.connect, rule.disconnect]);
    let normal = topics.chain(sessions).all(|manner| manner == Manner::Normal);
    let party = Party::Broker(broker.host.clone());
    normal && broker.incidents.is_empty() && !plan.faults.touches(&party)
}

fn is_a_brokers(code: &str) -> bool {
    code.starts_with("BROKER_")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, failed, page, two_brokers};
    use super::*;
    use crate::plan::{Incident, IncidentKind};

    /// paper, where alice is, dies.
    fn story() -> Story<HostsFailAlone> {
        let mut plan = two_brokers();
        plan.broker.incidents.push(Incident { at_ms: 5, what: IncidentKind::Die(9) });
        let mut story = Story::of(HostsFailAlone::new(&plan));
        story.phase(Phase::Play);
        story.join("alice-1");
        story.join("bob-1");
        story
    }

    fn fails(name: &str) -> Result<(), String> {
        let mut story = story();
        let topic: crate::topic_name::TopicName = "NSE:A/LTP".parse().expect("it is one");
        let id = story.send(name, Request::Subscribe(vec![topic]));
        story.answer(name, id, failed("NSE:A/LTP"))
    }

    #[test]
    fn a_failure_at_the_host_that_is_spared_is_noticed() {
        assert_eq!(fails("alice-1"), Ok(()));
        assert!(fails("bob-1").is_err());
    }

    #[test]
    fn a_session_that_is_lost_at_the_host_that_is_spared_is_noticed() {
        let lost = |user: &str| {
            let mut page = page(&[("alice", 1), ("bob", 1)], &[]);
            let row = page.users.iter_mut().find(|row| row.user.as_str() == user);
            row.expect("it is there").session.state = SessionState::Down;
            story().status(page)
        };
        assert_eq!(lost("alice"), Ok(()));
        assert!(lost("bob").is_err());
    }
}

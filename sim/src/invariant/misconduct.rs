//! Which rules clients have broken, as far as anybody can see who reads what they say and hear.

use std::collections::{BTreeMap, BTreeSet};

use tickgate::topic::UserId;

use crate::history::{Actor, ClientName, Event, KeyChange, Reply, Request, Seen};
use crate::plan::{OrderKind, Plan};

/// Threat levels as the gateway could have reckoned them at most: nothing is forgotten with time.
#[derive(Debug, Default)]
pub(super) struct Misconduct {
    hosts: BTreeMap<ClientName, u32>,
    /// Whose keys were gone at some moment, and may be wrong ones.
    lost_keys: BTreeSet<UserId>,
    close_at: usize,
    strikes_max: usize,
    /// Of the present connection of each client.
    levels: BTreeMap<ClientName, usize>,
    /// How many requests of it were not answered. Each may have broken a rule too.
    unanswered: BTreeMap<ClientName, usize>,
    /// Connections of each host, before the present ones, that can have been closed for their
    /// conduct.
    strikes: BTreeMap<u32, usize>,
    /// Hosts that an administrator has blocked, now or before.
    ordered: BTreeSet<u32>,
}

impl Misconduct {
    pub fn new(plan: &Plan) -> Self {
        let clients = plan.clients.iter();
        Self {
            hosts: clients.map(|client| (client.name.as_str().into(), client.host)).collect(),
            close_at: plan.gateway.close_at,
            strikes_max: plan.gateway.strikes_max,
            ..Self::default()
        }
    }

    /// Takes an event in.
    pub fn observe(&mut self, event: &Event) {
        if let Seen::KeyChanges(KeyChange { user, role: None }) = &event.seen {
            self.lost_keys.insert(user.clone());
        }
        if let Seen::Administered(OrderKind::Block(host)) = &event.seen {
            self.ordered.insert(*host);
        }
        let Actor::Client(client) = &event.actor else { return };
        match &event.seen {
            Seen::Connected { .. } => {
                if self.may_be_closed(client) {
                    *self.strikes.entry(self.host_of(client)).or_default() += 1;
                }
                self.levels.insert(client.clone(), 0);
                self.unanswered.insert(client.clone(), 0);
            }
            Seen::Answered(answer) => {
                let unanswered = self.unanswered.entry(client.clone()).or_default();
                *unanswered = unanswered.saturating_sub(1);
                // An answer tells of the rate; what is garbage one knows when it is sent.
                if matches!(&answer.reply, Reply::Refused { code, .. } if code == "RATE_LIMITED") {
                    self.broke(client, 1);
                }
            }
            Seen::Sent(sent) => {
                *self.unanswered.entry(client.clone()).or_default() += 1;
                match &sent.request {
                    Request::Garbage(_) => self.broke(client, 3),
                    Request::Authenticate(None) => self.broke(client, 2),
                    Request::Authenticate(Some(user)) if self.lost_keys.contains(user) => {
                        self.broke(client, 2);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn broke(&mut self, client: &ClientName, weight: usize) {
        *self.levels.entry(client.clone()).or_default() += weight;
    }

    fn host_of(&self, client: &ClientName) -> u32 {
        self.hosts.get(client).copied().unwrap_or_default()
    }

    /// Whether a client may be closed for its conduct.
    pub fn may_be_closed(&self, client: &ClientName) -> bool {
        let of = |table: &BTreeMap<ClientName, usize>| table.get(client).copied().unwrap_or(0);
        of(&self.levels) + of(&self.unanswered) >= self.close_at
    }

    /// Whether the host of a client may be blocked: enough of its clients can have broken enough
    /// rules, or an administrator has said so. Whoever is closed for its conduct may be the last to
    /// hear of it, when others of its host are out already.
    pub fn may_be_blocked(&self, client: &ClientName) -> bool {
        let host = self.host_of(client);
        let gone = self.strikes.get(&host).copied().unwrap_or_default();
        let here = || self.levels.keys().filter(|name| self.host_of(name) == host);
        let strikes = || gone + here().filter(|name| self.may_be_closed(name)).count();
        self.strikes_max > 0 && strikes() >= self.strikes_max || self.ordered.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, plan};
    use super::*;
    use crate::history::{Answer, Sent};

    #[derive(Default)]
    struct Tale {
        misconduct: Misconduct,
        at_us: u64,
    }

    impl Tale {
        /// Two clients of one host, one of another; three broken rules are too many.
        fn begin() -> Self {
            let hosts = [("alice-1", 0), ("alice-2", 0), ("bob-1", 1)];
            let hosts = hosts.map(|(name, host)| (ClientName::from(name), host));
            let plan = plan();
            let misconduct = Misconduct {
                hosts: hosts.into_iter().collect(),
                close_at: 3,
                strikes_max: 1,
                ..Misconduct::new(&plan)
            };
            let mut tale = Self { misconduct, at_us: 0 };
            for name in ["alice-1", "alice-2", "bob-1"] {
                tale.connect(name);
            }
            tale
        }

        fn see(&mut self, name: &str, seen: Seen) {
            self.at_us += 1_000;
            let event = Event { at_us: self.at_us, actor: client(name), seen };
            self.misconduct.observe(&event);
        }

        fn connect(&mut self, name: &str) {
            self.see(name, Seen::Connected { connection: 1 });
        }

        fn send(&mut self, name: &str, request: Request) {
            self.see(name, Seen::Sent(Sent { id: 1, request }));
        }

        fn blocked(&self) -> Vec<&str> {
            let names = ["alice-1", "alice-2", "bob-1"];
            names
                .into_iter()
                .filter(|name| self.misconduct.may_be_blocked(&(*name).into()))
                .collect()
        }
    }

    #[test]
    fn who_is_not_answered_any_more_may_have_had_its_host_blocked() {
        let mut tale = Tale::begin();
        tale.send("alice-1", Request::Ping);
        tale.send("alice-1", Request::Ping);
        assert_eq!(tale.blocked(), [""; 0]);
        tale.send("alice-1", Request::Ping);
        assert_eq!(tale.blocked(), ["alice-1", "alice-2"], "all three can have been too many");
        for _ in 0..3 {
            let answer = Answer { id: Some(1), reply: Reply::Pong, broker: None };
            tale.see("alice-1", Seen::Answered(answer));
        }
        assert_eq!(tale.blocked(), [""; 0], "none of them was");
    }

    #[test]
    fn what_a_connection_was_blocked_for_is_not_forgotten_with_it() {
        let mut tale = Tale::begin();
        tale.send("bob-1", Request::Garbage("{".into()));
        assert_eq!(tale.blocked(), ["bob-1"]);
        tale.connect("bob-1");
        assert_eq!(tale.blocked(), ["bob-1"]);
    }
}

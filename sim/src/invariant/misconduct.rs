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
    /// Clients of each host that can have been closed for their conduct so far.
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
        let level = self.levels.entry(client.clone()).or_default();
        let was_below = *level < self.close_at;
        *level += weight;
        if was_below && *level >= self.close_at {
            let host = self.hosts.get(client).copied().unwrap_or_default();
            *self.strikes.entry(host).or_default() += 1;
        }
    }

    /// Whether a client may be closed for its conduct.
    pub fn may_be_closed(&self, client: &ClientName) -> bool {
        let of = |table: &BTreeMap<ClientName, usize>| table.get(client).copied().unwrap_or(0);
        of(&self.levels) + of(&self.unanswered) >= self.close_at
    }

    /// Whether the host of a client may be blocked: enough of its clients broke enough rules, or an
    /// administrator has said so.
    pub fn may_be_blocked(&self, client: &ClientName) -> bool {
        let host = self.hosts.get(client).copied().unwrap_or_default();
        let strikes = self.strikes.get(&host).copied().unwrap_or_default();
        self.strikes_max > 0 && strikes >= self.strikes_max || self.ordered.contains(&host)
    }
}

//! What others may ask the model.

use std::hash::{Hash, Hasher};

use super::words::{BROKERS, BrokerNo, ClientNo, SHARDS, Topic, UserNo};
use super::{AtBroker, Busy, Life, Model, OpenRow, Standing, Work};

/// The model at one moment, in the terms in which an operator sees the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Open connections.
    pub clients: usize,
    /// Those that are in.
    pub authenticated: usize,
    /// Accounts: user, broker, session, state, clients, followers of orders.
    pub accounts: Vec<(UserNo, BrokerNo, u64, &'static str, usize, usize)>,
    /// Topics: user, topic, reference count, state.
    pub topics: Vec<(UserNo, Topic, usize, &'static str)>,
    /// Commands that are not answered.
    pub commands: usize,
    /// Pairs of broker and topic that somebody wants.
    pub routes: usize,
}

impl Model {
    /// The model as an operator would see it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            clients: self.clients.len(),
            authenticated: self.clients.iter().filter(|client| client.is_in()).count(),
            commands: self.flights.len(),
            ..Summary::default()
        };
        for (user, account) in (0..).zip(&self.accounts) {
            let Some(account) = account else { continue };
            let follows = |no: &&ClientNo| {
                self.clients.iter().any(|client| client.no == **no && client.follows_orders)
            };
            let followers = account.clients.iter().filter(follows).count();
            let state = account.life.word();
            let (broker, session) = (account.broker, account.session);
            let clients = account.clients.len();
            summary.accounts.push((user, broker, session, state, clients, followers));
            let mut topics: Vec<_> = account
                .shares
                .iter()
                .map(|share| (user, share.topic, share.holders.len(), share.at_broker.word()))
                .collect();
            topics.sort();
            summary.topics.extend(topics);
        }
        let routes = self.routes();
        let wanted = routes.iter().map(|shards| shards.iter().fold(0, |all, set| all | set));
        summary.routes = wanted.map(|set: u32| set.count_ones() as usize).sum();
        summary
    }

    /// What feed and shards are to deliver: a set of topics for each broker and shard.
    #[must_use]
    pub fn routes(&self) -> [[u32; SHARDS]; BROKERS] {
        let mut routes = [[0; SHARDS]; BROKERS];
        for client in &self.clients {
            let Some((user, _)) = client.account else { continue };
            let Some(account) = &self.accounts[user as usize] else { continue };
            let set = &mut routes[account.broker as usize][client.shard as usize];
            *set = client.wants.iter().fold(*set, |set, topic| set | topic.bit());
        }
        routes
    }

    /// The topics of a user that somebody wants, as a set; `None` if there is no such account.
    #[must_use]
    pub fn wanted(&self, user: UserNo) -> Option<(BrokerNo, u32)> {
        let account = self.accounts[user as usize].as_ref()?;
        let held = account.shares.iter().filter(|share| !share.holders.is_empty());
        Some((account.broker, held.fold(0, |set, share| set | share.topic.bit())))
    }

    /// Whether nothing is left: neither clients nor accounts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.accounts.iter().all(Option::is_none)
    }

    /// Whether the gateway is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether all that is wanted is there, all that is not wanted is gone, and nobody waits.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let mut accounts = self.accounts.iter().flatten();
        let served = |account: &super::Account| {
            let is_right = match account.life {
                Life::Open => !account.clients.is_empty() && !self.draining && !account.outdated,
                Life::None => self.draining,
                Life::Opening(_) | Life::Closing(_) | Life::Unknown => false,
            };
            let all_on = account.shares.iter().all(|share| {
                let agreed = share.holders.iter().all(|holder| holder.agreed);
                agreed && !share.holders.is_empty() && share.at_broker == AtBroker::On
            });
            is_right && (self.draining || all_on)
        };
        accounts.all(served) && self.clients.iter().all(|client| client.busy.is_none())
    }

    /// Every number of a command that matters, and of a session.
    pub fn numbers(&self, commands: &mut Vec<u64>, sessions: &mut Vec<u64>) {
        commands.extend(self.flights.iter().map(|flight| flight.command));
        sessions.extend(self.accounts.iter().flatten().map(|account| account.session));
    }

    /// Hashes all that decides what happens next. Numbers are replaced by their ranks in
    /// `commands` and `sessions`, and times by their distance from now, so that two ways to the
    /// same state are seen to be the same.
    pub fn fingerprint(&self, hasher: &mut impl Hasher, commands: &[u64], sessions: &[u64]) {
        let rank = |number: u64| commands.binary_search(&number).unwrap_or(usize::MAX);
        let left = |at_ms: u64| at_ms.saturating_sub(self.now_ms);
        (self.draining, self.reachable).hash(hasher);
        for client in &self.clients {
            let standing = client.account.map(|(user, at)| (user, at == Standing::Joined));
            (client.no, client.shard, standing, client.closing, client.follows_orders).hash(hasher);
            client.authenticate_by_ms.map(left).hash(hasher);
            client.wants.hash(hasher);
            client.queue.len().hash(hasher);
            for waiting in &client.queue {
                format!("{waiting:?}").hash(hasher);
            }
            let Some(Busy { until_ms, with, .. }) = &client.busy else { continue };
            left(*until_ms).hash(hasher);
            match with {
                Work::Authenticating => {}
                Work::Moving(user, broker) => (user, broker).hash(hasher),
                Work::Subscribing(rows) => rows.iter().for_each(|row| hash_row(&row, hasher)),
            }
        }
        for account in &self.accounts {
            let Some(account) = account else {
                0_u8.hash(hasher);
                continue;
            };
            let session = sessions.binary_search(&account.session).unwrap_or(usize::MAX);
            (account.broker, &account.clients, session).hash(hasher);
            (std::mem::discriminant(&account.life), account.life.command().map(rank)).hash(hasher);
            (account.in_doubt, account.outdated).hash(hasher);
            account.pause.relative(self.now_ms).hash(hasher);
            for share in &account.shares {
                let state = share.at_broker;
                (share.topic, std::mem::discriminant(&state), state.command().map(rank))
                    .hash(hasher);
                (share.in_doubt, share.deepest, share.levels).hash(hasher);
                share.pause.relative(self.now_ms).hash(hasher);
                for holder in &share.holders {
                    (holder.client, holder.asked, holder.agreed).hash(hasher);
                }
            }
        }
        self.movers.hash(hasher);
        for flight in &self.flights {
            (rank(flight.command), left(flight.until_ms)).hash(hasher);
        }
    }
}

fn hash_row(row: &OpenRow, hasher: &mut impl Hasher) {
    match row {
        OpenRow::Done(row) => format!("{row:?}").hash(hasher),
        OpenRow::Waits { topic, asked, pace_ms } => (topic, asked, pace_ms).hash(hasher),
        OpenRow::SameAs { row, topic } => (row, topic).hash(hasher),
    }
}

impl super::Client {
    fn is_in(&self) -> bool {
        matches!(self.account, Some((_, Standing::Joined)))
    }
}

impl Life {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opening(_) => "opening",
            Self::Open => "open",
            Self::Closing(_) => "closing",
            Self::Unknown => "unknown",
        }
    }

    const fn command(self) -> Option<u64> {
        match self {
            Self::Opening(command) | Self::Closing(command) => Some(command),
            Self::None | Self::Open | Self::Unknown => None,
        }
    }
}

impl AtBroker {
    const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::TurningOn(_) => "turning on",
            Self::On => "on",
            Self::TurningOff(_) => "turning off",
            Self::Unknown => "unknown",
        }
    }

    const fn command(self) -> Option<u64> {
        match self {
            Self::TurningOn(command) | Self::TurningOff(command) => Some(command),
            Self::Off | Self::On | Self::Unknown => None,
        }
    }
}

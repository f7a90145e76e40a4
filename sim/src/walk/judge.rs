//! Compares what the engine does with what the model expects.

use tickgate::engine::{Change, Effect, HubSnapshot, RouteId, SessionState, Upstream};
use tickgate::protocol::{Answer, RequestId};

use super::translate::Dictionary;
use crate::model::words::{
    BROKERS, BrokerNo, ClientNo, Delivery, Line, OrdersChange, SHARDS, TOPICS, Topic,
};
use crate::model::{Expected, Summary};

/// What feed and shards have been told so far.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Which topic each route number stands for, ever.
    names: Vec<Option<(BrokerNo, Topic)>>,
    /// Routes with interest, and the set of shards that have it.
    live: Vec<(RouteId, u8)>,
    /// Who is on which routes.
    joined: Vec<Joined>,
    /// Kept between steps for its memory alone.
    seen: Seen,
}

/// What of the expected was seen: deliveries, closes, gone clients, lines of the log.
#[derive(Clone, Debug, Default)]
struct Seen {
    deliveries: Vec<bool>,
    closes: Vec<bool>,
    gone: Vec<bool>,
    log: Vec<bool>,
}

#[derive(Clone, Debug)]
struct Joined {
    client: ClientNo,
    shard: usize,
    routes: Vec<RouteId>,
}

impl Judge {
    /// Judges the effects of one step, in their order.
    ///
    /// # Errors
    ///
    /// Fails with the first difference.
    pub fn step(
        &mut self,
        dictionary: &Dictionary,
        effects: &[Effect],
        expected: &Expected,
        routes: &[[u32; SHARDS]; BROKERS],
    ) -> Result<(), String> {
        let mut open = Open::new(expected, std::mem::take(&mut self.seen));
        for effect in effects {
            match effect {
                // Which session serves a route, the hub's own check compares with its sessions.
                Effect::Command { .. } | Effect::Served { .. } => {}
                Effect::Deliver { client, shard, change, answer } => {
                    let (add, remove) = self.route(client.0, *shard, change)?;
                    let orders = dictionary.orders(&change.orders);
                    let paces = self.paces(change)?;
                    let client = client.0;
                    let seen = SeenDelivery { client, answer, add, paces, remove, orders };
                    open.delivery(dictionary, &seen)?;
                }
                Effect::Interest { route, topic, broker, shard, wanted } => {
                    let topic = dictionary.topic_no(topic);
                    let broker = dictionary.broker_no(broker);
                    self.interest(*route, broker, topic, *shard, *wanted)?;
                }
                Effect::Close { client, code, .. } => open.close(client.0, *code)?,
                Effect::Detach { client, .. } => {
                    self.joined.retain(|joined| joined.client != client.0);
                    open.gone(client.0)?;
                }
                Effect::Administer { .. } | Effect::Notice { .. } => {
                    return Err(format!("nobody asked for {effect:?}"));
                }
                Effect::Note(note) => open.line(&dictionary.line(note))?,
                Effect::Audience { .. } => return Err("nothing is broadcast here".into()),
            }
        }
        self.seen = open.end()?;
        let interest = self.interest_by_topic()?;
        if interest != *routes {
            return Err(format!("interest is {interest:?}, wanted is {routes:?}"));
        }
        Ok(())
    }

    fn interest_by_topic(&self) -> Result<[[u32; SHARDS]; BROKERS], String> {
        let mut interest = [[0; SHARDS]; BROKERS];
        for (route, shards) in &self.live {
            let (broker, topic) = self.name(*route)?;
            for (shard, set) in interest[broker as usize].iter_mut().enumerate() {
                if shards & (1 << shard) != 0 {
                    if *set & topic.bit() != 0 {
                        return Err(format!("{topic} has two numbers on shard {shard}"));
                    }
                    *set |= topic.bit();
                }
            }
        }
        Ok(interest)
    }

    /// Which of the topics that a client joins have a pace, by topic.
    fn paces(&self, change: &Change) -> Result<Vec<(Topic, u64)>, String> {
        if change.paces.is_empty() {
            return Ok(Vec::new());
        }
        let pace = |(route, pace_ms): (&RouteId, &u64)| Ok((self.name(*route)?.1, *pace_ms));
        let mut paces: Vec<_> = change.paces.iter().map(pace).collect::<Result<_, String>>()?;
        paces.sort();
        Ok(paces)
    }

    /// A client joins and leaves routes: the sets of topics that it joins and leaves.
    fn route(
        &mut self,
        client: ClientNo,
        shard: usize,
        change: &Change,
    ) -> Result<(u32, u32), String> {
        if change.add.is_empty() && change.remove.is_empty() {
            return Ok((0, 0));
        }
        let at = self.joined.iter().position(|joined| joined.client == client);
        let at = at.unwrap_or_else(|| {
            self.joined.push(Joined { client, shard, routes: Vec::new() });
            self.joined.len() - 1
        });
        let (mut add, mut remove) = (0, 0);
        for route in &change.remove {
            remove |= self.name(*route)?.1.bit();
            self.joined[at].routes.retain(|joined| joined != route);
        }
        for route in &change.add {
            let (_, topic) = self.name(*route)?;
            add |= topic.bit();
            if self.joined[at].routes.contains(route) {
                return Err(format!("c{client} joins {topic} twice"));
            }
            self.joined[at].routes.push(*route);
            let is_live = |live: &(RouteId, u8)| live.0 == *route && live.1 & (1 << shard) != 0;
            if !self.live.iter().any(is_live) {
                return Err(format!("c{client} joins {topic}, of which the feed does not know"));
            }
        }
        Ok((add, remove))
    }

    fn interest(
        &mut self,
        route: RouteId,
        broker: BrokerNo,
        topic: Topic,
        shard: usize,
        wanted: bool,
    ) -> Result<(), String> {
        let number = route.0 as usize;
        if self.names.len() <= number {
            self.names.resize(number + 1, None);
        }
        if self.names[number].get_or_insert((broker, topic)) != &(broker, topic) {
            return Err(format!("the number {number} stands for two topics"));
        }
        let known = self.live.iter().position(|(live, _)| *live == route);
        let at = known.unwrap_or_else(|| {
            self.live.push((route, 0));
            self.live.len() - 1
        });
        let shards = &mut self.live[at].1;
        if (*shards & (1 << shard) != 0) == wanted {
            return Err(format!("interest in {topic} on shard {shard} is told twice: {wanted}"));
        }
        *shards ^= 1 << shard;
        if *shards == 0 {
            self.live.swap_remove(at);
        }
        let is_on = |joined: &&Joined| joined.shard == shard && joined.routes.contains(&route);
        match self.joined.iter().find(is_on) {
            Some(joined) if !wanted => {
                Err(format!("c{} is on {topic}, which shard {shard} forgets", joined.client))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn name(&self, route: RouteId) -> Result<(BrokerNo, Topic), String> {
        let name = self.names.get(route.0 as usize).copied().flatten();
        name.ok_or_else(|| format!("a client is told of the unknown route {}", route.0))
    }
}

/// What a step has not fulfilled yet.
struct Open<'a> {
    expected: &'a Expected,
    seen: Seen,
}

struct SeenDelivery<'a> {
    client: ClientNo,
    answer: &'a Option<(Answer, Option<RequestId>)>,
    add: u32,
    paces: Vec<(Topic, u64)>,
    remove: u32,
    orders: OrdersChange,
}

impl<'a> Open<'a> {
    fn new(expected: &'a Expected, mut seen: Seen) -> Self {
        seen.deliveries.clear();
        seen.deliveries.resize(expected.deliveries.len(), false);
        seen.closes.clear();
        seen.closes.resize(expected.closes.len(), false);
        seen.gone.clear();
        seen.gone.resize(expected.gone.len(), false);
        seen.log.clear();
        seen.log.resize(expected.log.len(), false);
        Self { expected, seen }
    }

    /// Each client sees its own in order; between clients there is no order.
    fn delivery(&mut self, dictionary: &Dictionary, seen: &SeenDelivery<'_>) -> Result<(), String> {
        let is_of = |delivery: &Delivery| delivery.client == seen.client;
        let Some(delivery) = take(&self.expected.deliveries, &mut self.seen.deliveries, is_of)
        else {
            return Err(format!(
                "c{} is told something unexpected: {:?}",
                seen.client, seen.answer
            ));
        };
        let answer_is_right = match (seen.answer, &delivery.answer) {
            (None, None) => true,
            (Some((answer, echoed)), Some((say, id))) => {
                is_echo(echoed.as_ref(), *id) && dictionary.is(answer, say)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !answer_is_right {
            let (seen, say) = (seen.answer, &delivery.answer);
            return Err(format!("c{} is told {seen:?} instead of {say:?}", delivery.client));
        }
        if seen.paces != delivery.paces {
            let (client, paces) = (delivery.client, &seen.paces);
            return Err(format!("c{client} has the paces {paces:?} instead of {delivery:?}"));
        }
        let (routes, orders) = ((seen.add, seen.remove), seen.orders);
        if (routes, orders) != ((delivery.add, delivery.remove), delivery.orders) {
            return Err(format!(
                "c{} is routed {routes:?} {orders:?} instead of {delivery:?}",
                delivery.client
            ));
        }
        Ok(())
    }

    fn close(&mut self, client: ClientNo, code: u16) -> Result<(), String> {
        let is_it = |close: &(ClientNo, u16)| *close == (client, code);
        let found = take(&self.expected.closes, &mut self.seen.closes, is_it);
        found.map(|_| ()).ok_or_else(|| format!("c{client} is closed with {code}"))
    }

    fn gone(&mut self, client: ClientNo) -> Result<(), String> {
        let found = take(&self.expected.gone, &mut self.seen.gone, |gone| *gone == client);
        found.map(|_| ()).ok_or_else(|| format!("c{client} is forgotten"))
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        let found = take(&self.expected.log, &mut self.seen.log, |expected| expected == line);
        found.map(|_| ()).ok_or_else(|| format!("the log says {line:?}"))
    }

    fn end(self) -> Result<Seen, String> {
        let Expected { deliveries, closes, gone, log } = self.expected;
        let seen = self.seen;
        if let Some(missing) = missing(deliveries, &seen.deliveries) {
            return Err(format!("c{} is not told {:?}", missing.client, missing.answer));
        }
        if let Some((client, code)) = missing(closes, &seen.closes) {
            return Err(format!("c{client} is not closed with {code}"));
        }
        if let Some(client) = missing(gone, &seen.gone) {
            return Err(format!("c{client} is not forgotten"));
        }
        if let Some(line) = missing(log, &seen.log) {
            return Err(format!("the log does not say {line:?}"));
        }
        Ok(seen)
    }
}

/// The first expected one of this kind that was not seen yet; it is seen now.
fn take<'a, T>(
    expected: &'a [T],
    seen: &mut [bool],
    mut is_it: impl FnMut(&T) -> bool,
) -> Option<&'a T> {
    let at = (0..expected.len()).find(|at| !seen[*at] && is_it(&expected[*at]))?;
    seen[at] = true;
    Some(&expected[at])
}

fn missing<'a, T>(expected: &'a [T], seen: &[bool]) -> Option<&'a T> {
    let at = seen.iter().position(|seen| !seen)?;
    expected.get(at)
}

fn is_echo(echoed: Option<&RequestId>, id: Option<u32>) -> bool {
    match (echoed, id) {
        (None, None) => true,
        (Some(echoed), Some(id)) => echoed.get().parse() == Ok(id),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The engine at one moment, in the model's words: what an operator is told.
#[must_use]
pub fn summary(dictionary: &Dictionary, snapshot: &HubSnapshot) -> Summary {
    let accounts = snapshot.sessions.iter().map(|at| {
        let state = match at.state {
            SessionState::Down => "none",
            SessionState::Connecting(_) => "opening",
            SessionState::Up => "open",
            SessionState::Emptying(_) => "emptying",
            SessionState::Closing(_) => "closing",
            SessionState::Unsure => "unknown",
        };
        let (user, broker) = (dictionary.user_no(&at.user), dictionary.broker_no(&at.broker));
        (user, broker, at.session, state, at.clients, at.orders_clients)
    });
    let topics = snapshot.topics.iter().map(|at| {
        let state = match at.state {
            Upstream::Off => "off",
            Upstream::TurningOn(_) => "turning on",
            Upstream::On => "on",
            Upstream::TurningOff(_) => "turning off",
            Upstream::Unsure => "unknown",
        };
        (dictionary.user_no(&at.user), dictionary.topic_no(&at.topic), at.count, state)
    });
    let mut topics: Vec<_> = topics.collect();
    topics.sort();
    const { assert!(TOPICS <= 32, "a set of topics fits 32 bits") };
    Summary {
        clients: snapshot.clients,
        authenticated: snapshot.authenticated,
        accounts: accounts.collect(),
        topics,
        commands: snapshot.commands_by_broker.values().sum(),
        routes: snapshot.routes,
    }
}

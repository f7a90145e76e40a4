//! The way of a tick: feed, shards and outboxes behind the hub, each in its own time.
//!
//! The hub's effects go into mailboxes and are taken out late; ticks come in between, and clients
//! read when they like. Each frame that a client reads is compared with the model.

use std::collections::{BTreeMap, VecDeque};

use tickgate::config::OutboxPolicy;
use tickgate::engine::{
    Content, Effect, Hub, Index, Manner, OutboxLimits, RouteId, Served, Shard, ShardOptions,
    TickAddress,
};
use tickgate::protocol::frame::numbered_tick_frame;
use tickgate::topic::{ClientId, Instrument, Mode};

use super::choices::{Choices, Seeded};
use super::continuity::Continuity;
use super::failure::{Failure, caught};
use super::generate::Generator;
use super::mail::{Mail, Mailbox, Tamper, read_frame, tell_desk, tell_shard};
use super::translate;
use super::{Options, Totals, Walk};
use crate::model::delivery::{Desk, Feed, RouteNo};
use crate::model::words::{self, BROKERS, BrokerNo, ClientNo, SHARDS, SYMBOLS, Step, Topic};

/// How long a mode that was seen keeps serving.
const WINDOW_MS: u64 = 5_000;
/// Bytes that may wait: the number of ticks is the limit that is met here.
const BYTES_MAX: usize = 1 << 30;

/// Takes the walk of a seed with feed and shards behind the hub.
///
/// # Errors
///
/// Fails if hub, feed, shard or outbox differ from the model, break a rule of their own, or panic.
pub fn walk(seed: u64, options: Options) -> Result<Totals, Failure> {
    walk_with(seed, options, Tamper::NONE)
}

fn walk_with(seed: u64, options: Options, tamper: Tamper) -> Result<Totals, Failure> {
    let mut choices = Seeded::new(seed);
    let rules = Generator::rules(&mut choices);
    let hub = Hub::new(translate::options(&rules, seed));
    let ticks_max = choices.pick(&[1, 2, 5, 1_000]);
    let mut way = Way::new(Walk::new(hub, rules, options), ticks_max, tamper);
    match caught(|| way.whole(&mut choices)) {
        Ok(()) => Ok(way.walk.totals),
        Err(reason) => Err(Failure { reason, trail: way.walk.trail }),
    }
}

struct Way {
    walk: Walk<Hub>,
    index: Index,
    feed: Feed,
    shards: Vec<Shard>,
    desks: Vec<Desk>,
    /// Effects that the hub has not carried out yet: it takes no event before it has.
    outgoing: VecDeque<Effect>,
    /// What was said of routes so far, and what the feed has heard of it.
    epoch: u64,
    heard: u64,
    to_feed: VecDeque<(u64, Effect)>,
    to_shards: Vec<Mailbox>,
    /// Where each client is.
    homes: BTreeMap<ClientNo, usize>,
    continuity: Continuity,
    /// Ticks that may wait for a client.
    ticks_max: usize,
    ticks: u64,
    answers: u64,
    tamper: Tamper,
}

impl Way {
    fn new(walk: Walk<Hub>, ticks_max: usize, tamper: Tamper) -> Self {
        let outbox = OutboxLimits {
            ticks_max,
            tick_bytes_max: BYTES_MAX,
            latest_bytes_max: BYTES_MAX,
            control_bytes_max: BYTES_MAX,
        };
        let options = ShardOptions { outbox, close_timeout_ms: 2_000, stall_timeout_ms: 60_000 };
        Self {
            walk,
            index: Index::new(WINDOW_MS),
            feed: Feed::new(WINDOW_MS),
            shards: (0..SHARDS).map(|_| Shard::new(options)).collect(),
            desks: (0..SHARDS).map(|_| Desk::new(ticks_max)).collect(),
            outgoing: VecDeque::new(),
            epoch: 0,
            heard: 0,
            to_feed: VecDeque::new(),
            to_shards: vec![Mailbox::default(); SHARDS],
            homes: BTreeMap::new(),
            continuity: Continuity::default(),
            ticks_max,
            ticks: 0,
            answers: 0,
            tamper,
        }
    }

    fn whole(&mut self, choices: &mut impl Choices) -> Result<(), String> {
        // When values leave, the model of delivery does not know.
        let mut generator = Generator::new(choices).without_paces();
        for broker in 0..BROKERS as BrokerNo {
            let step = self.walk.world.start(broker);
            self.event(step)?;
        }
        for _ in 0..self.walk.options.events {
            let drawn = generator.draw(choices, &mut self.walk.world);
            self.walk.now_ms += drawn.after_ms;
            self.event(drawn.step)?;
            while !self.outgoing.is_empty() {
                self.happen(choices)?;
                self.carry_out();
            }
            for _ in 0..choices.below(4) {
                self.happen(choices)?;
            }
        }
        while let Some(client) = self.walk.world.open.pop() {
            self.event(Step::Close { client })?;
        }
        self.catch_up()?;
        self.judge_emptiness()
    }

    /// The hub takes an event. What it did before is carried out.
    fn event(&mut self, step: Step) -> Result<(), String> {
        while !self.outgoing.is_empty() {
            self.carry_out();
        }
        if let Step::Open { client, shard } = step {
            // The shard knows a client before the hub does.
            let shard = usize::from(shard);
            self.homes.insert(client, shard);
            let drops = client % 3 == 0;
            let policy = if drops { OutboxPolicy::DropOldest } else { OutboxPolicy::Conflate };
            let manner = Manner { policy, ticks_max: self.ticks_max, content: Content::Ticks };
            self.shards[shard].attach_by(ClientId(client), manner);
            self.desks[shard].attach(client, drops);
        }
        self.walk.step(step)?;
        self.outgoing.extend(self.walk.effects.drain(..));
        Ok(())
    }

    /// The hub carries out its next effect.
    fn carry_out(&mut self) {
        let Some(effect) = self.outgoing.pop_front() else { return };
        match effect {
            Effect::Deliver { client, shard, change, answer } => {
                let answer = answer.map(|_| {
                    self.answers += 1;
                    self.answers
                });
                let mail = Mail::Deliver { client: client.0, change, answer };
                self.to_shards[shard].push(mail);
            }
            Effect::Close { client, shard, .. } => {
                self.to_shards[shard].push(Mail::Close(client.0));
            }
            Effect::Detach { client, shard } => {
                self.to_shards[shard].push(Mail::Detach(client.0));
            }
            Effect::Interest { route, shard, wanted, .. } => {
                self.epoch += 1;
                let mail = match wanted {
                    true => Mail::Expect(route.0, self.epoch),
                    false => Mail::Forget(route.0),
                };
                self.to_shards[shard].push(mail);
                self.to_feed.push_back((self.epoch, effect));
            }
            Effect::Audience { .. }
            | Effect::Served { .. }
            | Effect::Command { .. }
            | Effect::Administer { .. }
            | Effect::Notice { .. }
            | Effect::Note(_) => {}
        }
    }

    /// Something happens that the hub does not see.
    fn happen(&mut self, choices: &mut impl Choices) -> Result<(), String> {
        match choices.below(8) {
            0 => self.feed_reads_mail(),
            1..3 => {
                let symbol = choices.below(SYMBOLS as u32) as u8;
                let topic = Topic::new(symbol, choices.below(3) as u8);
                let broker = choices.below(BROKERS as u32 + 2) as BrokerNo;
                let broker = Some(broker).filter(|broker| (*broker as usize) < BROKERS);
                self.publish(broker, topic)?;
            }
            3..6 => {
                let shard = choices.below(SHARDS as u32) as usize;
                let ticks = choices.below(2) == 0;
                self.shard_reads_mail(shard, ticks)?;
            }
            6 => {
                let shard = choices.below(SHARDS as u32) as usize;
                self.look_after(shard)?;
            }
            _ => {
                let nth = choices.below(self.homes.len().max(1) as u32) as usize;
                if let Some((&client, &shard)) = self.homes.iter().nth(nth) {
                    let bytes_max = choices.pick(&[1, 1, 200, 100_000]);
                    self.read(client, shard, bytes_max)?;
                }
            }
        }
        Ok(())
    }

    fn feed_reads_mail(&mut self) {
        let Some((epoch, Effect::Interest { route, topic, broker, shard, wanted })) =
            self.to_feed.pop_front()
        else {
            return;
        };
        self.heard = epoch;
        let dictionary = &self.walk.dictionary;
        let (no, at) = (dictionary.topic_no(&topic), dictionary.broker_no(&broker));
        self.index.set_interest(route, &topic, &broker, shard, wanted);
        self.feed.interest(route.0, at, no, shard, wanted);
    }

    /// A publisher sends a tick.
    fn publish(&mut self, broker: Option<BrokerNo>, topic: Topic) -> Result<(), String> {
        self.ticks += 1;
        let number = self.ticks;
        let mut served: Vec<Served> = Vec::new();
        let tick = TickAddress {
            broker: broker.map(words::broker),
            exchange: "NSE",
            symbol: words::symbol(topic.symbol()),
            mode: Mode::ALL[topic.mode() as usize],
        };
        self.index.serve(self.walk.now_ms, tick, &mut served);
        let index = &mut self.index;
        let mut seen: Vec<(RouteNo, u64, u64)> =
            served.iter().map(|it| (it.route.0, it.shards, index.number(it))).collect();
        let numbers: BTreeMap<RouteNo, u64> =
            seen.iter().map(|(route, _, seq)| (*route, *seq)).collect();
        seen.sort_unstable();
        let mut expected = self.feed.tick(self.walk.now_ms, broker, topic);
        expected.sort_unstable();
        if seen != expected {
            return Err(format!("tick {number} of {topic} serves {seen:?}, not {expected:?}"));
        }
        for served in served {
            let data = format!("{{\"number\":{number},\"route\":{}}}", served.route.0);
            let instrument: &Instrument = &served.instrument;
            let seq = numbers[&served.route.0];
            let (mode, data) = (served.mode, data.as_bytes());
            let frame = numbered_tick_frame(instrument, mode, "x", Some(seq), data);
            for shard in (0..SHARDS).filter(|shard| served.shards & (1 << shard) != 0) {
                let (heard, route, frame) = (self.heard, served.route.0, frame.clone());
                self.to_shards[shard].push(Mail::Tick { heard, route, number, seq, frame });
            }
        }
        Ok(())
    }

    /// A shard reads a message, ticks first or what is said of clients, where it may choose.
    fn shard_reads_mail(&mut self, at: usize, ticks: bool) -> Result<(), String> {
        let mail = self.to_shards[at].pop(ticks).and_then(self.tamper.both);
        let Some(mail) = mail else { return Ok(()) };
        match &mail {
            Mail::Detach(client) => {
                self.homes.remove(client);
                self.continuity.leaves(*client, |_| true);
            }
            Mail::Deliver { client, change, .. } => {
                self.continuity.leaves(*client, |route| change.remove.contains(&RouteId(route)));
            }
            _ => {}
        }
        let told = (self.tamper.shard)(mail.clone());
        tell_desk(&mut self.desks[at], &mail);
        let (shard, desk) = (&mut self.shards[at], &self.desks[at]);
        shard.set_now(self.walk.now_ms);
        if let Some(mail) = told {
            tell_shard(shard, mail);
        }
        shard.check();
        let seen = (shard.clients(), shard.routes().0, shard.subscriptions());
        if seen != desk.sizes() {
            return Err(format!("shard {at} holds {seen:?} instead of {:?}", desk.sizes()));
        }
        Ok(())
    }

    /// The shard's shell asks who has something to write.
    fn look_after(&mut self, shard: usize) -> Result<(), String> {
        match self.shards[shard].pop_dirty() {
            Some(client) if self.desks[shard].clean(client.0) => {
                self.read(client.0, shard, 100_000)
            }
            Some(client) => Err(format!("{client} has nothing new to write")),
            None if self.desks[shard].is_dirty() => {
                Err(format!("shard {shard} does not know who has something to write"))
            }
            None => Ok(()),
        }
    }

    /// A client reads, and what it reads is what it should.
    fn read(&mut self, client: ClientNo, shard: usize, bytes_max: usize) -> Result<(), String> {
        let mut out = Vec::new();
        let frames = self.shards[shard].drain_into(ClientId(client), &mut out, bytes_max);
        let mut rest = &out[..];
        for _ in 0..frames {
            let seen = read_frame(&mut rest).ok_or("a frame cannot be read")?;
            let expected = self.desks[shard].read(client);
            if Some(seen) != expected {
                return Err(format!("c{client} reads {seen:?} instead of {expected:?}"));
            }
            self.continuity.reads(client, seen)?;
        }
        if !rest.is_empty() {
            return Err(format!("c{client} reads more than {frames} frames"));
        }
        if out.len() < bytes_max
            && let Some(missing) = self.desks[shard].read(client)
        {
            return Err(format!("c{client} does not read {missing:?}"));
        }
        let is_finished = self.shards[shard].is_finished(ClientId(client));
        if is_finished != self.desks[shard].is_finished(client) {
            return Err(format!("c{client} is finished: {is_finished}"));
        }
        Ok(())
    }

    /// All mail is read, and all that waits.
    fn catch_up(&mut self) -> Result<(), String> {
        while !self.outgoing.is_empty() {
            self.carry_out();
        }
        while !self.to_feed.is_empty() {
            self.feed_reads_mail();
        }
        for shard in 0..SHARDS {
            while !self.to_shards[shard].is_empty() {
                self.shard_reads_mail(shard, true)?;
            }
            while self.desks[shard].is_dirty() {
                self.look_after(shard)?;
            }
        }
        Ok(())
    }

    fn judge_emptiness(&self) -> Result<(), String> {
        for (at, shard) in self.shards.iter().enumerate() {
            let left = (shard.clients(), shard.routes(), shard.subscriptions());
            if left != (0, (0, 0), 0) || shard.outbox_bytes() > 0 {
                return Err(format!("shard {at} is left with {left:?}"));
            }
        }
        if self.index.instruments() > 0 {
            return Err(format!("the feed is left with {} instruments", self.index.instruments()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

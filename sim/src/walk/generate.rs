//! Draws what happens next. One generator for seeds and for bytes.

use std::collections::VecDeque;

use super::choices::Choices;
use super::world::World;
use crate::model::Rules;
use crate::model::list::List;
use crate::model::words::{
    Ask, BROKERS, ClientNo, NO_BROKER, NO_SYMBOL, SHARDS, SYMBOLS, Step, SubscribeEntry, Topic,
    USERS, UnsubscribeEntry, UserNo,
};

/// Connections at a time.
const CLIENTS_MAX: usize = 6;

/// What a walk is like: drawn once, so that one walk has many logins and another many losses.
#[derive(Clone, Debug)]
pub struct Generator {
    weights: [(Happening, u32); 12],
    users: u32,
    symbols: u32,
    brokers: u32,
    /// How badly brokers behave, as in [`World::act`].
    trouble: u32,
    /// Whether some want no more than a value in so many milliseconds.
    paces: bool,
    /// Steps that have to follow.
    next: VecDeque<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Connect,
    Leave,
    Authenticate,
    Subscribe,
    Unsubscribe,
    AskOther,
    BrokerActs,
    LateAnswer,
    RepeatedAnswer,
    SessionDies,
    BrokerTurns,
    Invalidate,
}

/// A step, and how much time goes by before it.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// Milliseconds.
    pub after_ms: u64,
    /// What happens.
    pub step: Step,
}

impl Generator {
    /// Draws what the walk is like.
    pub fn new(choices: &mut impl Choices) -> Self {
        let usual = [
            (Happening::Connect, 8),
            (Happening::Leave, 5),
            (Happening::Authenticate, 14),
            (Happening::Subscribe, 20),
            (Happening::Unsubscribe, 12),
            (Happening::AskOther, 6),
            (Happening::BrokerActs, 40),
            (Happening::LateAnswer, 8),
            (Happening::RepeatedAnswer, 2),
            (Happening::SessionDies, 3),
            (Happening::BrokerTurns, 2),
            (Happening::Invalidate, 3),
        ];
        let weights = usual.map(|(what, weight)| {
            let factor = choices.pick(&[0, 1, 2, 2, 2, 2, 4, 8]);
            // Without clients or answers there would be nothing to see.
            let needed = matches!(what, Happening::Connect | Happening::BrokerActs);
            (what, weight * if needed { factor.max(1) } else { factor })
        });
        Self {
            weights,
            users: 1 + choices.below(USERS as u32),
            symbols: 1 + choices.below(SYMBOLS as u32),
            brokers: 1 + choices.below(BROKERS as u32),
            trouble: choices.pick(&[0, 16, 64, 64]),
            paces: true,
            next: VecDeque::new(),
        }
    }

    /// The same, in which everybody wants every value.
    pub fn without_paces(self) -> Self {
        Self { paces: false, ..self }
    }

    /// Draws deadlines, pauses and limits.
    pub fn rules(choices: &mut impl Choices) -> Rules {
        Rules {
            auth_timeout_ms: choices.pick(&[200, 15_000]),
            connect_timeout_ms: choices.pick(&[100, 15_000]),
            answer_timeout_ms: choices.pick(&[100, 8_000]),
            request_timeout_ms: choices.pick(&[150, 20_000]),
            retry_min_ms: choices.pick(&[1, 500]),
            retry_max_ms: choices.pick(&[500, 30_000]),
            topics_per_client_max: choices.pick(&[1, 3, 8, 12]),
            topics_per_user_max: choices.pick(&[1, 5, 40, 100]),
            clients_per_user_max: choices.pick(&[1, 2, 100, 100]),
        }
    }

    /// The next step.
    pub fn draw(&mut self, choices: &mut impl Choices, world: &mut World) -> Drawn {
        let after_ms = match choices.below(64) {
            0..54 => 0,
            54..57 => 1,
            57..60 => u64::from(choices.below(100)),
            60..62 => choices.pick(&[50, 150, 600]),
            62 => choices.pick(&[600, 2_000]),
            _ => choices.pick(&[1, 9_000, 9_000, 31_000]),
        };
        let drawn = self.next.pop_front().or_else(|| {
            self.happen(choices, world);
            self.next.pop_front()
        });
        Drawn { after_ms, step: drawn.unwrap_or(Step::Timer) }
    }

    /// What is drawn may be impossible just now; then nothing is queued and time passes.
    fn happen(&mut self, choices: &mut impl Choices, world: &mut World) {
        match self.draw_happening(choices) {
            Happening::Connect => {
                if world.open.len() < CLIENTS_MAX {
                    world.opened += 1;
                    let client = world.opened;
                    world.open.push(client);
                    let shard = choices.below(SHARDS as u32) as u8;
                    self.next.push_back(Step::Open { client, shard });
                    if !choices.one_in(4) {
                        let ask = self.authenticate(choices, client);
                        self.request(choices, world, client, ask);
                    }
                }
            }
            Happening::Leave => {
                if !world.open.is_empty() {
                    let at = choices.below(world.open.len() as u32) as usize;
                    let client = world.open.swap_remove(at);
                    self.next.push_back(Step::Close { client });
                }
            }
            Happening::Authenticate => self.ask(choices, world, Self::authenticate),
            Happening::Subscribe => self.ask(choices, world, Self::subscribe),
            Happening::Unsubscribe => self.ask(choices, world, Self::unsubscribe),
            Happening::AskOther => self.ask(choices, world, Self::other),
            Happening::BrokerActs => world.act(choices, self.trouble, &mut self.next),
            Happening::LateAnswer => self.next.extend(world.deliver_late(choices)),
            Happening::RepeatedAnswer => self.next.push_back(world.repeat(choices)),
            Happening::SessionDies => {
                let broker = choices.below(self.brokers) as u8;
                let user = self.user(choices);
                let news = match choices.one_in(4) {
                    true => world.old_news(broker, user),
                    false => world.lose_session(broker, user),
                };
                self.next.extend(news);
            }
            Happening::BrokerTurns => {
                let broker = choices.below(self.brokers) as u8;
                let step = if world.is_up(broker) {
                    world.stop(broker, choices)
                } else {
                    world.start(broker)
                };
                self.next.push_back(step);
            }
            Happening::Invalidate => {
                let user = self.user(choices);
                self.next.push_back(Step::Invalidate(user));
            }
        }
    }

    fn draw_happening(&self, choices: &mut impl Choices) -> Happening {
        let total = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = choices.below(total);
        for (what, weight) in self.weights {
            if left < weight {
                return what;
            }
            left -= weight;
        }
        unreachable!("the weights add up")
    }

    fn ask<C: Choices>(
        &mut self,
        choices: &mut C,
        world: &mut World,
        what: fn(&Self, &mut C, ClientNo) -> Ask,
    ) {
        if world.open.is_empty() {
            return;
        }
        let client = choices.pick(&world.open);
        // Several requests at once: the next one is there before the first is answered.
        let ask = what(self, choices, client);
        self.request(choices, world, client, ask);
        if choices.one_in(8) {
            let ask = self.subscribe(choices, client);
            self.request(choices, world, client, ask);
        }
    }

    fn request<C: Choices>(
        &mut self,
        choices: &mut C,
        world: &mut World,
        client: ClientNo,
        ask: Ask,
    ) {
        let id = choices.one_in(8).then(|| {
            world.ids += 1;
            world.ids
        });
        self.next.push_back(Step::Ask { client, id, ask });
    }

    fn user(&self, choices: &mut impl Choices) -> UserNo {
        choices.below(self.users) as UserNo
    }

    fn authenticate(&self, choices: &mut impl Choices, client: ClientNo) -> Ask {
        match choices.below(16) {
            0 => Ask::AuthenticateWrongly,
            1 => Ask::Authenticate(self.user(choices), NO_BROKER),
            2 => Ask::Authenticate(self.user(choices), choices.below(self.brokers) as u8),
            // Each client has its user and each user its broker; now and then one tries another.
            3..6 => self.log_in(self.user(choices)),
            _ => self.log_in((client % u64::from(self.users)) as UserNo),
        }
    }

    fn log_in(&self, user: UserNo) -> Ask {
        Ask::Authenticate(user, user % self.brokers as u8)
    }

    fn topic(&self, choices: &mut impl Choices) -> Topic {
        let symbol = if choices.one_in(32) { NO_SYMBOL } else { choices.below(self.symbols) as u8 };
        Topic::new(symbol, choices.below(3) as u8)
    }

    fn subscribe(&self, choices: &mut impl Choices, _: ClientNo) -> Ask {
        let entries = 1 + choices.below(3);
        let entry = |_| match choices.one_in(32) {
            true => SubscribeEntry::Bad,
            false => {
                let depth = choices.pick(&[1, 5, 20]);
                let topic = self.topic(choices);
                let pace_ms = if self.paces { choices.pick(&[0, 0, 250, 1_000]) } else { 0 };
                SubscribeEntry::Good { topic, depth, pace_ms }
            }
        };
        Ask::Subscribe((0..entries).map(entry).collect())
    }

    fn unsubscribe(&self, choices: &mut impl Choices, _: ClientNo) -> Ask {
        if choices.one_in(5) {
            return Ask::UnsubscribeAll;
        }
        let entries = 1 + choices.below(3);
        let entry = |_| match choices.one_in(32) {
            true => UnsubscribeEntry::Bad,
            false => {
                let topic = self.topic(choices);
                let mode = if choices.one_in(2) { Some(topic.mode()) } else { None };
                UnsubscribeEntry::Good { symbol: topic.symbol(), mode }
            }
        };
        let entries: List<UnsubscribeEntry, 3> = (0..entries).map(entry).collect();
        Ask::Unsubscribe(entries)
    }

    fn other(&self, choices: &mut impl Choices, _: ClientNo) -> Ask {
        choices.pick(&[
            Ask::SubscribeOrders,
            Ask::SubscribeOrders,
            Ask::UnsubscribeOrders,
            Ask::BrokerInfo,
            Ask::SupportedBrokers,
            Ask::Ping,
        ])
    }
}

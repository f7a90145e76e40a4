//! A market of its own in this process: any symbol, made-up prices, published on the real bus.

mod book;
mod floor;
#[cfg(test)]
mod floor_tests;
mod market;
mod payload;
mod random;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use super::desk::Desk;
use super::outlet::Outlet;
use super::timer::until;
use super::wire::milliseconds;
use super::{Answer, Broker, BrokerEvent, Command};
use crate::runtime::{Clock, Runtime};
use crate::topic::BrokerName;
use crate::zmtp::{BadEndpoint, Message, Options, Pub, parse_endpoint};
use floor::{Floor, Now};

pub use super::desk::{NAME_BYTES_MAX, SESSIONS_MAX, SUBSCRIPTIONS_MAX};
pub use book::{Book, LEVELS, Level};
pub use floor::{FIRST_TICK_MS, IDLE_MARKETS_MAX};
pub use market::{Market, TICK};

/// Commands that may wait out the latency before further ones have to wait.
const COMMANDS_WAITING_MAX: usize = 4_096;
/// Answers that may wait for the gateway before further commands have to wait.
const EVENTS_WAITING_MAX: usize = 4_096;
/// How often a gateway that does not take its answers is asked whether it has gone.
const STALLED_CHECK_MS: u64 = 100;
/// Ticks that may wait for the bus; beyond, new ones are dropped.
const TICKS_WAITING_MAX: usize = 100_000;
/// Markets that trade before commands are looked at again.
const TRADES_MAX: usize = 1_024;
/// Slowest pace, as the configuration has it.
const TICKS_PER_SECOND_MIN: f64 = 0.01;
/// Fastest pace: timers count milliseconds.
const TICKS_PER_SECOND_MAX: f64 = 1_000.0;

/// What can be chosen about a paper broker.
#[derive(Clone, Debug)]
pub struct PaperOptions {
    /// The broker as the configuration names it, for the log.
    pub name: BrokerName,
    /// The gateway's bus, `tcp://host:port`.
    pub bus: String,
    /// Decides every price, together with the instrument's name.
    pub seed: u64,
    /// Ticks per second of one topic, 0.01 to 1,000.
    pub ticks_per_second: f64,
    /// Time that each command takes.
    pub latency: Duration,
}

impl PaperOptions {
    /// Two ticks per second, no latency.
    pub fn new(name: impl Into<BrokerName>, bus: impl Into<String>, seed: u64) -> Self {
        Self {
            name: name.into(),
            bus: bus.into(),
            seed,
            ticks_per_second: 2.0,
            latency: Duration::ZERO,
        }
    }
}

/// The paper broker.
///
/// Prices of an instrument depend on the seed, its name and how often it has traded, on nothing
/// else; it trades while any of its modes is wanted, and all modes tell of the same trades.
/// A tick has `seq`, counted from 1 for each topic.
#[derive(Debug)]
pub struct Paper<R> {
    runtime: R,
    options: PaperOptions,
    /// `host:port`.
    bus: String,
}

impl<R: Runtime> Paper<R> {
    /// Describes the market; [`Broker::run`] opens it.
    ///
    /// # Errors
    ///
    /// Fails if the bus address is not `tcp://host:port`.
    pub fn new(runtime: R, options: PaperOptions) -> Result<Self, BadEndpoint> {
        let bus = parse_endpoint(&options.bus)?;
        Ok(Self { runtime, options, bus })
    }
}

impl<R: Runtime> Broker for Paper<R> {
    async fn run(self, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<BrokerEvent>) {
        let clock = Clock::start();
        let bus = Pub::connect(&self.runtime, Options::default(), TICKS_WAITING_MAX, &self.bus);
        let latency_ms = milliseconds(self.options.latency);
        let mut market = Running {
            desk: Desk::with_levels(u32::try_from(LEVELS).expect("a handful")),
            floor: Floor::new(self.options.seed, period_ms(self.options.ticks_per_second)),
            outlet: Outlet::new(events),
            waiting: VecDeque::new(),
            runtime: self.runtime,
            clock,
        };
        tracing::info!(broker = %self.options.name, seed = self.options.seed, "paper market opens");
        market.outlet.push(BrokerEvent::Up);
        let mut ticks = Vec::new();
        loop {
            let has_room = market.waiting.len() < COMMANDS_WAITING_MAX
                && market.outlet.len() < EVENTS_WAITING_MAX;
            let check_ms = (!has_room).then(|| clock.now_ms() + STALLED_CHECK_MS);
            let due_ms = market.next_due_ms().into_iter().chain(check_ms).min();
            tokio::select! {
                biased;
                () = market.outlet.drain(), if !market.outlet.is_empty() => {}
                command = commands.recv(), if has_room => match command {
                    Some(command) => {
                        let due_ms = clock.now_ms().saturating_add(latency_ms);
                        market.waiting.push_back((due_ms, command));
                    }
                    None => return,
                },
                () = until(&clock, due_ms) => {}
            }
            if !has_room && commands.is_closed() {
                return;
            }
            market.carry_out_due();
            market.floor.trade(market.now(), TRADES_MAX, &mut ticks);
            for tick in ticks.drain(..) {
                bus.publish(Message::pair(tick.topic, tick.payload));
            }
        }
    }
}

/// A paper broker at work.
struct Running<R> {
    desk: Desk,
    floor: Floor,
    outlet: Outlet<BrokerEvent>,
    /// Commands and when they are carried out, in order.
    waiting: VecDeque<(u64, Command)>,
    runtime: R,
    clock: Clock,
}

impl<R: Runtime> Running<R> {
    fn now(&self) -> Now {
        Now { clock_ms: self.clock.now_ms(), unix_ms: self.runtime.unix_ms() }
    }

    fn next_due_ms(&self) -> Option<u64> {
        let command = self.waiting.front().map(|(due_ms, _)| *due_ms);
        command.into_iter().chain(self.floor.next_due_ms()).min()
    }

    fn carry_out_due(&mut self) {
        let now = self.now();
        let mut changes = Vec::new();
        while self.waiting.front().is_some_and(|(due_ms, _)| *due_ms <= now.clock_ms) {
            let Some((_, command)) = self.waiting.pop_front() else { return };
            let result = self.desk.carry_out(&command, &mut changes);
            self.outlet.push(BrokerEvent::Answer(Answer { id: command.id, result }));
            for change in changes.drain(..) {
                self.floor.apply(&change, now);
            }
        }
    }
}

fn period_ms(ticks_per_second: f64) -> u64 {
    let pace = if ticks_per_second.is_nan() { TICKS_PER_SECOND_MIN } else { ticks_per_second };
    let pace = pace.clamp(TICKS_PER_SECOND_MIN, TICKS_PER_SECOND_MAX);
    milliseconds(Duration::from_secs_f64(pace.recip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pace_becomes_a_period_of_whole_milliseconds() {
        let periods = [2.0, 3.0, 0.0, -1.0, f64::NAN, 1e9, f64::INFINITY].map(period_ms);
        assert_eq!(periods, [500, 333, 100_000, 100_000, 100_000, 1, 1]);
    }
}

//! A market that was recorded: the same ticks, in the same order, digit for digit, at their times.

mod interest;
mod pace;
mod tape;

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use self::interest::Interest;
use self::pace::Pace;
use super::desk::Desk;
use super::outlet::Outlet;
use super::timer::until;
use super::wire::milliseconds;
use super::{Answer, Broker, BrokerEvent, Command};
use crate::config::{BrokerEntry, ReplayStart};
use crate::protocol::bus::TopicRules;
use crate::recording::{self, BadRecording, Reader, Tick};
use crate::runtime::{Clock, Runtime, Task};
use crate::topic::BrokerName;
use crate::zmtp::{BadEndpoint, Message, Options, Pub, parse_endpoint};

/// Answers that may wait for the gateway before further commands have to wait.
const EVENTS_WAITING_MAX: usize = 4_096;
/// Ticks that wait for the bus before the replay waits too: it loses none.
const TICKS_WAITING_MAX: usize = 8_192;
/// Ticks that are published before commands are looked at again.
const TICKS_PER_TURN: usize = 1_024;
/// How often a bus that is not there yet, or a gateway that takes no answers, is looked at.
const CHECK_MS: u64 = 10;
/// Blocks that were read ahead, besides the one that is played: a few megabytes.
const BLOCKS_AHEAD: usize = 1;
/// How long to wait for the bus at a time.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What can be chosen about a replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The broker as the configuration names it. Topics with this name in front are its own.
    pub name: BrokerName,
    /// The gateway's bus, `tcp://host:port`.
    pub bus: String,
    /// What `tickgate record` or `tickgate import` wrote.
    pub file: PathBuf,
    /// How many times faster than it was, 0.01 to 10,000.
    pub speed: f64,
    /// Whether it begins anew at its end.
    pub repeat: bool,
    /// What is left out at the beginning, in each round.
    pub from: Duration,
    /// What starts its clock.
    pub start: ReplayStart,
    /// How long after that it begins, in real time.
    pub start_delay: Duration,
    /// Exchanges whose names have two segments, as the feed knows them.
    pub two_segment_exchanges: Vec<String>,
}

impl ReplayOptions {
    /// The whole file, once, at its own speed, from the first subscription on.
    pub fn new(
        name: impl Into<BrokerName>,
        bus: impl Into<String>,
        file: impl Into<PathBuf>,
    ) -> Self {
        Self {
            name: name.into(),
            bus: bus.into(),
            file: file.into(),
            speed: 1.0,
            repeat: false,
            from: Duration::ZERO,
            start: ReplayStart::FirstSubscribe,
            start_delay: Duration::from_millis(100),
            two_segment_exchanges: Vec::new(),
        }
    }
}

impl ReplayOptions {
    /// Takes over what a configuration says, and leaves what it does not.
    pub fn choose(&mut self, entry: &BrokerEntry) {
        self.speed = entry.speed.unwrap_or(self.speed);
        self.repeat = entry.repeat.unwrap_or(self.repeat);
        self.from = entry.from_ms.map_or(self.from, Duration::from_millis);
        self.start = entry.start.unwrap_or(self.start);
        self.start_delay = entry.start_delay_ms.map_or(self.start_delay, Duration::from_millis);
    }
}

/// Why there is nothing to replay.
#[derive(Debug, thiserror::Error)]
pub enum BadReplay {
    /// The bus address is not `tcp://host:port`.
    #[error(transparent)]
    Bus(#[from] BadEndpoint),
    /// The file cannot be read, or is no recording.
    #[error("{} cannot be replayed: {reason}", file.display())]
    File {
        /// As configured.
        file: PathBuf,
        /// What is wrong with it.
        reason: BadRecording,
    },
}

/// The replay broker.
///
/// It takes any subscription, and publishes what of its recording is subscribed, byte for byte and
/// never before its time. A mode that the recording lacks for an instrument is served from the next
/// higher one that it has. At the end it falls silent; sessions stay.
#[derive(Debug)]
pub struct Replay<R> {
    runtime: R,
    options: ReplayOptions,
    /// `host:port`.
    bus: String,
    reader: Reader<BufReader<File>>,
}

impl<R: Runtime> Replay<R> {
    /// Opens the file; [`Broker::run`] plays it.
    ///
    /// # Errors
    ///
    /// Fails if the file is no recording or the bus address is not `tcp://host:port`.
    pub fn open(runtime: R, options: ReplayOptions) -> Result<Self, BadReplay> {
        let bus = parse_endpoint(&options.bus)?;
        let bad = |reason| BadReplay::File { file: options.file.clone(), reason };
        let reader = recording::open(&options.file).map_err(bad)?;
        Ok(Self { runtime, options, bus, reader })
    }
}

impl<R: Runtime> Broker for Replay<R> {
    async fn run(self, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<BrokerEvent>) {
        let mut player = Player::new(self, events);
        player.outlet.push(BrokerEvent::Up);
        loop {
            let has_room = player.outlet.len() < EVENTS_WAITING_MAX;
            let congested = player.bus.waiting() > TICKS_WAITING_MAX;
            let check_ms = (!has_room).then(|| player.clock.now_ms() + CHECK_MS);
            let due_ms = if congested { None } else { player.next_due_ms() };
            let wake_ms = due_ms.into_iter().chain(check_ms).min();
            tokio::select! {
                biased;
                () = player.outlet.drain(), if !player.outlet.is_empty() => {}
                command = commands.recv(), if has_room => match command {
                    Some(command) => player.carry_out(&command),
                    None => return,
                },
                _ = player.bus.flush(FLUSH_TIMEOUT), if congested => {}
                block = player.tape.recv(), if player.wants_block() => player.load(block),
                () = until(&player.clock, wake_ms) => {}
            }
            if !has_room && commands.is_closed() {
                return;
            }
            if !congested && player.play() {
                // Whoever reads the bus may be on the same core.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// A replay at work.
struct Player {
    name: BrokerName,
    desk: Desk,
    outlet: Outlet<BrokerEvent>,
    interest: Interest,
    bus: Pub,
    pace: Pace,
    clock: Clock,
    start_delay: Duration,
    /// When it begins, or has begun, on `clock`.
    begins: Option<Duration>,
    /// What is read ahead. Times count from where the replay begins.
    tape: mpsc::Receiver<Vec<Tick>>,
    waiting: VecDeque<Tick>,
    /// The tape has nothing more.
    ended: bool,
    /// A tick is due and the bus is not there.
    held: bool,
    published: u64,
    _reading: Task,
}

impl Player {
    fn new<R: Runtime>(replay: Replay<R>, events: mpsc::Sender<BrokerEvent>) -> Self {
        let Replay { runtime, options, bus, reader } = replay;
        let clock = Clock::start();
        // It is never more than half full: see `TICKS_WAITING_MAX`.
        let high_water_mark = 2 * (TICKS_WAITING_MAX + TICKS_PER_TURN);
        let bus = Pub::connect(&runtime, Options::default(), high_water_mark, &bus);
        let from_ns = u64::try_from(options.from.as_nanos()).unwrap_or(u64::MAX);
        let (sender, tape) = mpsc::channel(BLOCKS_AHEAD);
        let reading = tape::read(runtime.clone(), reader, from_ns, options.repeat, sender);
        let reading = runtime.spawn("replay_tape", reading);
        let ReplayOptions { name, file, speed, start, start_delay, .. } = options;
        tracing::info!(broker = %name, file = %file.display(), speed, "a recording is replayed");
        let rules = TopicRules {
            brokers: vec![name.clone()],
            two_segment_exchanges: options.two_segment_exchanges,
        };
        Self {
            name,
            desk: Desk::default(),
            outlet: Outlet::new(events),
            interest: Interest::new(rules),
            bus,
            pace: Pace::new(speed),
            clock,
            start_delay,
            begins: match start {
                ReplayStart::Gateway => Some(start_delay),
                ReplayStart::FirstSubscribe => None,
            },
            tape,
            waiting: VecDeque::new(),
            ended: false,
            held: false,
            published: 0,
            _reading: reading,
        }
    }

    fn carry_out(&mut self, command: &Command) {
        let mut changes = Vec::new();
        let result = self.desk.carry_out(command, &mut changes);
        self.outlet.push(BrokerEvent::Answer(Answer { id: command.id, result }));
        for change in &changes {
            self.interest.apply(change);
        }
        if self.begins.is_none() && !self.interest.is_empty() {
            self.begins = Some(self.clock.now() + self.start_delay);
            tracing::info!(broker = %self.name, "the replay begins");
        }
    }

    fn wants_block(&self) -> bool {
        !self.ended && self.waiting.is_empty()
    }

    fn load(&mut self, block: Option<Vec<Tick>>) {
        match block {
            Some(ticks) => self.waiting.extend(ticks),
            None => {
                self.ended = true;
                tracing::info!(
                    broker = %self.name,
                    published = self.published,
                    "the recording has been replayed"
                );
            }
        }
    }

    fn due(&self, tick: &Tick) -> Option<Duration> {
        Some(self.begins?.saturating_add(self.pace.after(tick.at_ns)))
    }

    fn next_due_ms(&self) -> Option<u64> {
        if self.held {
            return Some(self.clock.now_ms() + CHECK_MS);
        }
        let due = self.due(self.waiting.front()?)?;
        // Never early: the clock's milliseconds are rounded down.
        Some(milliseconds(due).saturating_add(1))
    }

    /// Publishes what is due, and tells whether there may be more of it.
    fn play(&mut self) -> bool {
        let now = self.clock.now();
        let stats = self.bus.stats();
        let is_there = stats.peers > 0 && stats.subscriptions > 0;
        self.held = false;
        for _ in 0..TICKS_PER_TURN {
            let Some(tick) = self.waiting.front() else { return !self.ended };
            if self.due(tick).is_none_or(|due| due > now) {
                return false;
            }
            if self.interest.takes(&tick.topic) {
                if !is_there {
                    self.held = true;
                    return false;
                }
                self.bus.publish(Message::pair(tick.topic.clone(), tick.payload.clone()));
                self.published += 1;
            }
            self.waiting.pop_front();
        }
        true
    }
}

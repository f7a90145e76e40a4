//! `tickgate tail`: an ordinary client that shows live prices.

mod answers;
mod connection;
mod lines;
mod message;
mod prices;
mod session;
mod table;
mod tls;
mod url;

use std::io::{self, IsTerminal};
use std::time::Duration;

pub use url::Url;

pub(super) use self::answers::Answers;
pub(super) use self::connection::{Connection, Heard, Trouble};
use self::lines::Lines;
use self::message::Tick;
pub(super) use self::message::{Message, parse};
use self::session::Tail;
use self::table::Table;
pub(super) use self::tls::Security;
use super::args::TailArgs;
use super::signals::Signals;
use super::{Failure, current_thread_runtime};
use crate::auth::DEMO_KEY;
use crate::runtime::{Clock, TokioRuntime};
use crate::topic::{Instrument, Mode};

/// What to show, and from where.
#[derive(Clone)]
struct Options {
    instruments: Vec<Instrument>,
    mode: Mode,
    depth: u32,
    interval_ms: Option<u64>,
    orders: bool,
    url: Url,
    security: Security,
    key: String,
    count: Option<u64>,
}

/// How a tail came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// As many ticks came as were wanted.
    Counted,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The time was up.
    TimedOut,
}

/// Where ticks are shown.
#[derive(Debug)]
enum View {
    Table(Table),
    Lines(Lines),
}

/// Runs `tickgate tail` until it is done, its time is up or somebody ends it.
///
/// # Errors
///
/// Fails if the arguments make no sense, the gateway cannot be reached at first, refuses the key
/// or every symbol, or if too few ticks came in time.
pub fn run(args: TailArgs) -> Result<(), Failure> {
    let (timeout, count) = (args.timeout_seconds.map(Duration::from_secs), args.count);
    let in_place = !args.json && is_terminal();
    let json = args.json;
    let options = options(args)?;
    current_thread_runtime()?.block_on(async {
        let mut signals = Signals::install()?;
        let mut view = if in_place {
            View::Table(Table::new(&options.instruments, options.mode, &options.url.shown()))
        } else {
            View::Lines(Lines::new(json))
        };
        let runtime = TokioRuntime::new();
        let wants_ticks = !options.instruments.is_empty();
        let clock = Clock::start();
        let mut tail = Tail::new(&runtime, options, clock, &mut view);
        let ended = tokio::select! {
            biased;
            _ = signals.next() => Ok(Ended::Interrupted),
            () = pause_or_forever(timeout) => Ok(Ended::TimedOut),
            ended = tail.run() => ended,
        };
        let ticks = tail.ticks();
        let finished = view.finish(clock.now_ms());
        drop(view);
        match ended.and_then(|ended| Ok(finished.map(|()| ended)?)) {
            Ok(Ended::Counted | Ended::Interrupted) => Ok(()),
            Ok(Ended::TimedOut) => in_time(ticks, count, wants_ticks, timeout),
            Err(Trouble::Lasting(sentence) | Trouble::Passing(sentence)) => {
                Err(Failure::Runtime(sentence))
            }
            // `tickgate tail … | head` ends like that.
            Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(Trouble::Output(error)) => {
                Err(Failure::Runtime(format!("standard output cannot be written: {error}")))
            }
        }
    })
}

fn in_time(
    ticks: u64,
    count: Option<u64>,
    wants_ticks: bool,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let seconds = timeout.unwrap_or_default().as_secs();
    match count {
        Some(count) => {
            Err(Failure::Runtime(format!("only {ticks} of {count} ticks came within {seconds} s")))
        }
        None if wants_ticks && ticks == 0 => {
            Err(Failure::Runtime(format!("no tick came within {seconds} s")))
        }
        None => Ok(()),
    }
}

fn options(args: TailArgs) -> Result<Options, Failure> {
    let mut instruments: Vec<Instrument> = Vec::new();
    for instrument in args.symbols {
        if !instruments.contains(&instrument) {
            instruments.push(instrument);
        }
    }
    let key = key_for(args.key, &args.url)?;
    let security = Security::new(&args.url, args.ca.as_ref()).map_err(Failure::Usage)?;
    Ok(Options {
        instruments,
        security,
        mode: args.mode,
        depth: args.depth,
        interval_ms: args.interval,
        orders: args.orders,
        url: args.url,
        key,
        count: args.count,
    })
}

/// The key to show there: the one that was given, or on this machine the demo key.
///
/// # Errors
///
/// Fails if one is needed and none was given.
pub(super) fn key_for(given: Option<String>, url: &Url) -> Result<String, Failure> {
    match given.filter(|key| !key.is_empty()) {
        Some(key) => Ok(key),
        None if url.address.is_loopback() => Ok(DEMO_KEY.to_owned()),
        None => Err(Failure::Usage(format!(
            "a key is needed for {}: give one with --key or TICKGATE_KEY (the demo key is for a \
             gateway on this machine)",
            url.address
        ))),
    }
}

fn is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

async fn pause_or_forever(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

impl View {
    fn tick(&mut self, tick: Tick, frame: &str, now_ms: u64) -> io::Result<()> {
        match self {
            Self::Table(table) => {
                table.tick(tick, now_ms);
                Ok(())
            }
            Self::Lines(lines) => lines.tick(&tick, frame),
        }
    }

    fn order(&mut self, frame: &str) -> io::Result<()> {
        match self {
            Self::Table(table) => {
                table.notice(format!("order {}", message::printable(frame)));
                Ok(())
            }
            Self::Lines(lines) => lines.order(frame),
        }
    }

    fn notice(&mut self, sentence: &str) {
        match self {
            Self::Table(table) => table.notice(sentence.to_owned()),
            Self::Lines(_) => super::complain(sentence),
        }
    }

    /// Tells that the connection is lost and when the next try is. A log is told once.
    fn retrying(&mut self, reason: &str, seconds: f64, told: bool) {
        match self {
            Self::Table(_) => self.notice(&format!("{reason}; trying again in {seconds:.1} s")),
            Self::Lines(_) if told => {}
            Self::Lines(_) => self.notice(&format!("{reason}; trying again until it is back")),
        }
    }

    fn redraw(&mut self, now_ms: u64) -> io::Result<()> {
        match self {
            Self::Table(table) => table.redraw(now_ms),
            Self::Lines(_) => Ok(()),
        }
    }

    fn finish(&mut self, now_ms: u64) -> io::Result<()> {
        match self {
            Self::Table(table) => table.finish(now_ms),
            Self::Lines(_) => Ok(()),
        }
    }
}

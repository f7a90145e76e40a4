//! `tickgate record`, `tickgate recording` and `tickgate import`.

mod args;
mod gateway;
mod import;
mod show;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

pub(super) use args::{
    IMPORT_EXAMPLES, ImportArgs, RECORD_EXAMPLES, RECORDING_EXAMPLES, RecordArgs, RecordingArgs,
};
pub(super) use import::import;
pub(super) use show::recording;

use self::gateway::{Client, Missed};
use super::running::not_bound;
use super::signals::Signals;
use super::tail::{Security, Trouble, key_for};
use super::{Failure, complain, current_thread_runtime};
use crate::recording::bus::{self, Filter};
use crate::recording::{self, NewFile, Recorder, Totals, Writer};
use crate::runtime::{Runtime, TokioRuntime};
use crate::topic::Mode;
use crate::zmtp::{Options, Sub, parse_endpoint};

/// Runs `tickgate record` until it is done, its time is up or somebody ends it.
///
/// # Errors
///
/// Fails if the file is there already or cannot be written, if a bus or gateway cannot be had, or
/// if no tick came.
pub(super) fn record(args: RecordArgs) -> Result<(), Failure> {
    current_thread_runtime()?.block_on(async {
        let mut signals = Signals::install()?;
        let runtime = TokioRuntime::new();
        let source = Source::open(&runtime, &args).await?;
        let (new, mut recorder) = begin(&runtime, &args.file, args.force)?;
        let seconds = args.seconds.map(Duration::from_secs);
        let stop = async {
            tokio::select! {
                biased;
                _ = signals.next() => {}
                () = pause_or_forever(seconds) => {}
            }
        };
        let mut progress = Progress::new(&args.file, new);
        let result = source.record(&mut recorder, args.count, stop, &mut progress).await;
        progress.clear();
        end(&args.file, progress.new, recorder, result).await
    })
}

/// Where ticks come from.
enum Source<'a> {
    Bus(Sub, Filter),
    Gateway(Box<Client<'a>>),
}

impl<'a> Source<'a> {
    async fn open(runtime: &'a TokioRuntime, args: &RecordArgs) -> Result<Self, Failure> {
        if args.bind.is_empty() && args.connect.is_empty() {
            let key = key_for(args.key.clone(), &args.url)?;
            let security = Security::new(&args.url, args.ca.as_ref()).map_err(Failure::Usage)?;
            let (mode, depth) = (args.mode.unwrap_or(Mode::Quote), args.depth);
            let (url, instruments) = (args.url.clone(), args.symbols.clone());
            let client = Client::new(runtime, url, security, key, instruments, mode, depth);
            return Ok(Self::Gateway(Box::new(client)));
        }
        let addresses = |endpoints: &[String]| -> Result<Vec<String>, Failure> {
            let parse = |text: &String| parse_endpoint(text);
            let parsed: Result<_, _> = endpoints.iter().map(parse).collect();
            parsed.map_err(|error| Failure::Usage(error.to_string()))
        };
        let (bind, connect) = (addresses(&args.bind)?, addresses(&args.connect)?);
        let sub = Sub::start(runtime, Options::default(), &bind, &connect, &[Bytes::new()]).await;
        let sub = sub.map_err(|error| not_bound("--bind", &error.address, &error.source))?;
        for address in sub.bound() {
            complain(&format!("publishers connect to tcp://{address}"));
        }
        Ok(Self::Bus(sub, Filter::new(&args.symbols, args.mode)))
    }

    async fn record(
        self,
        recorder: &mut Recorder,
        count: Option<u64>,
        stop: impl Future<Output = ()>,
        progress: &mut Progress,
    ) -> Result<Missed, Broken> {
        match self {
            Self::Bus(mut sub, filter) => {
                let told = |totals| progress.tell(totals);
                bus::record(&mut sub, recorder, &filter, count, stop, told).await?;
                Ok(Missed::default())
            }
            Self::Gateway(mut client) => {
                tokio::pin!(stop);
                let recorded = tokio::select! {
                    biased;
                    () = &mut stop => Ok(()),
                    recorded = client.record(recorder, count, progress) => recorded,
                };
                recorded.map(|()| client.missed())
            }
        }
    }
}

/// Why recording ended before its time.
enum Broken {
    File(io::Error),
    Source(Trouble),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

fn begin(runtime: &TokioRuntime, path: &Path, force: bool) -> Result<(NewFile, Recorder), Failure> {
    let (new, file) = recording::create(path, force).map_err(|error| not_created(path, &error))?;
    let started_unix_ns = runtime.unix_ms().saturating_mul(1_000_000);
    match Writer::new(file, started_unix_ns) {
        Ok(writer) => Ok((new, Recorder::start(runtime, writer))),
        Err(error) => {
            new.discard();
            Err(not_written(path, &error))
        }
    }
}

/// Ends the file and says what is in it; a file without a tick does not stay, nor does it take the
/// place of another.
async fn end(
    path: &Path,
    mut new: NewFile,
    recorder: Recorder,
    result: Result<Missed, Broken>,
) -> Result<(), Failure> {
    let (totals, length_ns) = (recorder.totals(), recorder.now_ns());
    let finished = recorder.finish().await;
    let (trouble, finished) = match result {
        Ok(missed) => (Ok(missed), finished),
        Err(Broken::Source(Trouble::Lasting(sentence) | Trouble::Passing(sentence))) => {
            (Err(Failure::Runtime(sentence)), finished)
        }
        Err(Broken::File(error) | Broken::Source(Trouble::Output(error))) => {
            (Ok(Missed::default()), Err(error))
        }
    };
    let now_at = new.path().to_owned();
    if totals.ticks == 0 {
        // Whoever tries again would be told that it is there.
        new.discard();
    } else if finished.is_ok() {
        std::fs::File::open(&now_at)
            .and_then(|file| file.sync_all())
            .map_err(|error| not_written(&now_at, &error))?;
        new.keep().map_err(|error| not_created(path, &error))?;
    }
    let missed = trouble?;
    let bytes = finished.map_err(|error| not_written(&now_at, &error))?;
    if totals.ticks == 0 {
        let seconds = length_ns / 1_000_000_000;
        let what = if now_at == path { "is not kept" } else { "stays as it was" };
        let sentence = format!("no tick came within {seconds} s; {} {what}", path.display());
        return Err(Failure::Runtime(sentence));
    }
    let seconds = Duration::from_nanos(length_ns).as_secs_f64();
    complain(&format!(
        "{} ticks in {seconds:.1} s, {} of topics and payloads, are {} in {}",
        totals.ticks,
        size(totals.bytes),
        size(bytes),
        path.display()
    ));
    for sentence in missed.sentences(totals.too_large) {
        complain(&sentence);
    }
    Ok(())
}

fn not_created(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::Usage(match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{path} is there already; --force replaces it")
        }
        _ => format!("{path} cannot be made: {error}"),
    })
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let problem = match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    };
    Failure::Runtime(format!(
        "{path} cannot be written: {problem}; what is in it can be read up to its last whole block"
    ))
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    if bytes < 10_000 {
        format!("{bytes} bytes")
    } else if bytes < 10_000_000 {
        format!("{} kB", bytes / 1_000)
    } else {
        format!("{} MB", bytes / 1_000_000)
    }
}

/// A line on a terminal that tells how it goes; nothing elsewhere.
struct Progress {
    name: String,
    shown: bool,
    terminal: bool,
    last_ticks: u64,
    new: NewFile,
}

impl Progress {
    fn new(path: &Path, new: NewFile) -> Self {
        let name = path.display().to_string();
        Self { name, shown: false, terminal: io::stderr().is_terminal(), last_ticks: 0, new }
    }

    /// To be told once a second, when what there is has been handed over to be written.
    fn tell(&mut self, totals: Totals) {
        if self.last_ticks > 0 {
            // What came a second ago has not filled the disk. From here on a kill costs a second.
            // What fails is tried again at the end, and told.
            let _ = self.new.keep();
        }
        let rate = totals.ticks - self.last_ticks;
        self.last_ticks = totals.ticks;
        if self.terminal {
            self.shown = true;
            let (name, ticks, bytes) = (&self.name, totals.ticks, size(totals.bytes));
            // Nobody is left to tell that standard error is closed.
            let _ = write!(io::stderr(), "\r\x1b[K{name}: {ticks} ticks, {bytes}, {rate}/s");
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

async fn pause_or_forever(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

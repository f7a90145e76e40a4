//! The command line: `serve`, `tail`, `record`, `recording`, `import`, `check`, `config`, `keys`,
//! `audit`, `admin`, `paper-host`, `bench`.
//!
//! Errors are one sentence on standard error. Exit code 2 stands for what has to be typed or
//! configured differently (a port in use among it), 1 for what went wrong at work.

#[cfg(unix)]
mod admin;
mod args;
mod audit;
#[cfg(target_os = "linux")]
mod bench;
mod check;
mod keys;
mod logging;
mod paper_host;
mod record;
mod running;
mod serve;
mod signals;
mod tail;
mod welcome;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use self::args::{Cli, Command};
use crate::config::{self, BadConfig, Loaded};

/// Why a command ends before its time. One sentence a line, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// The command line, the configuration or the surroundings have to change. Exit code 2.
    Usage(String),
    /// Something went wrong at work. Exit code 1.
    Runtime(String),
}

impl From<BadConfig> for Failure {
    fn from(bad: BadConfig) -> Self {
        Self::Usage(bad.to_string())
    }
}

/// Runs what the command line of this process asks for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Tail(args)) => tail::run(args),
        Some(Command::Record(args)) => record::record(args),
        Some(Command::Recording(args)) => record::recording(&args),
        Some(Command::Import(args)) => record::import(&args),
        Some(Command::Check(args)) => check::check(&args),
        Some(Command::Config(args)) => check::config(&args),
        Some(Command::Keys(args)) => keys::run(args),
        Some(Command::Audit(args)) => audit::run(&args),
        #[cfg(unix)]
        Some(Command::Admin(args)) => admin::run(&args),
        Some(Command::PaperHost(args)) => paper_host::run(&args),
        #[cfg(target_os = "linux")]
        Some(Command::Bench(args)) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Some(Command::RawLoop(args)) => bench::run_raw_loop(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(sentences)) => {
            complain(&sentences);
            ExitCode::from(2)
        }
        Err(Failure::Runtime(sentences)) => {
            complain(&sentences);
            ExitCode::FAILURE
        }
    }
}

/// Help and version are answers; everything else is a mistake on the command line.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let _ = write!(io::stderr(), "tickgate: {}", text.trim_start_matches("error: "));
            ExitCode::from(2)
        }
    }
}

/// Tells the operator, one line for each sentence.
fn complain(sentences: &str) {
    let mut stderr = io::stderr().lock();
    for sentence in sentences.lines() {
        // Nobody is left to tell that standard error is closed.
        let _ = writeln!(stderr, "tickgate: {sentence}");
    }
}

/// Prints an answer.
///
/// # Errors
///
/// Fails if standard output cannot be written, other than because its reader went away.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Runtime(format!("standard output cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn load(path: Option<&Path>, openalgo: Option<&Path>) -> Result<Loaded, Failure> {
    Ok(config::load(path, openalgo)?)
}

fn current_thread_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(not_started)
}

fn multi_thread_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // Whoever is woken last would be next. When a shard gives way, that is the shard again, before
    // the clients whose requests have come in the meantime.
    #[cfg(tokio_unstable)]
    builder.disable_lifo_slot();
    builder.enable_all().build().map_err(not_started)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_started(error: io::Error) -> Failure {
    Failure::Runtime(format!("the runtime cannot be started: {error}"))
}

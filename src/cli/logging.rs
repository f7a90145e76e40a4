//! The log: to standard error, as text or JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::config::Log;

/// Starts logging for the whole process.
///
/// Records of the `log` crate stay out: at its lower levels the WebSocket library writes whole
/// messages there, keys among them.
///
/// # Errors
///
/// Fails if the filter does not parse, which a checked configuration rules out.
pub(super) fn start(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .map_err(|error| Failure::Usage(format!("`log.level` {:?}: {error}", log.level)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would tell of a log that cannot be written on the same stderr, and panic there.
        .log_internal_errors(false);
    let started = if log.json {
        tracing::subscriber::set_global_default(builder.json().finish())
    } else {
        let colours = io::stderr().is_terminal();
        tracing::subscriber::set_global_default(builder.with_ansi(colours).finish())
    };
    started.map_err(|error| Failure::Runtime(format!("logging cannot be started: {error}")))
}

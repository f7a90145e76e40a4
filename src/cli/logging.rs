//! The log: to standard error, as text or JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use super::Failure;
use crate::config::{Log, bad_log_filter};
use crate::server::LogControl;

/// Starts logging for the whole process. Its filter can be changed by what is returned.
///
/// Records of the `log` crate stay out: at its lower levels the WebSocket library writes whole
/// messages there, keys among them.
///
/// # Errors
///
/// Fails if the filter does not parse, which a checked configuration rules out.
pub(super) fn start(log: &Log) -> Result<LogControl, Failure> {
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .map_err(|error| Failure::Usage(format!("`log.level` {:?}: {error}", log.level)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would tell of a log that cannot be written on the same stderr, and panic there.
        .log_internal_errors(false);
    let (started, control) = if log.json {
        let builder = builder.json().with_filter_reloading();
        let control = control(builder.reload_handle());
        (tracing::subscriber::set_global_default(builder.finish()), control)
    } else {
        let colours = io::stderr().is_terminal();
        let builder = builder.with_ansi(colours).with_filter_reloading();
        let control = control(builder.reload_handle());
        (tracing::subscriber::set_global_default(builder.finish()), control)
    };
    started.map_err(|error| Failure::Runtime(format!("logging cannot be started: {error}")))?;
    Ok(control)
}

fn control<S: 'static>(handle: Handle<EnvFilter, S>) -> LogControl {
    Box::new(move |level| {
        if let Some(why) = bad_log_filter(level) {
            return Err(format!("the level {why}"));
        }
        let filter = EnvFilter::builder().parse(level).map_err(|error| error.to_string())?;
        let before = handle.with_current(ToString::to_string).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())?;
        Ok(before)
    })
}

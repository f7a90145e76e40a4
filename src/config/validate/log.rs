//! What a log filter must be.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::Findings;
use crate::config::problem::nearest;

impl Findings {
    pub(super) fn log(&mut self, level: &str) {
        if let Some(why) = bad_log_filter(level) {
            self.add(&["log.level"], format!("`log.level` {why}"));
        }
    }
}

/// What is wrong with a log filter, to follow its name; `None`: nothing.
#[must_use]
pub fn bad_log_filter(level: &str) -> Option<String> {
    let hint = bad_filter(level)?;
    Some(format!(
        "must be error, warn, info, debug, trace or a filter like \
         \"info,tickgate::server=debug\", got {level:?}{hint}"
    ))
}

/// Why a log filter does not say what its author meant; a hint, or nothing to add.
fn bad_filter(level: &str) -> Option<String> {
    for directive in level.split(',').map(str::trim) {
        // The filter would take a mistyped level for the name of a module, and log all of it.
        let is_plain_word = !directive.contains(['=', ':', '[']) && directive != "tickgate";
        if is_plain_word && directive.parse::<LevelFilter>().is_err() || directive.is_empty() {
            let levels = ["error", "warn", "info", "debug", "trace", "off"];
            return Some(match nearest(directive, levels) {
                Some(near) => format!("; did you mean {near:?}?"),
                None => String::new(),
            });
        }
    }
    EnvFilter::builder().parse(level).is_err().then(String::new)
}

//! A progress bar on a terminal; elsewhere a line every ten seconds, so that a log stays short.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::stopwatch::Stopwatch;

/// Pause between two lines where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// Columns of the bar.
const BAR_COLUMNS: u64 = 24;

/// Shows on stderr how far something has come.
pub(super) struct Progress {
    terminal: bool,
    stopwatch: Stopwatch,
    last_line: Duration,
}

impl Progress {
    /// Begins now.
    pub fn start() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, stopwatch: Stopwatch::start(), last_line: Duration::ZERO }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// Shows how much is done, of how much, and a few words.
    pub fn show(&mut self, done: u64, total: u64, words: &str) {
        if self.terminal {
            eprint!("\r{} {words}\x1b[K", bar(done, total));
            // A bar that cannot be shown is no reason to stop.
            let _ = std::io::stderr().flush();
        } else if self.elapsed() >= self.last_line + LINE_PAUSE {
            self.last_line = self.elapsed();
            eprintln!("{done}/{total} {words}");
        }
    }

    /// Says something that stays, above the bar.
    pub fn say(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{line}");
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = (BAR_COLUMNS * done.min(total)).checked_div(total).unwrap_or(BAR_COLUMNS);
    let (filled, empty) = (filled as usize, (BAR_COLUMNS - filled) as usize);
    format!("[{}{}] {done}/{total}", "=".repeat(filled), " ".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_empty_at_first_and_full_in_the_end() {
        assert_eq!(bar(0, 10), format!("[{}] 0/10", " ".repeat(24)));
        assert_eq!(bar(5, 10), format!("[{}{}] 5/10", "=".repeat(12), " ".repeat(12)));
        assert_eq!(bar(10, 10), format!("[{}] 10/10", "=".repeat(24)));
        assert_eq!(bar(0, 0), format!("[{}] 0/0", "=".repeat(24)));
    }
}

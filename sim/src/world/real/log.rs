//! What the gateway's process writes to its standard error, as part of the history.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::watch;

use crate::actors::Stage;
use crate::history::{Actor, Seen};
use crate::runtime::{Crash, crash};

/// Bytes of one life that are read.
const BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Lines kept to show why a process ended.
const TAIL_LINES_MAX: usize = 10;
/// What a gateway says when it has read its keys again.
const RELOADED: &str = "the files of credentials were read again";
/// Bytes of each of them.
const TAIL_LINE_BYTES_MAX: usize = 1_000;

/// The last lines. Clones are the same lines.
#[derive(Clone)]
pub(super) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// How often the gateway has said that it has read its keys again.
    reloads: watch::Sender<u64>,
}

impl Default for Tail {
    fn default() -> Self {
        Self { lines: Arc::default(), reloads: watch::Sender::new(0) }
    }
}

impl Tail {
    fn push(&self, line: &str) {
        if line.contains(RELOADED) {
            self.reloads.send_modify(|count| *count += 1);
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(TAIL_LINE_BYTES_MAX).collect());
    }

    /// How often the gateway has read its keys again.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.subscribe()
    }

    /// Each on a line of its own, indented.
    pub fn shown(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut shown, line| {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\n    {line}");
            shown
        })
    }
}

/// A line of the log.
#[derive(Deserialize)]
struct Line {
    level: String,
    target: String,
    fields: Map<String, Value>,
}

/// Reports each line of the log and each panic, until the end.
pub(super) async fn listen(stderr: impl AsyncRead + Unpin, stage: Stage, tail: Tail) {
    let mut reader = BufReader::new(stderr.take(BYTES_MAX));
    let mut line = Vec::new();
    let mut read = 0;
    // Where it panicked, while what it said is still to come.
    let mut place: Option<String> = None;
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 => read += count as u64,
            Ok(_) | Err(_) => break,
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        tail.push(text);
        if let Some(place) = place.take() {
            crash::report(Crash { message: text.to_owned(), place });
        } else if let Some(seen) = understood(text) {
            stage.saw(&Actor::Log, seen);
        } else {
            place = panicked_at(text);
        }
    }
    if read >= BYTES_MAX {
        let message = format!("the gateway writes more than {BYTES_MAX} bytes to standard error");
        crash::report(message.into());
    }
}

/// A line of the log as a simulation would have seen it.
fn understood(text: &str) -> Option<Seen> {
    let Line { level, target, fields } = serde_json::from_str(text).ok()?;
    let level = level.parse().ok()?;
    let mut text = format!("{target}:");
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(message) = fields.get("message") {
        let _ = write!(text, " {}", word(message));
    }
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        let _ = write!(text, " {name}={}", word(value));
    }
    Some(Seen::Log { level, text })
}

/// File and line of a panic whose words are on the next line.
fn panicked_at(text: &str) -> Option<String> {
    let (_, place) = text.split_once(" panicked at ")?;
    // Without the column.
    let place = place.trim_end_matches(':');
    Some(place.rsplit_once(':').map_or(place, |(place, _)| place).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_shown_as_in_a_simulation() {
        let line = r#"{"timestamp":"t","level":"WARN","fields":{"message":"oh","broker":"b",
            "count":2},"target":"tickgate::server"}"#;
        let Some(Seen::Log { level, text }) = understood(line) else { panic!("it is one") };
        assert_eq!(level, tracing::Level::WARN);
        assert_eq!(text, "tickgate::server: oh broker=b count=2");
        assert!(understood("thread 'main' panicked").is_none());
    }

    #[test]
    fn the_place_of_a_panic_is_found() {
        let line = "thread 'tokio-rt-worker' (12) panicked at src/engine/hub.rs:3:7:";
        assert_eq!(panicked_at(line).as_deref(), Some("src/engine/hub.rs:3"));
        assert_eq!(panicked_at("all is well"), None);
    }
}

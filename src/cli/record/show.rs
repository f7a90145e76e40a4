//! `tickgate recording`: what is in a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::{RecordingArgs, size};
use crate::cli::{Failure, complain, print};
use crate::recording::{self, Next, Reader, Summary};
use crate::runtime::calendar::utc_ms;

/// Topics that are listed; a market has more, and nobody reads them.
const TOPICS_LISTED_MAX: usize = 1_000;

/// Prints a summary, or the ticks.
///
/// # Errors
///
/// Fails if the file cannot be read or is no recording. What is cut or damaged is told on standard
/// error, and what is before it is shown.
pub(in crate::cli) fn recording(args: &RecordingArgs) -> Result<(), Failure> {
    let path = args.file.as_path();
    let mut reader = recording::open(path)
        .map_err(|bad| Failure::Usage(format!("{}: {bad}", path.display())))?;
    if args.csv {
        return export(path, &mut reader);
    }
    let summary = Summary::of(&mut reader).map_err(|error| not_read(path, &error))?;
    if let Some(notice) = summary.end.notice() {
        complain(&format!("{}: {notice}", path.display()));
    }
    print(&shown(&summary, reader.started_unix_ns()))
}

fn shown(summary: &Summary, started_unix_ns: u64) -> String {
    let length_ns = summary.length_ns();
    let seconds = |ns| Duration::from_nanos(ns).as_secs_f64();
    let began_ms = started_unix_ns / 1_000_000;
    let mut text = format!(
        "began    {}\nlength   {:.3} s\nticks    {}, {} of topics and payloads\n",
        utc_ms(began_ms),
        seconds(length_ns),
        summary.ticks,
        size(summary.bytes),
    );
    if let Some((first_ns, last_ns)) = summary.span_ns {
        let (first, last) = (seconds(first_ns), seconds(last_ns));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "between  {first:.3} s and {last:.3} s");
    }
    let _ = writeln!(text, "topics   {}", summary.topics.len());
    let name = |topic: &Bytes| String::from_utf8_lossy(topic).replace(char::is_control, "\u{fffd}");
    let width = summary.topics.keys().take(TOPICS_LISTED_MAX).map(|topic| name(topic).len()).max();
    let width = width.unwrap_or(0);
    for (topic, count) in summary.topics.iter().take(TOPICS_LISTED_MAX) {
        let _ = writeln!(text, "  {:width$}  {count}", name(topic));
    }
    let more = summary.topics.len().saturating_sub(TOPICS_LISTED_MAX);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    if summary.beyond > 0 {
        let _ = writeln!(text, "  and further topics with {} ticks", summary.beyond);
    }
    text
}

fn export(path: &Path, reader: &mut Reader<BufReader<File>>) -> Result<(), Failure> {
    let started_ns = reader.started_unix_ns();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Runtime(format!("standard output cannot be written: {error}")))
        }
        Ok(()) => Ok(true),
        Err(_) => Ok(false),
    };
    if !written(out.write_all(b"time_ns,topic,payload\n"))? {
        return Ok(());
    }
    loop {
        match reader.next_ticks().map_err(|error| not_read(path, &error))? {
            Next::Ticks(ticks) => {
                for tick in ticks {
                    let unix_ns = started_ns.saturating_add(tick.at_ns);
                    let (topic, payload) = (quoted(&tick.topic), quoted(&tick.payload));
                    if !written(writeln!(out, "{unix_ns},{topic},{payload}"))? {
                        return Ok(());
                    }
                }
            }
            Next::End(end) => {
                written(out.flush())?;
                if let Some(notice) = end.notice() {
                    complain(&format!("{}: {notice}", path.display()));
                }
                return Ok(());
            }
        }
    }
}

fn quoted(field: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(field).replace('"', "\"\""))
}

fn not_read(path: &Path, error: &io::Error) -> Failure {
    Failure::Runtime(format!("{} cannot be read: {error}", path.display()))
}

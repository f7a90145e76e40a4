//! `tickgate import`: a recording of a plain text file.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::{ImportArgs, not_created, not_written, size};
use crate::cli::{Failure, complain};
use crate::recording::csv::{BadCsv, CsvReader, Row, Zone};
use crate::recording::{self, BlockBuilder, Writer};

/// Reads the file to its end and makes a recording of it.
///
/// # Errors
///
/// Fails if the file makes no sense, is empty, or if the recording cannot be written.
pub(in crate::cli) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let wrong = |bad: BadCsv| Failure::Usage(format!("{}: {bad}", args.csv.display()));
    let input = File::open(&args.csv).map_err(|error| wrong(error.into()))?;
    let zone = args.zone.unwrap_or(Zone::UTC);
    let reader = CsvReader::new(BufReader::new(input), args.exchange.as_deref(), zone);
    let mut reader = reader.map_err(wrong)?;
    let first = reader.next_row().map_err(wrong)?.ok_or_else(|| {
        Failure::Usage(format!("{}: there is nothing below the head line", args.csv.display()))
    })?;
    let (mut new, file) = recording::create(&args.file, args.force)
        .map_err(|error| not_created(&args.file, &error))?;
    match write(file, &mut reader, first) {
        Ok(written) => {
            new.keep().map_err(|error| not_created(&args.file, &error))?;
            tell(args, &written, reader.unused());
            Ok(())
        }
        Err(bad) => {
            // Half a file would be taken for the whole.
            new.discard();
            Err(match bad {
                Unfinished::Input(bad) => wrong(bad),
                Unfinished::Output(error) => not_written(&args.file, &error),
            })
        }
    }
}

struct Written {
    ticks: u64,
    too_large: u64,
    bytes: u64,
    seconds: u64,
}

enum Unfinished {
    Input(BadCsv),
    Output(io::Error),
}

impl From<io::Error> for Unfinished {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn write(
    file: File,
    reader: &mut CsvReader<BufReader<File>>,
    first: Row,
) -> Result<Written, Unfinished> {
    let started_ns = first.unix_ns;
    let mut writer = Writer::new(file, started_ns)?;
    let mut builder = BlockBuilder::default();
    let (mut ticks, mut too_large, mut at_ns) = (0, 0, 0);
    let mut next = Some(first);
    while let Some(row) = next {
        at_ns = row.unix_ns - started_ns;
        match builder.push(at_ns, row.topic.as_bytes(), row.payload.as_bytes()) {
            Ok(()) => ticks += 1,
            Err(_) => too_large += 1,
        }
        if builder.is_full()
            && let Some(block) = builder.take()
        {
            writer.write(&block)?;
        }
        next = reader.next_row().map_err(Unfinished::Input)?;
    }
    if let Some(block) = builder.take() {
        writer.write(&block)?;
    }
    writer.finish(at_ns)?;
    let (bytes, seconds) = (writer.bytes(), at_ns / 1_000_000_000);
    writer.into_inner().sync_all()?;
    Ok(Written { ticks, too_large, bytes, seconds })
}

fn tell(args: &ImportArgs, written: &Written, unused: &[String]) {
    let shown = |path: &Path| path.display().to_string();
    let Written { ticks, too_large, bytes, seconds } = written;
    complain(&format!(
        "{ticks} ticks of {seconds} s are {} in {}",
        size(*bytes),
        shown(&args.file)
    ));
    if !unused.is_empty() {
        complain(&format!("nothing is made of the columns {}", unused.join(", ")));
    }
    if *too_large > 0 {
        complain(&format!("{too_large} lines are not in it, because their names are too long"));
    }
}

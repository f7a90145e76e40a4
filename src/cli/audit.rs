//! `tickgate audit`: reads the audit log back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::args::AuditArgs;
use super::{Failure, complain, print};
use crate::audit::sibling;
use crate::runtime::calendar;
use crate::runtime::{Runtime, TokioRuntime};

/// Bytes of a line; the gateway writes none that is longer.
const LINE_BYTES_MAX: u64 = 65_536;

/// Rotated files that are looked for.
const SIBLINGS_MAX: usize = 1_000;

/// A moment on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Milliseconds since 1970.
    At(u64),
    /// Milliseconds before now.
    Ago(u64),
}

impl Moment {
    /// Reads `2026-11-21T09:15:00`, or `90s`, `30m`, `2h`, `7d`: so long ago.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(unix_ms) = calendar::unix_ms(text) {
            return Ok(Self::At(unix_ms));
        }
        calendar::span_ms(text).map(Self::Ago).ok_or_else(|| {
            "write a moment in UTC, as 2026-11-21T09:15:00, or how long ago, as 2h".to_owned()
        })
    }

    const fn unix_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::At(unix_ms) => unix_ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

/// A line of the log.
#[derive(Debug, Deserialize)]
struct Seen {
    unix_ms: u64,
    time: String,
    event: String,
    client: Option<u64>,
    address: Option<IpAddr>,
    user: Option<String>,
    role: Option<String>,
    #[serde(flatten)]
    details: Map<String, Value>,
}

struct Filter<'a> {
    args: &'a AuditArgs,
    since_ms: u64,
    until_ms: u64,
}

/// Prints the records that are asked for.
///
/// # Errors
///
/// Fails if a file cannot be read. Lines that are no records are told of and passed over.
pub(super) fn run(args: &AuditArgs) -> Result<(), Failure> {
    let now_ms = TokioRuntime::new().unix_ms();
    let filter = Filter {
        args,
        since_ms: args.since.map_or(0, |moment| moment.unix_ms(now_ms)),
        until_ms: args.until.map_or(u64::MAX, |moment| moment.unix_ms(now_ms)),
    };
    let mut shown = 0;
    for path in files(args) {
        read(&path, &filter, &mut shown)?;
    }
    if shown == 0 {
        complain("no record matches");
    }
    Ok(())
}

/// The files to read, oldest first.
fn files(args: &AuditArgs) -> Vec<PathBuf> {
    let older = if args.all { SIBLINGS_MAX } else { 0 };
    let siblings = (1..=older).rev().map(|number| sibling(&args.file, number));
    siblings.filter(|path| path.exists()).chain([args.file.clone()]).collect()
}

fn read(path: &Path, filter: &Filter<'_>, shown: &mut u64) -> Result<(), Failure> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| Failure::Usage(failed(error)))?;
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let part = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if part.map_err(|error| Failure::Runtime(failed(error)))? == 0 {
            break;
        }
        let is_whole = line.len() as u64 != LINE_BYTES_MAX || line.ends_with(b"\n");
        if !is_whole {
            lines.skip_until(b'\n').map_err(|error| Failure::Runtime(failed(error)))?;
        }
        let seen = std::str::from_utf8(&line).ok().filter(|_| is_whole);
        let seen = seen.and_then(|text| Some((text, serde_json::from_str::<Seen>(text).ok()?)));
        let Some((text, seen)) = seen else {
            complain(&format!("{}:{number}: not a record; passed over", path.display()));
            continue;
        };
        if !filter.takes(&seen) {
            continue;
        }
        if filter.args.json {
            print(&format!("{}\n", text.trim_end()))?;
        } else {
            if *shown == 0 {
                print(&row(&["TIME", "EVENT", "CLIENT", "ADDRESS", "USER", "DETAILS"]))?;
            }
            print(&seen.row())?;
        }
        *shown += 1;
    }
    Ok(())
}

impl Filter<'_> {
    fn takes(&self, seen: &Seen) -> bool {
        let args = self.args;
        let in_time = (self.since_ms..self.until_ms).contains(&seen.unix_ms);
        let user = args.user.as_ref().is_none_or(|user| seen.user.as_ref() == Some(user));
        let client = args.client.is_none_or(|client| seen.client == Some(client));
        let event =
            args.event.is_empty() || args.event.iter().any(|event| event.as_str() == seen.event);
        in_time && user && client && event && args.address.is_none_or(|net| seen.is_within(net))
    }
}

impl Seen {
    /// Whether it is about an address of a network, or about a network that has to do with it.
    fn is_within(&self, network: IpNet) -> bool {
        let blocked = self.details.get("network").and_then(Value::as_str);
        let blocked = blocked.and_then(|text| text.parse::<IpNet>().ok());
        self.address.is_some_and(|address| network.contains(&address))
            || blocked.is_some_and(|net| net.contains(&network) || network.contains(&net))
    }

    fn row(&self) -> String {
        let role = self.role.iter().map(|role| ("role", role.clone()));
        let details = self.details.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name.as_str(), text)
        });
        let details: Vec<_> =
            role.chain(details).map(|(name, value)| format!("{name}={value}")).collect();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        row(&[
            &self.time,
            &self.event,
            &or_dash(self.client.map(|client| client.to_string())),
            &or_dash(self.address.map(|address| address.to_string())),
            &or_dash(self.user.clone()),
            &details.join(" "),
        ])
    }
}

/// One line of the table. What a name holds must not move the cursor.
fn row(cells: &[&str; 6]) -> String {
    let [time, event, client, address, user, details] = cells.map(|cell| {
        let escape = |c: char| if c.is_control() { '?' } else { c };
        cell.chars().map(escape).collect::<String>()
    });
    let row = format!("{time:24}  {event:24}  {client:>6}  {address:15}  {user:12}  {details}");
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(Moment::parse("2h"), Ok(Moment::Ago(7_200_000)));
        assert_eq!(Moment::parse("1970-01-01T00:00:01"), Ok(Moment::At(1_000)));
        for bad in ["", "h", "2", "2w", "-1h", "99999999999999999d", "ö"] {
            assert!(Moment::parse(bad).is_err(), "{bad:?}");
        }
    }
}

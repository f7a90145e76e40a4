//! The file by which OpenAlgo's health monitor learns what its WebSocket proxy does.
//!
//! It reads four numbers, and takes a file that is older than a minute for none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::status::{ROWS_DEFAULT, SessionState, Status, StatusSource};
use crate::runtime::Runtime;
use crate::topic::BrokerName;

/// How often the proxy writes it.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is in the file.
#[derive(Debug, PartialEq, Serialize)]
struct Stats {
    /// Seconds since the epoch.
    timestamp: f64,
    /// Sessions at brokers.
    total_connections: u64,
    /// Topics that somebody wants.
    total_symbols: u64,
    clients_connected: u64,
    /// The broker of each session; of very many the first.
    brokers: Vec<BrokerName>,
}

impl Stats {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 285,000 years")]
    fn new(status: &Status, unix_ms: u64) -> Self {
        let is_open = |state: SessionState| state == SessionState::Connected;
        let open = status.users.iter().filter(|user| is_open(user.session.state));
        let connected = status.sessions_by_state.get(&SessionState::Connected);
        Self {
            timestamp: unix_ms as f64 / 1_000.0,
            total_connections: connected.copied().unwrap_or_default(),
            total_symbols: status.topics_total,
            clients_connected: status.clients.total,
            brokers: open.map(|user| user.broker.clone()).collect(),
        }
    }
}

/// Writes the file at once and then at intervals, until it is dropped. That the file cannot be
/// written is told in the log, the 1st, 2nd, 4th time, and nobody else's concern.
pub(super) async fn keep<R: Runtime>(runtime: R, source: impl StatusSource, path: PathBuf) {
    let mut failures = 0_u64;
    let mut turns = tokio::time::interval(INTERVAL);
    loop {
        turns.tick().await;
        let Some(status) = source.status(ROWS_DEFAULT).await else { continue };
        let stats = Stats::new(&status, runtime.unix_ms());
        let target = path.clone();
        if let Err(error) = runtime.offload(move || write(&target, &stats)).await {
            failures += 1;
            if failures.is_power_of_two() {
                let path = path.display();
                tracing::warn!(%error, failures, %path, "admin.stats_file cannot be written");
            }
        }
    }
}

/// Whoever reads meanwhile finds the old file or the new one, and nothing in between.
fn write(path: &Path, stats: &Stats) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".tmp");
    fs::write(&new, serde_json::to_vec(stats)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_openalgo_reads() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("stats.json");
        let mut status = Status { topics_total: 7, ..Status::default() };
        status.clients.total = 3;
        status.sessions_by_state = [(SessionState::Connected, 1), (SessionState::Down, 5)].into();
        fs::write(&path, "something older, and longer than what is written now ....").expect("x");
        write(&path, &Stats::new(&status, 1_795_235_916_910)).expect("written");
        let text = fs::read_to_string(&path).expect("a file");
        assert_eq!(
            text,
            r#"{"timestamp":1795235916.91,"total_connections":1,"total_symbols":7,"clients_connected":3,"brokers":[]}"#
        );
        assert!(write(&directory.path().join("none/stats.json"), &Stats::new(&status, 0)).is_err());
    }
}

//! The task that brings the queue to the file.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::file::{Line, LogFile};
use super::{Audit, Counts, QUEUE_MAX, Record, Roll};
use crate::config::Audit as Config;
use crate::runtime::{Runtime, Task};

/// Records that are written at once.
const BATCH_MAX: usize = 256;

/// Pause after a failed attempt to write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Ends the log politely.
#[derive(Debug)]
pub struct Stop(oneshot::Sender<oneshot::Sender<()>>);

impl Stop {
    /// Takes no more records, and waits until what waits is written or cannot be.
    pub async fn stop(self) {
        let (done, wait) = oneshot::channel();
        if self.0.send(done).is_ok() {
            // An error means that the task has ended.
            let _ = wait.await;
        }
    }
}

/// Starts the log that the configuration asks for; `None`: it asks for none.
///
/// # Errors
///
/// Fails if the file cannot be opened. Later errors are counted, warned of and tried again.
pub async fn start<R: Runtime>(
    runtime: &R,
    config: &Config,
) -> io::Result<Option<(Audit, Task, Stop)>> {
    let Some(path) = config.file.clone() else { return Ok(None) };
    let mut file = LogFile::new(path, config);
    let opening = runtime.offload(move || file.open().map(|()| file));
    let file = opening.await?;
    let clock = runtime.clone();
    let (audit, records) = Audit::channel(QUEUE_MAX, move || clock.unix_ms());
    let (stop, stopping) = oneshot::channel();
    let writer = Writer {
        runtime: runtime.clone(),
        file: Some(file),
        lines: VecDeque::new(),
        roll: Roll::default(),
        counts: audit.counts(),
    };
    let task = runtime.spawn("audit", writer.run(records, stopping));
    Ok(Some((audit, task, Stop(stop))))
}

struct Writer<R> {
    runtime: R,
    /// `None` while it is being written.
    file: Option<LogFile>,
    lines: VecDeque<Line>,
    roll: Roll,
    counts: Arc<Counts>,
}

impl<R: Runtime> Writer<R> {
    async fn run(
        mut self,
        mut records: mpsc::Receiver<Record>,
        mut stopping: oneshot::Receiver<oneshot::Sender<()>>,
    ) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let done = loop {
            if !self.lines.is_empty() && self.write().await.is_err() {
                tokio::select! {
                    biased;
                    done = &mut stopping => break done,
                    () = tokio::time::sleep(RETRY_PAUSE) => continue,
                }
            }
            tokio::select! {
                biased;
                done = &mut stopping => break done,
                taken = records.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                }
            }
            self.take(&mut batch);
        };
        // Whoever could have said to stop may be gone: then nobody waits for the rest.
        let Ok(done) = done else { return };
        records.close();
        while records.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.take(&mut batch);
        }
        // Its error is counted; there is no later.
        let _ = self.write().await;
        let _ = done.send(());
    }

    fn take(&mut self, batch: &mut Vec<Record>) {
        for mut record in batch.drain(..) {
            self.roll.complete(&mut record);
            self.lines.push_back(Line { unix_ms: record.unix_ms, bytes: record.to_line() });
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let mut file = self.file.take().expect("it is given back after each write");
        let mut lines = std::mem::take(&mut self.lines);
        let before = lines.len();
        let work = move || {
            let result = file.write(&mut lines);
            (file, lines, result)
        };
        let (file, lines, result) = self.runtime.offload(work).await;
        self.file = Some(file);
        self.lines = lines;
        let written = (before - self.lines.len()) as u64;
        self.counts.written.fetch_add(written, Ordering::Relaxed);
        self.counts.failing.store(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result {
            let errors = self.counts.errors.fetch_add(1, Ordering::Relaxed) + 1;
            if errors.is_power_of_two() {
                tracing::warn!(%error, errors, "the audit log cannot be written; trying again");
            }
        }
        result
    }
}

//! Ticks on their way into a file, without waiting for the disk.

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};

use super::block::{Block, BlockBuilder};
use super::writer::Writer;
use crate::runtime::{Clock, Runtime, Task};

/// Blocks that wait for the disk, up to 16 MiB; beyond, whoever records waits, and with it the bus.
const BLOCKS_WAITING_MAX: usize = 64;

/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ticks.
    pub ticks: u64,
    /// Bytes of their topics and payloads.
    pub bytes: u64,
    /// Ticks left out because they were too large.
    pub too_large: u64,
}

/// A recording that is being made.
///
/// The last second may be lost if the process dies; see [`Recorder::flush`].
#[derive(Debug)]
pub struct Recorder {
    clock: Clock,
    builder: BlockBuilder,
    totals: Totals,
    jobs: mpsc::Sender<Job>,
    /// How writing has ended; `None`: that was said.
    written: Option<oneshot::Receiver<io::Result<u64>>>,
    _task: Task,
}

/// What the disk is asked to do.
enum Job {
    Write(Block),
    Finish { length_ns: u64 },
}

impl Recorder {
    /// Begins to record. Times count from now, which is when `writer` was made.
    pub fn start<R, W>(runtime: &R, writer: Writer<W>) -> Self
    where
        R: Runtime,
        W: Write + Send + 'static,
    {
        let (jobs, waiting) = mpsc::channel(BLOCKS_WAITING_MAX);
        let (done, written) = oneshot::channel();
        let work = write(runtime.clone(), writer, waiting, done);
        let task = runtime.spawn("recorder", work);
        let (builder, totals) = (BlockBuilder::default(), Totals::default());
        let written = Some(written);
        Self { clock: Clock::start(), builder, totals, jobs, written, _task: task }
    }

    /// Time since the recording began, in nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.clock.now().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What was recorded so far.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Records a tick that was received at `at_ns`, not before the one before it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub async fn record(&mut self, at_ns: u64, topic: &[u8], payload: &[u8]) -> io::Result<()> {
        match self.builder.push(at_ns, topic, payload) {
            Ok(()) => {
                self.totals.ticks += 1;
                self.totals.bytes += (topic.len() + payload.len()) as u64;
            }
            Err(reason) => {
                tracing::debug!(%reason, "a tick is not recorded");
                self.totals.too_large += 1;
            }
        }
        if self.builder.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Has written what was recorded, as a block. To be called about once a second. Cancel-safe:
    /// what was not handed over stays.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub async fn flush(&mut self) -> io::Result<()> {
        if let Ok(room) = self.jobs.reserve().await {
            if let Some(block) = self.builder.take() {
                room.send(Job::Write(block));
            }
            return Ok(());
        }
        self.outcome().await.map(|_| ())
    }

    /// Ends the recording and returns how many bytes the file has.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub async fn finish(mut self) -> io::Result<u64> {
        let length_ns = self.now_ns();
        self.flush().await?;
        // If nobody takes it, the outcome says why.
        let _ = self.jobs.send(Job::Finish { length_ns }).await;
        self.outcome().await
    }

    async fn outcome(&mut self) -> io::Result<u64> {
        let ended = || io::Error::other("the recording has ended");
        let Some(written) = &mut self.written else { return Err(ended()) };
        let outcome = written.await;
        self.written = None;
        outcome.map_err(|_| ended()).flatten()
    }
}

async fn write<R: Runtime, W: Write + Send + 'static>(
    runtime: R,
    mut writer: Writer<W>,
    mut jobs: mpsc::Receiver<Job>,
    done: oneshot::Sender<io::Result<u64>>,
) {
    while let Some(job) = jobs.recv().await {
        let is_last = matches!(job, Job::Finish { .. });
        let work = move || {
            let result = match job {
                Job::Write(block) => writer.write(&block),
                Job::Finish { length_ns } => writer.finish(length_ns),
            };
            (writer, result)
        };
        let (back, result) = runtime.offload(work).await;
        writer = back;
        if is_last || result.is_err() {
            // Whoever records may be gone.
            let _ = done.send(result.map(|()| writer.bytes()));
            return;
        }
    }
}

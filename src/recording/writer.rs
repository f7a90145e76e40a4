//! From ticks to a file.

use std::io::{self, Write};

use super::block::Block;
use super::layout::{done_head, file_head};

/// A recording that is being written. What was written is whole after each block.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    ticks: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording. Times count from `started_unix_ns`, nanoseconds since 1970.
    ///
    /// # Errors
    ///
    /// Fails if `out` does.
    pub fn new(mut out: W, started_unix_ns: u64) -> io::Result<Self> {
        let head = file_head(started_unix_ns);
        out.write_all(&head)?;
        out.flush()?;
        Ok(Self { out, ticks: 0, bytes: head.len() as u64 })
    }

    /// Compresses and writes a block.
    ///
    /// # Errors
    ///
    /// Fails if `out` does. What was written before can still be read.
    pub fn write(&mut self, block: &Block) -> io::Result<()> {
        let bytes = block.encode()?;
        self.out.write_all(&bytes)?;
        self.out.flush()?;
        self.ticks += u64::from(block.ticks());
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Ends the recording, which has lasted `length_ns`.
    ///
    /// # Errors
    ///
    /// Fails if `out` does. What was written before can still be read.
    pub fn finish(&mut self, length_ns: u64) -> io::Result<()> {
        let head = done_head(self.ticks, length_ns);
        self.out.write_all(&head)?;
        self.bytes += head.len() as u64;
        self.out.flush()
    }

    /// Bytes written.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it writes to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

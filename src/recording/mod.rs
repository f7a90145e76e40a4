//! Recordings: ticks as they were on the bus, and when, in one compressed file.
//!
//! A file is a head, any number of blocks, and an end. All numbers are little-endian, all times
//! nanoseconds since the recording began.
//!
//! | head, 32 bytes | |
//! |---|---|
//! | 0..8 | `tickrec` and a line feed |
//! | 8..10 | version, 1 |
//! | 10..16 | zero |
//! | 16..24 | when the recording began: nanoseconds since 1970 |
//! | 24..32 | XXH3-64 of the 24 bytes before |
//!
//! | block, 40 bytes and a body | |
//! |---|---|
//! | 0..4 | `TICK` |
//! | 4..8 | bytes of the body, a Zstandard frame |
//! | 8..12 | bytes of the body when it is decompressed, at most [`RAW_BYTES_MAX`] |
//! | 12..16 | ticks in it, at least 1 |
//! | 16..24, 24..32 | times of its first and its last tick |
//! | 32..40 | XXH3-64 of the 32 bytes before and of the body |
//!
//! A decompressed body is its ticks, each as three LEB128 numbers with what they announce: time
//! since the tick before (0 for the first); 0 and a new topic with its length in front, or the
//! number of one that this block had, counted from 1; the payload's length, and the payload.
//!
//! The end looks like a block without a body, with `DONE` in place of `TICK`, the number of all
//! ticks in place of the first time and the length of the recording in place of the last.
//!
//! Each block can be read without the others. So whoever seeks goes from head to head without
//! reading bodies, and a file that was cut off is good up to its last whole block; it lacks the
//! end, by which that is noticed.

mod block;
pub mod bus;
pub mod csv;
mod file;
mod layout;
mod reader;
mod recorder;
mod summary;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;

pub use block::{BadTick, Block, BlockBuilder};
pub use file::{NewFile, create, open};
pub use layout::{BadRecording, Damage};
pub use reader::{End, Next, Reader};
pub use recorder::{Recorder, Totals};
pub use summary::{Summary, TOPICS_SHOWN_MAX};
pub use writer::Writer;

/// Bytes of a topic.
pub const TOPIC_BYTES_MAX: usize = 1_024;
/// Bytes of a payload: what a publisher can send through a bus as it is configured by default.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Decompressed bytes at which a block is ended.
pub const BLOCK_BYTES: usize = 256 << 10;
/// Decompressed bytes of the largest block: one tick of the greatest size came last.
pub const RAW_BYTES_MAX: usize = BLOCK_BYTES + TOPIC_BYTES_MAX + PAYLOAD_BYTES_MAX + 64;

/// A tick of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it was received: nanoseconds since the recording began. Never less than before.
    pub at_ns: u64,
    /// The first part, as `NSE_RELIANCE_LTP`.
    pub topic: Bytes,
    /// The second part, byte for byte.
    pub payload: Bytes,
}

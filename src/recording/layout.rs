//! The fixed parts of a file: its head, and the heads of blocks.

use std::io;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{BLOCK_BYTES, RAW_BYTES_MAX};

/// Bytes of the head of a file.
pub(super) const FILE_HEAD_BYTES: usize = 32;
/// Bytes of the head of a block.
pub(super) const BLOCK_HEAD_BYTES: usize = 40;
/// Bytes of a compressed body. Zstandard makes what cannot be compressed longer by less.
pub(super) const BODY_BYTES_MAX: usize = RAW_BYTES_MAX + RAW_BYTES_MAX / 128 + 1_024;

const MAGIC: &[u8; 8] = b"tickrec\n";
const VERSION: u16 = 1;
const TICKS: &[u8; 4] = b"TICK";
const DONE: &[u8; 4] = b"DONE";
/// A tick is at least three numbers.
const TICK_BYTES_MIN: usize = 3;

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum BadRecording {
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It begins otherwise.
    #[error("it is no recording of `tickgate record` or `tickgate import`")]
    NotARecording,
    /// A later program wrote it.
    #[error("it has version {0} of the format, and this program reads version {VERSION}")]
    Version(u16),
    /// Its head is damaged.
    #[error("its first {FILE_HEAD_BYTES} bytes are damaged")]
    Head,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Neither a block nor the end.
    #[error("no block begins there")]
    NoBlock,
    /// Lengths or times that no block has.
    #[error("a block announces what no block has")]
    Announced,
    /// The checksum is wrong.
    #[error("the checksum is wrong")]
    Checksum,
    /// The body is no Zstandard frame, or holds something else than was announced.
    #[error("a body is not what was announced")]
    Body,
    /// A block begins before the one in front of it ends.
    #[error("time runs backwards")]
    Order,
}

/// What the head of a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockHead {
    /// A body follows.
    Ticks(BodyHead),
    /// Nothing follows.
    Done { ticks: u64, length_ns: u64 },
}

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyHead {
    pub body_bytes: usize,
    pub raw_bytes: usize,
    pub ticks: u32,
    pub first_ns: u64,
    pub last_ns: u64,
    pub checksum: u64,
}

pub(super) fn file_head(started_unix_ns: u64) -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&started_unix_ns.to_le_bytes());
    let checksum = xxh3_64(&head[..24]);
    head[24..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// When the recording began, in nanoseconds since 1970.
pub(super) fn parse_file_head(head: &[u8; FILE_HEAD_BYTES]) -> Result<u64, BadRecording> {
    if !head.starts_with(MAGIC) {
        return Err(BadRecording::NotARecording);
    }
    match u16::from_le_bytes(array(head, 8)) {
        VERSION => {}
        other => return Err(BadRecording::Version(other)),
    }
    if u64::from_le_bytes(array(head, 24)) != xxh3_64(&head[..24]) {
        return Err(BadRecording::Head);
    }
    Ok(u64::from_le_bytes(array(head, 16)))
}

/// The head of a block with this body; its own checksum does not count.
pub(super) fn block_head(of: &BodyHead, body: &[u8]) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[..4].copy_from_slice(TICKS);
    head[4..8].copy_from_slice(&length(of.body_bytes));
    head[8..12].copy_from_slice(&length(of.raw_bytes));
    head[12..16].copy_from_slice(&of.ticks.to_le_bytes());
    head[16..24].copy_from_slice(&of.first_ns.to_le_bytes());
    head[24..32].copy_from_slice(&of.last_ns.to_le_bytes());
    sealed(head, body)
}

/// What stands at the end of a file.
pub(super) fn done_head(ticks: u64, length_ns: u64) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[..4].copy_from_slice(DONE);
    head[16..24].copy_from_slice(&ticks.to_le_bytes());
    head[24..32].copy_from_slice(&length_ns.to_le_bytes());
    sealed(head, &[])
}

pub(super) fn parse_block_head(head: &[u8; BLOCK_HEAD_BYTES]) -> Result<BlockHead, Damage> {
    let long = |at| u64::from_le_bytes(array(head, at));
    let short = |at| u32::from_le_bytes(array(head, at));
    if head.starts_with(DONE) {
        let done = BlockHead::Done { ticks: long(16), length_ns: long(24) };
        return if long(32) == checksum(head, &[]) { Ok(done) } else { Err(Damage::Checksum) };
    }
    if !head.starts_with(TICKS) {
        return Err(Damage::NoBlock);
    }
    let body = BodyHead {
        body_bytes: short(4) as usize,
        raw_bytes: short(8) as usize,
        ticks: short(12),
        first_ns: long(16),
        last_ns: long(24),
        checksum: long(32),
    };
    let fits = body.body_bytes <= BODY_BYTES_MAX
        && body.raw_bytes <= RAW_BYTES_MAX
        && (1..=body.raw_bytes / TICK_BYTES_MIN).contains(&(body.ticks as usize))
        && body.first_ns <= body.last_ns;
    if fits { Ok(BlockHead::Ticks(body)) } else { Err(Damage::Announced) }
}

/// What the last eight bytes of a head must be.
pub(super) fn checksum(head: &[u8; BLOCK_HEAD_BYTES], body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&head[..32]);
    hash.update(body);
    hash.digest()
}

fn sealed(mut head: [u8; BLOCK_HEAD_BYTES], body: &[u8]) -> [u8; BLOCK_HEAD_BYTES] {
    let checksum = checksum(&head, body);
    head[32..].copy_from_slice(&checksum.to_le_bytes());
    head
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a block is small").to_le_bytes()
}

fn array<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    head[at..at + N].try_into().expect("as long as asked for")
}

const _: () = assert!(BLOCK_BYTES <= RAW_BYTES_MAX && BODY_BYTES_MAX <= u32::MAX as usize);

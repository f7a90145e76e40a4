//! From a file to ticks, one block at a time.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::Tick;
use super::block::decode;
use super::layout::{
    BLOCK_HEAD_BYTES, BadRecording, BlockHead, BodyHead, Damage, FILE_HEAD_BYTES, checksum,
    parse_block_head, parse_file_head,
};

/// A recording that is being read. Holds one block at a time: a few megabytes at the most.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    started_unix_ns: u64,
    /// Where the next block begins.
    at: u64,
    bytes: u64,
    /// Ticks before that are left out.
    from_ns: u64,
    /// Of what was read or passed over.
    ticks: u64,
    last_ns: u64,
    ended: Option<End>,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Whole {
        /// How long it is, the silence behind the last tick included.
        length_ns: u64,
    },
    /// In the middle: whoever wrote it was killed, or the disk was full. All before is good.
    Cut {
        /// Bytes of what is good.
        at: u64,
    },
    /// What comes then cannot be read. All before is good.
    Damaged {
        /// Bytes of what is good.
        at: u64,
        /// What is wrong there.
        damage: Damage,
    },
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ticks, at least one.
    Ticks(Vec<Tick>),
    /// Nothing more, however often it is asked.
    End(End),
}

impl<R: Read + Seek> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// Fails if this is no recording.
    pub fn new(mut input: R) -> Result<Self, BadRecording> {
        let bytes = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let mut head = [0; FILE_HEAD_BYTES];
        match input.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(BadRecording::NotARecording);
            }
            result => result?,
        }
        let started_unix_ns = parse_file_head(&head)?;
        let (at, from_ns) = (head.len() as u64, 0);
        Ok(Self { input, started_unix_ns, at, bytes, from_ns, ticks: 0, last_ns: 0, ended: None })
    }

    /// When the recording began, in nanoseconds since 1970.
    #[must_use]
    pub const fn started_unix_ns(&self) -> u64 {
        self.started_unix_ns
    }

    /// Begins anew, with the first tick at `from_ns` or later. Blocks before are not read.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read any more.
    pub fn seek(&mut self, from_ns: u64) -> io::Result<()> {
        self.at = FILE_HEAD_BYTES as u64;
        (self.from_ns, self.ticks, self.last_ns, self.ended) = (from_ns, 0, 0, None);
        self.input.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    /// The ticks of the next block.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read any more. What is wrong with its contents is an [`End`].
    pub fn next_ticks(&mut self) -> io::Result<Next> {
        loop {
            if let Some(end) = self.ended {
                return Ok(Next::End(end));
            }
            match self.step()? {
                Step::Ticks(mut ticks) => {
                    ticks.retain(|tick| tick.at_ns >= self.from_ns);
                    if !ticks.is_empty() {
                        return Ok(Next::Ticks(ticks));
                    }
                }
                Step::PassedOver => {}
                Step::End(end) => self.ended = Some(end),
            }
        }
    }

    /// Time of the last tick that was read or passed over.
    #[must_use]
    pub const fn last_ns(&self) -> u64 {
        self.last_ns
    }

    fn step(&mut self) -> io::Result<Step> {
        let at = self.at;
        let damaged = |damage| Ok(Step::End(End::Damaged { at, damage }));
        let left = self.bytes.saturating_sub(at);
        if left < BLOCK_HEAD_BYTES as u64 {
            return Ok(Step::End(End::Cut { at }));
        }
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        self.input.read_exact(&mut bytes)?;
        let head = match parse_block_head(&bytes) {
            Ok(BlockHead::Ticks(head)) => head,
            Ok(BlockHead::Done { ticks, length_ns }) => {
                let agrees = ticks == self.ticks && length_ns >= self.last_ns;
                let end = if agrees {
                    End::Whole { length_ns }
                } else {
                    End::Damaged { at, damage: Damage::Announced }
                };
                return Ok(Step::End(end));
            }
            Err(damage) => return damaged(damage),
        };
        let block_bytes = (BLOCK_HEAD_BYTES + head.body_bytes) as u64;
        if left < block_bytes {
            return Ok(Step::End(End::Cut { at }));
        }
        if head.first_ns < self.last_ns {
            return damaged(Damage::Order);
        }
        let step = if head.last_ns < self.from_ns {
            self.input.seek(SeekFrom::Start(at + block_bytes))?;
            Step::PassedOver
        } else {
            match self.body(&bytes, &head)? {
                Ok(ticks) => Step::Ticks(ticks),
                Err(damage) => return damaged(damage),
            }
        };
        self.at = at + block_bytes;
        self.last_ns = head.last_ns;
        self.ticks += u64::from(head.ticks);
        Ok(step)
    }

    fn body(
        &mut self,
        bytes: &[u8; BLOCK_HEAD_BYTES],
        head: &BodyHead,
    ) -> io::Result<Result<Vec<Tick>, Damage>> {
        let mut body = vec![0; head.body_bytes];
        self.input.read_exact(&mut body)?;
        if checksum(bytes, &body) != head.checksum {
            return Ok(Err(Damage::Checksum));
        }
        Ok(decode(head, &body))
    }
}

enum Step {
    Ticks(Vec<Tick>),
    /// A block in front of where reading begins.
    PassedOver,
    End(End),
}

impl End {
    /// What there is to tell of it, for people; `None` if all is well.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::Whole { .. } => None,
            Self::Cut { at } => Some(format!(
                "the recording was cut off: it has no end, and is read up to its last whole block \
                 ({at} bytes)"
            )),
            Self::Damaged { at, damage } => Some(format!(
                "the recording is damaged behind its first {at} bytes ({damage}), and is read up \
                 to there"
            )),
        }
    }
}

//! Bytes to messages and commands.

use bytes::{Buf, Bytes, BytesMut};

use super::fault::ProtocolError;
use super::message::Message;
use super::options::Options;
use super::wire::{COMMAND, LONG, MORE};

/// Room for one read of a peer that says little.
const READ_BYTES_MIN: usize = 4 << 10;
/// Room for one read of a busy peer.
const READ_BYTES_MAX: usize = 64 << 10;

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame.
    pub frame_bytes_max: usize,
    /// Parts of one message.
    pub parts_max: usize,
    /// Bytes of all parts of one message.
    pub message_bytes_max: usize,
}

impl From<&Options> for Limits {
    fn from(options: &Options) -> Self {
        Self {
            frame_bytes_max: options.frame_bytes_max,
            parts_max: options.parts_max,
            message_bytes_max: options.message_bytes_max,
        }
    }
}

/// What a [`Decoder`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole message.
    Message(Message),
    /// The body of a command frame, for [`Command::parse`](super::codec::Command::parse).
    Command(Bytes),
}

/// Cuts a stream of bytes into messages and commands.
///
/// Holds at most twice the bytes that have arrived (and one read), never what a peer merely
/// announced.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    /// Room to make for the next read.
    read_bytes: usize,
    /// Parts of a message whose last part has not come.
    parts: Vec<Bytes>,
    parts_bytes: usize,
}

/// A frame's header, checked.
struct Header {
    flags: u8,
    header_bytes: usize,
    body_bytes: usize,
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            parts: Vec::new(),
            parts_bytes: 0,
        }
    }

    /// Replaces the limits, e.g. after the handshake.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes that have arrived and were not taken yet.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes bytes away from the front, e.g. the greeting.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer.
    pub fn skip(&mut self, count: usize) {
        self.buffer.advance(count);
    }

    /// The buffer to read into, with room made. Report the read with [`Self::filled`].
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        // A frame that is larger than one read: room grows with what has arrived.
        let wanted = self.read_bytes.max(self.buffer.len());
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < wanted / 4 && !self.buffer.try_reclaim(wanted / 4) {
            let mut roomy = BytesMut::with_capacity(self.buffer.len() + wanted);
            roomy.extend_from_slice(&self.buffer);
            self.buffer = roomy;
        }
        &mut self.buffer
    }

    /// Adapts the room of the next read to the size of this one.
    pub fn filled(&mut self, count: usize) {
        if self.buffer.len() == self.buffer.capacity() {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 8 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }

    /// Gives back memory while the peer is silent.
    pub fn rest(&mut self) {
        self.read_bytes = READ_BYTES_MIN;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Takes the next message or command; `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Fails if the peer broke a rule. The stream cannot be read any further.
    pub fn next_item(&mut self) -> Result<Option<Item>, ProtocolError> {
        while let Some(header) = self.header()? {
            if header.flags & COMMAND == 0 {
                self.check_message(&header)?;
            }
            if self.buffer.len() < header.header_bytes + header.body_bytes {
                return Ok(None);
            }
            self.buffer.advance(header.header_bytes);
            let body = match header.body_bytes {
                0 => Bytes::new(),
                body_bytes => self.buffer.split_to(body_bytes).freeze(),
            };
            // libzmq may send a PING between two parts of a message.
            if header.flags & COMMAND != 0 {
                return Ok(Some(Item::Command(body)));
            }
            if header.flags & MORE == 0 {
                return Ok(Some(Item::Message(self.finish(body))));
            }
            self.parts_bytes += body.len();
            self.parts.push(body);
        }
        Ok(None)
    }

    /// Reads and checks a header, before anything is allocated for its frame.
    fn header(&self) -> Result<Option<Header>, ProtocolError> {
        let Some(&flags) = self.buffer.first() else { return Ok(None) };
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & (MORE | COMMAND) == MORE | COMMAND {
            return Err(ProtocolError::Flags(flags));
        }
        let (header_bytes, claimed) = if flags & LONG == 0 {
            let Some(&len) = self.buffer.get(1) else { return Ok(None) };
            (2, u64::from(len))
        } else {
            let Some(len) = self.buffer.get(1..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            (9, u64::from_be_bytes(*len))
        };
        let limit = self.limits.frame_bytes_max;
        match usize::try_from(claimed) {
            Ok(body_bytes) if body_bytes <= limit => {
                Ok(Some(Header { flags, header_bytes, body_bytes }))
            }
            _ => Err(ProtocolError::FrameTooLong { claimed, limit }),
        }
    }

    fn check_message(&self, header: &Header) -> Result<(), ProtocolError> {
        let Limits { parts_max, message_bytes_max, .. } = self.limits;
        if self.parts.len() >= parts_max {
            return Err(ProtocolError::TooManyParts { limit: parts_max });
        }
        if header.body_bytes > message_bytes_max.saturating_sub(self.parts_bytes) {
            return Err(ProtocolError::MessageTooLong { limit: message_bytes_max });
        }
        Ok(())
    }

    fn finish(&mut self, last: Bytes) -> Message {
        self.parts_bytes = 0;
        match self.parts.len() {
            0 => Message::single(last),
            1 => match self.parts.pop() {
                Some(first) => Message::pair(first, last),
                None => Message::single(last),
            },
            _ => Message::from_parts(self.parts.drain(..).chain([last])),
        }
    }
}

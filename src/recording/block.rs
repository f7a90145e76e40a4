//! A block: some ticks as bytes, and back. Pure.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::layout::{BLOCK_HEAD_BYTES, BodyHead, Damage, block_head};
use super::{BLOCK_BYTES, PAYLOAD_BYTES_MAX, TOPIC_BYTES_MAX, Tick};

/// Level of compression: three times as fast as ticks of a busy market come on one core, and
/// within a tenth of what higher levels make of JSON.
const LEVEL: i32 = 3;
/// Bytes of the longest LEB128 number of 64 bits.
const NUMBER_BYTES_MAX: usize = 10;

/// Why a tick cannot be recorded. It is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTick {
    /// The topic is too long.
    #[error("a topic has more than {TOPIC_BYTES_MAX} bytes")]
    Topic,
    /// The payload is too long.
    #[error("a payload has more than {PAYLOAD_BYTES_MAX} bytes")]
    Payload,
    /// It is older than the one before.
    #[error("a tick is older than the one before it")]
    Order,
}

/// Ticks on their way into a block.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    raw: Vec<u8>,
    /// The topics of this block and their numbers.
    topics: BTreeMap<Bytes, u64>,
    ticks: u32,
    first_ns: u64,
    /// Of the last tick, in an earlier block too.
    last_ns: u64,
}

impl BlockBuilder {
    /// Takes a tick in.
    ///
    /// # Errors
    ///
    /// Fails if the tick does not fit into a recording; nothing has changed then.
    pub fn push(&mut self, at_ns: u64, topic: &[u8], payload: &[u8]) -> Result<(), BadTick> {
        if topic.len() > TOPIC_BYTES_MAX {
            return Err(BadTick::Topic);
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(BadTick::Payload);
        }
        if at_ns < self.last_ns {
            return Err(BadTick::Order);
        }
        if self.ticks == 0 {
            self.first_ns = at_ns;
            self.last_ns = at_ns;
        }
        put_number(&mut self.raw, at_ns - self.last_ns);
        match self.topics.get(topic) {
            Some(number) => put_number(&mut self.raw, *number),
            None => {
                let number = self.topics.len() as u64 + 1;
                self.topics.insert(Bytes::copy_from_slice(topic), number);
                put_number(&mut self.raw, 0);
                put_number(&mut self.raw, topic.len() as u64);
                self.raw.extend_from_slice(topic);
            }
        }
        put_number(&mut self.raw, payload.len() as u64);
        self.raw.extend_from_slice(payload);
        self.ticks += 1;
        self.last_ns = at_ns;
        Ok(())
    }

    /// Whether it is time for [`BlockBuilder::take`].
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_BYTES
    }

    /// What was gathered; `None` if that is nothing.
    pub fn take(&mut self) -> Option<Block> {
        if self.ticks == 0 {
            return None;
        }
        self.topics.clear();
        Some(Block {
            raw: std::mem::take(&mut self.raw),
            ticks: std::mem::take(&mut self.ticks),
            first_ns: self.first_ns,
            last_ns: self.last_ns,
        })
    }
}

/// Ticks that are not compressed yet.
#[derive(Debug)]
pub struct Block {
    raw: Vec<u8>,
    ticks: u32,
    first_ns: u64,
    last_ns: u64,
}

impl Block {
    /// How many ticks it holds.
    #[must_use]
    pub const fn ticks(&self) -> u32 {
        self.ticks
    }

    /// The block as it stands in a file.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let body = zstd::bulk::compress(&self.raw, LEVEL)?;
        let head = BodyHead {
            body_bytes: body.len(),
            raw_bytes: self.raw.len(),
            ticks: self.ticks,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            checksum: 0,
        };
        let mut bytes = Vec::with_capacity(BLOCK_HEAD_BYTES + body.len());
        bytes.extend_from_slice(&block_head(&head, &body));
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }
}

/// The ticks of a body whose checksum was right. They share one piece of memory.
pub(super) fn decode(head: &BodyHead, body: &[u8]) -> Result<Vec<Tick>, Damage> {
    let raw = zstd::bulk::decompress(body, head.raw_bytes).map_err(|_| Damage::Body)?;
    if raw.len() != head.raw_bytes {
        return Err(Damage::Body);
    }
    let mut rest = Rest(raw.into());
    let (mut at_ns, mut topics, mut ticks) = (head.first_ns, Vec::new(), Vec::new());
    while !rest.0.is_empty() {
        let tick = rest.tick(at_ns, &mut topics).ok_or(Damage::Body)?;
        at_ns = tick.at_ns;
        ticks.push(tick);
    }
    let is_whole = ticks.len() == head.ticks as usize
        && at_ns == head.last_ns
        && ticks.first().is_some_and(|tick| tick.at_ns == head.first_ns);
    if is_whole { Ok(ticks) } else { Err(Damage::Body) }
}

/// What is left of a body.
struct Rest(Bytes);

impl Rest {
    fn tick(&mut self, before_ns: u64, topics: &mut Vec<Bytes>) -> Option<Tick> {
        let at_ns = before_ns.checked_add(self.number()?)?;
        let topic = match self.number()? {
            0 => {
                let topic = self.piece(TOPIC_BYTES_MAX)?;
                topics.push(topic.clone());
                topic
            }
            number => topics.get(usize::try_from(number - 1).ok()?)?.clone(),
        };
        Some(Tick { at_ns, topic, payload: self.piece(PAYLOAD_BYTES_MAX)? })
    }

    fn piece(&mut self, bytes_max: usize) -> Option<Bytes> {
        let bytes = usize::try_from(self.number()?).ok()?;
        (bytes <= bytes_max && bytes <= self.0.len()).then(|| self.0.split_to(bytes))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (at, byte) in self.0.iter().take(NUMBER_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * u32::try_from(at).ok()?;
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte & 0x80 == 0 {
                let _ = self.0.split_to(at + 1);
                return Some(number);
            }
        }
        None
    }
}

fn put_number(raw: &mut Vec<u8>, mut number: u64) {
    loop {
        let bits = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            raw.push(bits);
            return;
        }
        raw.push(bits | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64, after: u8) {
            let mut raw = Vec::new();
            put_number(&mut raw, number);
            raw.push(after);
            let mut rest = Rest(raw.into());
            prop_assert_eq!(rest.number(), Some(number));
            prop_assert_eq!(&rest.0[..], &[after]);
        }

        #[test]
        fn any_bytes_are_numbers_or_none(raw: Vec<u8>) {
            let mut rest = Rest(raw.into());
            while rest.number().is_some() {}
        }
    }

    #[test]
    fn numbers_that_are_cut_or_too_great_are_none() {
        for bad in [&[][..], &[0x80], &[0xff; 9], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(Rest(Bytes::copy_from_slice(bad)).number(), None, "{bad:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut block = BlockBuilder::default();
        assert_eq!(block.push(5, b"A_B_LTP", b"{}"), Ok(()));
        assert_eq!(block.push(6, &[b'A'; TOPIC_BYTES_MAX + 1], b"{}"), Err(BadTick::Topic));
        let long = vec![b' '; PAYLOAD_BYTES_MAX + 1];
        assert_eq!(block.push(6, b"A_B_LTP", &long), Err(BadTick::Payload));
        assert_eq!(block.push(4, b"A_B_LTP", b"{}"), Err(BadTick::Order));
        assert_eq!(block.take().map(|block| block.ticks()), Some(1));
        assert!(block.take().is_none(), "there is no empty block");
        assert_eq!(block.push(4, b"A_B_LTP", b"{}"), Err(BadTick::Order), "nor in the next one");
    }
}

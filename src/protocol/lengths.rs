//! Follows the frames of a client as they come, to see that each says its length as RFC 6455 (5.2)
//! wants it: in as few bytes as can be. What reads the frames does not look.

/// A frame says its length in more bytes than it takes. Close the connection with 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length in more bytes than it takes")]
pub struct LongLength {
    /// Bytes, of those that were looked at last, before the frame.
    pub good: usize,
}

/// Where in a stream of frames one is.
#[derive(Clone, Debug, Default)]
pub struct Lengths {
    /// The head of a frame as far as it has come, without its mask.
    head: [u8; 10],
    head_len: usize,
    /// Bytes of the frame that follow: its mask and its payload.
    rest: u64,
}

impl Lengths {
    /// Looks at what has come next.
    ///
    /// # Errors
    ///
    /// Fails at the first frame that is wrong; do not look any further then.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), LongLength> {
        let (mut at, mut frame_at) = (0, 0);
        while at < bytes.len() {
            if self.rest > 0 {
                let left = (bytes.len() - at) as u64;
                let step = self.rest.min(left);
                self.rest -= step;
                at += usize::try_from(step).unwrap_or(usize::MAX);
                continue;
            }
            if self.head_len == 0 {
                frame_at = at;
            }
            self.head[self.head_len] = bytes[at];
            self.head_len += 1;
            at += 1;
            let Some(length) = self.length() else { continue };
            let size_min = match length {
                0..126 => 2,
                126..65_536 => 4,
                65_536.. => 10,
            };
            if self.head_len > size_min {
                return Err(LongLength { good: frame_at });
            }
            let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
            self.rest = length.saturating_add(mask);
            self.head_len = 0;
        }
        Ok(())
    }

    /// What the head says, once it is there.
    fn length(&self) -> Option<u64> {
        match (self.head[1] & 0x7f, self.head_len) {
            (_, 0 | 1) => None,
            (126, 4) => Some(u64::from(u16::from_be_bytes([self.head[2], self.head[3]]))),
            (127, 10) => {
                let (_, length) = self.head.split_at(2);
                Some(length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            }
            (126 | 127, _) => None,
            (length, _) => Some(u64::from(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame of this length, said in 0, 2 or 8 bytes.
    fn frame(length: usize, size: usize) -> Vec<u8> {
        let mut frame = vec![0x82];
        match size {
            0 => frame.push(0x80 | u8::try_from(length).expect("fits")),
            2 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).expect("fits").to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // What looks like the head of another frame is none.
        frame.extend([0xff; 4]);
        frame.extend(vec![0x7e; length]);
        frame
    }

    /// Where the first wrong frame begins, if the bytes come in pieces of this size.
    fn wrong_at(bytes: &[u8], piece: usize) -> Option<usize> {
        let mut lengths = Lengths::default();
        let pieces = bytes.chunks(piece).enumerate();
        let mut found = pieces.filter_map(|(n, bytes)| {
            lengths.follow(bytes).err().map(|wrong| n * piece + wrong.good)
        });
        found.next()
    }

    #[test]
    fn a_length_in_as_few_bytes_as_can_be_is_good_however_it_is_cut() {
        let mut all = Vec::new();
        for (length, size) in [(0, 0), (1, 0), (125, 0), (126, 2), (65_535, 2), (65_536, 8)] {
            all.extend(frame(length, size));
        }
        for piece in [1, 2, 3, 7, 100, 4_096, all.len()] {
            assert_eq!(wrong_at(&all, piece), None);
        }
    }

    #[test]
    fn a_longer_one_is_found_where_its_frame_begins() {
        let good = [frame(3, 0), frame(200, 2)].concat();
        for (length, size) in [(0, 2), (125, 2), (0, 8), (126, 8), (65_535, 8)] {
            let all = [&good[..], &frame(length, size)].concat();
            assert_eq!(wrong_at(&all, all.len()), Some(good.len()), "{length} in {size}");
            for piece in [1, 2, 3, 7, 100] {
                assert!(wrong_at(&all, piece).is_some(), "{length} in {size}, by {piece}");
            }
        }
    }

    #[test]
    fn no_length_is_too_much_for_it() {
        let head = [&[0x82, 0xff][..], &[0xff; 8]].concat();
        assert_eq!(wrong_at(&[&head[..], &[0; 1_000]].concat(), 64), None);
    }
}

//! A message: one or more parts.

use std::fmt;

use bytes::Bytes;

/// One or more parts. One and two parts need no allocation of their own.
///
/// Cloning shares the bytes. Parts that were received keep the whole read alive that brought
/// them (4 to 64 KiB, or one large frame); copy what is to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Parts);

#[derive(Clone, PartialEq, Eq)]
enum Parts {
    One([Bytes; 1]),
    Two([Bytes; 2]),
    /// At least three.
    Many(Vec<Bytes>),
}

impl Message {
    /// A message of one part.
    pub fn single(part: impl Into<Bytes>) -> Self {
        Self(Parts::One([part.into()]))
    }

    /// A message of two parts, e.g. topic and payload.
    pub fn pair(first: impl Into<Bytes>, second: impl Into<Bytes>) -> Self {
        Self(Parts::Two([first.into(), second.into()]))
    }

    /// A message of these parts. None at all gives one empty part, as ZMTP has no message
    /// without a frame.
    pub fn from_parts(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return Self::single(Bytes::new()) };
        let Some(second) = parts.next() else { return Self::single(first) };
        let Some(third) = parts.next() else { return Self::pair(first, second) };
        let mut many = vec![first, second, third];
        many.extend(parts);
        Self(Parts::Many(many))
    }

    /// The parts, at least one.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(parts) => parts,
            Parts::Two(parts) => parts,
            Parts::Many(parts) => parts,
        }
    }

    /// The parts, at least one.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        match self.0 {
            Parts::One(parts) => parts.into(),
            Parts::Two(parts) => parts.into(),
            Parts::Many(parts) => parts,
        }
    }

    /// Bytes of all parts together.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }
}

impl From<Vec<Bytes>> for Message {
    fn from(parts: Vec<Bytes>) -> Self {
        if parts.len() > 2 { Self(Parts::Many(parts)) } else { Self::from_parts(parts) }
    }
}

/// Shows lengths only: a message may carry a credential.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")?;
        f.debug_list().entries(self.parts().iter().map(Bytes::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_in_and_come_out_in_any_number() {
        for count in 1..6_u8 {
            let parts: Vec<Bytes> = (0..count).map(|n| Bytes::from(vec![n])).collect();
            let message = Message::from(parts.clone());
            assert_eq!(message, Message::from_parts(parts.clone()));
            assert_eq!(message.parts(), parts);
            assert_eq!(message.bytes_len(), usize::from(count));
            assert_eq!(message.into_parts(), parts);
        }
    }

    #[test]
    fn a_message_has_at_least_one_part() {
        assert_eq!(Message::from(Vec::new()).parts(), [Bytes::new()]);
    }

    #[test]
    fn debug_output_does_not_show_what_a_message_says() {
        let message = Message::pair(&b"topic"[..], &b"secret"[..]);
        assert_eq!(format!("{message:?}"), "Message[5, 6]");
    }
}

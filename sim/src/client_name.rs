//! Names of simulated clients.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes of the beginning of a name.
const HEAD_BYTES: usize = 16;

/// Name of a simulated client, e.g. `alice-1`.
///
/// Judges look clients up all the time, so its first bytes are kept as a number, which is compared
/// first. The order is that of the text.
#[derive(Clone)]
pub struct ClientName {
    name: Arc<str>,
    head: u128,
}

impl From<&str> for ClientName {
    fn from(name: &str) -> Self {
        let mut head = [0; HEAD_BYTES];
        head.iter_mut().zip(name.bytes()).for_each(|(byte, named)| *byte = named);
        Self { name: name.into(), head: u128::from_be_bytes(head) }
    }
}

impl Deref for ClientName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Ord for ClientName {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head.cmp(&other.head) {
            Ordering::Equal if Arc::ptr_eq(&self.name, &other.name) => Ordering::Equal,
            Ordering::Equal => self.name.cmp(&other.name),
            order => order,
        }
    }
}

impl PartialOrd for ClientName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ClientName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ClientName {}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_their_text_is_however_long_they_are() {
        let names = [
            "",
            "\0",
            "a",
            "a\0",
            "alice-1",
            "alice-10",
            "alice-2",
            "sixteen-letters-",
            "sixteen-letters-\0",
            "sixteen-letters-1",
            "sixteen-letters-2",
        ];
        for one in names {
            for other in names {
                let named = ClientName::from(one).cmp(&ClientName::from(other));
                assert_eq!(named, one.cmp(other), "{one:?} and {other:?}");
            }
        }
    }
}

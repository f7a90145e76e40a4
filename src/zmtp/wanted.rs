//! What a SUB socket wants, when that changes while it runs.
//!
//! Connections follow a log of changes, each at its own pace. A connection begins with everything
//! that is wanted at that moment; one that has fallen behind the log is ended, and begins anew when
//! the publisher is back.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::fault::Fault;
use super::wire::encode_subscription;

/// Changes that are remembered for connections that have not written them yet.
const CHANGES_MAX: usize = 262_144;

/// Bytes of changes that are written together, about.
const WRITE_BYTES: usize = 32 << 10;

/// Changes what a [`Sub`](super::Sub) wants.
#[derive(Clone, Debug)]
pub struct Wanted(watch::Sender<Book>);

/// What is wanted, and how that came to be.
#[derive(Debug, Default)]
struct Book {
    prefixes: BTreeSet<Bytes>,
    log: VecDeque<(bool, Bytes)>,
    /// Changes that the log has forgotten.
    forgotten: u64,
}

/// One connection's view of it.
pub(super) struct Follower {
    book: watch::Receiver<Book>,
    /// Changes that it has taken.
    taken: u64,
}

impl Wanted {
    pub(super) fn new(prefixes: &[Bytes]) -> Self {
        let prefixes = prefixes.iter().cloned().collect();
        Self(watch::Sender::new(Book { prefixes, ..Book::default() }))
    }

    /// Asks all publishers for topics that begin so, or no longer. What is the case already changes
    /// nothing.
    pub fn set(&self, changes: impl IntoIterator<Item = (bool, Bytes)>) {
        self.0.send_if_modified(|book| {
            let before = book.log.len() as u64 + book.forgotten;
            for (wanted, prefix) in changes {
                book.set(wanted, prefix);
            }
            book.log.len() as u64 + book.forgotten > before
        });
    }

    /// Whether nothing has changed since the start.
    pub(super) fn is_as_it_was(&self) -> bool {
        let book = self.0.borrow();
        book.log.is_empty() && book.forgotten == 0
    }

    pub(super) fn follow(&self) -> Follower {
        Follower { book: self.0.subscribe(), taken: 0 }
    }
}

impl Book {
    fn set(&mut self, wanted: bool, prefix: Bytes) {
        let is_news = match wanted {
            true => self.prefixes.insert(prefix.clone()),
            false => self.prefixes.remove(&prefix),
        };
        if !is_news {
            return;
        }
        self.log.push_back((wanted, prefix));
        if self.log.len() > CHANGES_MAX {
            self.log.pop_front();
            self.forgotten += 1;
        }
    }
}

impl Follower {
    /// All that is wanted now, to be written first.
    pub(super) fn opening(&mut self) -> Vec<u8> {
        let book = self.book.borrow_and_update();
        let mut out = Vec::new();
        for prefix in &book.prefixes {
            encode_subscription(true, prefix, &mut out);
        }
        self.taken = book.forgotten + book.log.len() as u64;
        out
    }

    /// Hands changes to a connection until it has fallen behind them.
    pub(super) async fn forward(&mut self, to: mpsc::Sender<Bytes>) -> Fault {
        loop {
            match self.next() {
                Ok(Some(changes)) => {
                    if to.send(changes).await.is_err() {
                        return Fault::Released;
                    }
                }
                Ok(None) => {
                    if self.book.changed().await.is_err() {
                        // The socket is being dropped, and this connection with it.
                        return Fault::Released;
                    }
                }
                Err(fault) => return fault,
            }
        }
    }

    /// The changes that are next, encoded.
    fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let book = self.book.borrow_and_update();
        let Some(at) = self.taken.checked_sub(book.forgotten) else { return Err(Fault::Released) };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut out = Vec::new();
        for (wanted, prefix) in book.log.range(at.min(book.log.len())..) {
            if out.len() >= WRITE_BYTES {
                break;
            }
            encode_subscription(*wanted, prefix, &mut out);
            self.taken += 1;
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: usize) -> Bytes {
        format!("P{number}_").into()
    }

    #[test]
    fn a_connection_begins_with_all_and_goes_on_with_changes() {
        let wanted = Wanted::new(&[prefix(1)]);
        wanted.set([(true, prefix(2)), (true, prefix(2)), (false, prefix(3))]);
        let mut follower = wanted.follow();
        assert_eq!(follower.opening(), b"\x00\x04\x01P1_\x00\x04\x01P2_");
        assert!(follower.next().is_ok_and(|changes| changes.is_none()));
        wanted.set([(false, prefix(1)), (true, prefix(3))]);
        let changes = follower.next().ok().flatten();
        assert_eq!(changes.as_deref(), Some(&b"\x00\x04\x00P1_\x00\x04\x01P3_"[..]));
        assert!(follower.next().is_ok_and(|changes| changes.is_none()));
    }

    #[test]
    fn many_changes_are_written_bit_by_bit_and_too_many_end_the_connection() {
        let wanted = Wanted::new(&[]);
        let (mut follower, mut slow) = (wanted.follow(), wanted.follow());
        assert!(follower.opening().is_empty() && slow.opening().is_empty());
        wanted.set((0..10_000).map(|number| (true, prefix(number))));
        let mut bytes = 0;
        while let Ok(Some(changes)) = follower.next() {
            assert!(changes.len() < WRITE_BYTES + 100);
            bytes += changes.len();
        }
        assert!(bytes > 70_000);
        for turn in 0..2 * CHANGES_MAX {
            wanted.set([(turn % 2 == 0, prefix(1_000_000))]);
        }
        assert!(slow.next().is_err());
        assert!(!slow.opening().is_empty(), "anew it begins with all again");
    }
}

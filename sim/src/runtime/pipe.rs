//! What both ends of a struck connection know of each other.

use std::sync::Mutex;
use std::task::Waker;

use super::fault_book::{FaultBook, lock};
use crate::fault::{Direction, FaultKind, Party};
use crate::plan::ConnectionFault;
use crate::rng::Stream;

/// One struck connection.
#[derive(Debug)]
pub(super) struct Pipe {
    pub party: Party,
    faults: Vec<ConnectionFault>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Neither end can use it any more.
    broken: bool,
    /// Kinds that have struck already.
    struck: Vec<FaultKind>,
    up: Lane,
    down: Lane,
    /// Whether the end that connected has gone.
    abandoned: bool,
    /// Whether the end that connected writes no more.
    half_closed: bool,
    /// Tasks that wait for bytes or for room, by what they wait for.
    waiting: [Option<Waker>; 4],
}

/// One direction.
#[derive(Debug)]
struct Lane {
    sent: u64,
    read: u64,
    /// Sizes of chopped pieces.
    sizes: Stream,
    /// The writer, while the window is full.
    writer: Option<Waker>,
}

/// What a writer may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Write so many bytes.
    Write(usize),
    /// Wait until the other end has read.
    Wait,
    /// The connection is reset here.
    Reset,
    /// This end is closed for writing; whatever it writes is lost.
    Void,
}

impl Pipe {
    pub fn new(seed: u64, party: Party, number: u32, faults: &[ConnectionFault]) -> Self {
        let lane = |direction: &str| Lane {
            sent: 0,
            read: 0,
            sizes: Stream::fork(seed, "chop", &format!("{party}/{number}/{direction}")),
            writer: None,
        };
        let state = State {
            broken: false,
            struck: Vec::new(),
            up: lane("up"),
            down: lane("down"),
            abandoned: false,
            half_closed: false,
            waiting: [const { None }; 4],
        };
        Self { faults: faults.to_vec(), state: Mutex::new(state), party }
    }

    /// Ends the connection for both ends, at once.
    pub fn break_off(&self) {
        self.wake(true);
    }

    /// Faults have ended: nobody has to wait any longer.
    pub fn heal(&self) {
        let corrupted = lock(&self.state).struck.contains(&FaultKind::Corrupt);
        self.wake(corrupted);
    }

    fn wake(&self, broken: bool) {
        let mut state = lock(&self.state);
        state.broken |= broken;
        let writers = [state.up.writer.take(), state.down.writer.take()];
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().chain(writers).flatten().for_each(Waker::wake);
    }

    pub fn is_broken(&self) -> bool {
        lock(&self.state).broken
    }

    /// Has the task that reads (or writes) this direction woken when the connection is broken off.
    pub fn wait(&self, direction: Direction, writes: bool, waker: &Waker) {
        let slot = usize::from(direction == Direction::Up) * 2 + usize::from(writes);
        lock(&self.state).waiting[slot] = Some(waker.clone());
    }

    /// How much of `len` bytes may be written now. `waker`: of the task that writes.
    pub fn may_write(
        &self,
        book: &FaultBook,
        direction: Direction,
        len: usize,
        waker: &Waker,
    ) -> Leave {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.broken {
            return Leave::Reset;
        }
        let lane = if direction == Direction::Up { &mut state.up } else { &mut state.down };
        let mut most = len as u64;
        let mut hits = Vec::new();
        let mut leave = None;
        for fault in &self.faults {
            match *fault {
                // It stays closed when faults have ended.
                ConnectionFault::HalfClose { .. }
                    if state.half_closed && direction == Direction::Up =>
                {
                    leave = Some(Leave::Void);
                }
                _ if book.is_healed() => {}
                ConnectionFault::HalfClose { after_bytes } if direction == Direction::Up => {
                    most = most.min(after_bytes.saturating_sub(lane.sent).max(1));
                }
                ConnectionFault::Chop { bytes_max } => {
                    let piece = lane.sizes.between(1, bytes_max);
                    if piece < most {
                        hits.push(FaultKind::Chop);
                    }
                    most = most.min(piece);
                }
                ConnectionFault::Window { bytes } => {
                    let room = bytes.saturating_sub(lane.sent.saturating_sub(lane.read));
                    if room == 0 {
                        hits.push(FaultKind::Window);
                        lane.writer = Some(waker.clone());
                        leave = Some(Leave::Wait);
                    }
                    most = most.min(room);
                }
                ConnectionFault::Reset { direction: of, after_bytes } if of == direction => {
                    most = most.min(after_bytes.saturating_sub(lane.sent));
                    if lane.sent >= after_bytes {
                        hits.push(FaultKind::Reset);
                        leave = Some(Leave::Reset);
                    }
                }
                ConnectionFault::Corrupt { direction: of, at_byte, then_bytes }
                    if of == direction =>
                {
                    let end = at_byte + 1 + then_bytes;
                    most = most.min(end.saturating_sub(lane.sent));
                    if lane.sent >= end {
                        leave = Some(Leave::Reset);
                    }
                }
                // Of the other direction, or nothing that concerns writers.
                _ => {}
            }
        }
        self.tell(book, state, hits);
        leave.unwrap_or(Leave::Write(usize::try_from(most).unwrap_or(len)))
    }

    /// The bytes to write instead, if one of them has to flip.
    pub fn corrupted(
        &self,
        book: &FaultBook,
        direction: Direction,
        bytes: &[u8],
    ) -> Option<Vec<u8>> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let lane = if direction == Direction::Up { &mut state.up } else { &mut state.down };
        let at = self.faults.iter().find_map(|fault| match *fault {
            ConnectionFault::Corrupt { direction: of, at_byte, .. } if of == direction => {
                at_byte.checked_sub(lane.sent)
            }
            _ => None,
        })?;
        let at = usize::try_from(at).ok().filter(|at| *at < bytes.len() && !book.is_healed())?;
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << lane.sizes.below(8);
        self.tell(book, state, vec![FaultKind::Corrupt]);
        Some(bytes)
    }

    /// So many bytes were written. Tells whether this end has to be shut now.
    pub fn wrote(&self, book: &FaultBook, direction: Direction, count: usize) -> bool {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let lane = if direction == Direction::Up { &mut state.up } else { &mut state.down };
        lane.sent += count as u64;
        let sent = lane.sent;
        let shut = direction == Direction::Up
            && !state.half_closed
            && !book.is_healed()
            && self.faults.iter().any(|fault| {
                matches!(*fault, ConnectionFault::HalfClose { after_bytes } if sent >= after_bytes)
            });
        if shut {
            state.half_closed = true;
            self.tell(book, state, vec![FaultKind::HalfClose]);
        }
        shut
    }

    /// So many bytes were read.
    pub fn has_read(&self, direction: Direction, count: usize) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let lane = if direction == Direction::Up { &mut state.up } else { &mut state.down };
        lane.read += count as u64;
        let writer = lane.writer.take();
        drop(guard);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Most bytes of one read.
    pub fn piece(&self, book: &FaultBook, direction: Direction, len: usize) -> usize {
        let chop = self.faults.iter().find_map(|fault| match fault {
            ConnectionFault::Chop { bytes_max } => Some(*bytes_max),
            _ => None,
        });
        let Some(bytes_max) = chop.filter(|_| !book.is_healed()) else { return len };
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let lane = if direction == Direction::Up { &mut state.up } else { &mut state.down };
        let piece = usize::try_from(lane.sizes.between(1, bytes_max)).unwrap_or(len);
        if piece < len {
            self.tell(book, state, vec![FaultKind::Chop]);
        }
        piece.min(len)
    }

    /// The first fault of the connection for which `of` has something.
    pub fn fault<T>(&self, of: impl Fn(&ConnectionFault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(of)
    }

    /// Reports a fault when it strikes this connection for the first time.
    pub fn strikes(&self, book: &FaultBook, fault: FaultKind, lasts_ms: u64) {
        let mut state = lock(&self.state);
        // The end of a connection concerns the other end.
        let concerns = !state.abandoned || fault == FaultKind::LateEnd;
        if concerns && !state.struck.contains(&fault) {
            state.struck.push(fault);
            drop(state);
            book.strikes(fault, &self.party, lasts_ms);
        }
    }

    /// Reports a fault each time it strikes.
    pub fn strikes_again(&self, book: &FaultBook, fault: FaultKind, lasts_ms: u64) {
        if !lock(&self.state).abandoned {
            book.strikes(fault, &self.party, lasts_ms);
        }
    }

    /// The end that connected has gone.
    pub fn abandon(&self) {
        lock(&self.state).abandoned = true;
    }

    fn tell(&self, book: &FaultBook, state: &mut State, hits: Vec<FaultKind>) {
        for fault in hits {
            if !state.struck.contains(&fault) {
                state.struck.push(fault);
                if !state.abandoned {
                    book.strikes(fault, &self.party, 0);
                }
            }
        }
    }
}

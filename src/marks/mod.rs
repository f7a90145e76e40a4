//! Rare situations, and states in which events arrived: counted, so that a search that never gets
//! somewhere can say so.
//!
//! A count belongs to a thread. Counting happens only while debug assertions are on; without them
//! `mark!` and its like are nothing, and their conditions are never asked.

mod pair;
mod situation;
mod words;

#[cfg(debug_assertions)]
use std::cell::Cell;

pub use pair::{ClientAt, ClientEvent, Pair, SessionAt, SessionEvent, TopicAt, TopicEvent};
pub use situation::Mark;

/// Counts a situation: `mark!(Conflated)`, or `mark!(Conflated if replaced)`.
macro_rules! mark {
    ($mark:ident) => {
        if cfg!(debug_assertions) {
            $crate::marks::hit($crate::marks::Mark::$mark);
        }
    };
    ($mark:ident if $condition:expr) => {
        if cfg!(debug_assertions) && $condition {
            $crate::marks::hit($crate::marks::Mark::$mark);
        }
    };
}
pub(crate) use mark;

#[cfg(debug_assertions)]
thread_local! {
    static MARKS: [Cell<u32>; Mark::COUNT] = const { [const { Cell::new(0) }; Mark::COUNT] };
    static PAIRS: [Cell<u32>; Pair::COUNT] = const { [const { Cell::new(0) }; Pair::COUNT] };
}

/// What this thread has counted since it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Hits, in the order of [`Mark::ALL`].
    pub marks: [u32; Mark::COUNT],
    /// How often each pair was met, in the order of [`Pair::all`].
    pub pairs: [u32; Pair::COUNT],
}

impl Default for Reached {
    fn default() -> Self {
        Self { marks: [0; Mark::COUNT], pairs: [0; Pair::COUNT] }
    }
}

/// What this thread has counted since it began; without debug assertions, nothing.
#[must_use]
pub fn reached() -> Reached {
    #[cfg(debug_assertions)]
    {
        Reached {
            marks: MARKS.with(|counts| std::array::from_fn(|at| counts[at].get())),
            pairs: PAIRS.with(|counts| std::array::from_fn(|at| counts[at].get())),
        }
    }
    #[cfg(not(debug_assertions))]
    Reached::default()
}

/// Counts a situation. Use [`mark!`].
pub(crate) fn hit(mark: Mark) {
    #[cfg(debug_assertions)]
    MARKS.with(|counts| count(&counts[mark as usize]));
    #[cfg(not(debug_assertions))]
    let _ = mark;
}

/// Counts that an event met a state.
pub(crate) fn met(pair: Pair) {
    #[cfg(debug_assertions)]
    PAIRS.with(|counts| count(&counts[pair.number()]));
    #[cfg(not(debug_assertions))]
    let _ = pair;
}

#[cfg(debug_assertions)]
fn count(cell: &Cell<u32>) {
    cell.set(cell.get().saturating_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_for_itself_and_only_what_happens() {
        let before = reached();
        mark!(Conflated);
        mark!(Conflated if 1 + 1 == 2);
        mark!(Overflowed if 1 + 1 == 3);
        met(Pair::Topic(TopicAt::On, TopicEvent::Retry));
        let elsewhere = std::thread::scope(|scope| scope.spawn(reached).join());
        assert_eq!(elsewhere.expect("it ends"), Reached::default());
        let mut expected = before;
        let once = u32::from(cfg!(debug_assertions));
        expected.marks[Mark::Conflated as usize] += 2 * once;
        expected.pairs[Pair::Topic(TopicAt::On, TopicEvent::Retry).number()] += once;
        assert_eq!(reached(), expected);
    }
}

//! Deadlines by the million, each set and taken away in constant time.
//!
//! A hierarchical timing wheel: level 0 has a place for each of the next 64 milliseconds, each
//! further level one for 64 places of the level below. A deadline waits at the level at which its
//! digit, to the base of 64, differs from the present's; when its turn comes there it moves down.
//! So it moves seven times at most, and mostly once or never.

/// Places of a level: bits of a word.
const SLOTS: usize = 64;
/// Binary digits of a place.
const BITS: u32 = 6;
/// Levels: 8,900 years of milliseconds.
const LEVELS: usize = 8;

const NONE: u32 = u32::MAX;

/// Deadlines of small numbers that the owner hands out, each with one at most.
#[derive(Debug, Default)]
pub struct Wheel {
    /// What is due before has been taken.
    now_ms: u64,
    levels: Vec<Level>,
    nodes: Vec<Node>,
    len: usize,
}

/// A list for each place.
#[derive(Clone, Debug)]
struct Level {
    /// Which places have something.
    occupied: u64,
    lists: [List; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

/// A number in the list that it waits in.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// When it is due, if it is set.
    at_ms: Option<u64>,
    level: usize,
    slot: usize,
    before: u32,
    behind: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };
const UNSET: Node = Node { at_ms: None, level: 0, slot: 0, before: NONE, behind: NONE };

impl Wheel {
    /// Sets the deadline of a number that has none, in the future.
    pub fn set(&mut self, number: usize, at_ms: u64) {
        if self.levels.is_empty() {
            self.levels = vec![Level { occupied: 0, lists: [EMPTY; SLOTS] }; LEVELS];
        }
        if self.nodes.len() <= number {
            self.nodes.resize(number + 1, UNSET);
        }
        assert!(!self.is_set(number), "{number} has a deadline already");
        assert!(at_ms >= self.now_ms, "{at_ms} ms are over at {} ms", self.now_ms);
        self.len += 1;
        self.put(number, at_ms);
    }

    /// Takes the deadline of a number away, if it has one.
    pub fn cancel(&mut self, number: usize) {
        if self.is_set(number) {
            self.take(number);
            self.len -= 1;
        }
    }

    /// Takes the number whose deadline came first, if one has come. Of those that came at once, the
    /// one that was set first.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<usize> {
        let first = self.first_due(now_ms)?;
        self.take(first);
        self.len -= 1;
        Some(first)
    }

    /// Whether a deadline has come, to the millisecond: [`Wheel::next_ms`] may be early.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        self.first_due(now_ms).is_some()
    }

    fn first_due(&mut self, now_ms: u64) -> Option<usize> {
        while let Some((level, slot, at_ms)) = self.next().filter(|(.., at_ms)| *at_ms <= now_ms) {
            self.now_ms = at_ms;
            let first = self.levels[level].lists[slot].first as usize;
            if level == 0 {
                return Some(first);
            }
            // Whatever waits for a later millisecond of this place moves down, in its order.
            let mut moves = first;
            while moves != NONE as usize {
                let Node { behind, at_ms, .. } = self.nodes[moves];
                self.take(moves);
                self.put(moves, at_ms.unwrap_or_default());
                moves = behind as usize;
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
        None
    }

    /// When [`Wheel::pop_due`] has something to do: no later than the first deadline, and mostly
    /// then.
    pub fn next_ms(&self) -> Option<u64> {
        self.next().map(|(.., at_ms)| at_ms)
    }

    /// How many numbers have a deadline.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The deadline of a number.
    pub fn deadline_ms(&self, number: usize) -> Option<u64> {
        self.nodes.get(number).and_then(|node| node.at_ms)
    }

    fn is_set(&self, number: usize) -> bool {
        self.deadline_ms(number).is_some()
    }

    /// The first place that has something, and when it begins.
    fn next(&self) -> Option<(usize, usize, u64)> {
        // A lower level ends before the next place of a higher one begins.
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let shift = BITS * level as u32;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        let begins_ms =
            (self.now_ms >> (shift + BITS) << (shift + BITS)) + ((slot as u64) << shift);
        Some((level, slot, begins_ms))
    }

    fn put(&mut self, number: usize, at_ms: u64) {
        let differs = (at_ms ^ self.now_ms) | (SLOTS as u64 - 1);
        let level = ((u64::BITS - 1 - differs.leading_zeros()) / BITS) as usize;
        assert!(level < LEVELS, "{at_ms} ms are too far away");
        let slot = (at_ms >> (BITS * level as u32)) as usize % SLOTS;
        let Level { occupied, lists } = &mut self.levels[level];
        let before = lists[slot].last;
        lists[slot].last = number as u32;
        *occupied |= 1 << slot;
        match before {
            NONE => lists[slot].first = number as u32,
            before => self.nodes[before as usize].behind = number as u32,
        }
        self.nodes[number] = Node { at_ms: Some(at_ms), level, slot, before, behind: NONE };
    }

    fn take(&mut self, number: usize) {
        let Node { level, slot, before, behind, .. } = self.nodes[number];
        let Level { occupied, lists } = &mut self.levels[level];
        match before {
            NONE => lists[slot].first = behind,
            before => self.nodes[before as usize].behind = behind,
        }
        match behind {
            NONE => lists[slot].last = before,
            behind => self.nodes[behind as usize].before = before,
        }
        if lists[slot].first == NONE {
            *occupied &= !(1 << slot);
        }
        self.nodes[number] = UNSET;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<usize> {
        std::iter::from_fn(|| wheel.pop_due(now_ms)).collect()
    }

    #[test]
    fn deadlines_come_in_order_and_only_once() {
        let mut wheel = Wheel::default();
        for (number, at_ms) in [(0, 70), (1, 5), (2, 5), (3, 3_600_000), (4, 64)] {
            wheel.set(number, at_ms);
        }
        assert_eq!(wheel.next_ms(), Some(5));
        assert!(due(&mut wheel, 4).is_empty() && !wheel.is_due(4));
        assert!(wheel.is_due(5));
        assert_eq!(due(&mut wheel, 5), [1, 2]);
        assert!(!wheel.is_due(63) && wheel.is_due(64) && wheel.len() == 3);
        assert_eq!(due(&mut wheel, 70), [4, 0]);
        assert!(due(&mut wheel, 3_599_999).is_empty());
        assert_eq!(due(&mut wheel, 4_000_000), [3]);
        assert_eq!((wheel.next_ms(), wheel.len()), (None, 0));
    }

    #[test]
    fn a_deadline_that_is_taken_away_never_comes() {
        let mut wheel = Wheel::default();
        for number in 0..3 {
            wheel.set(number, 100);
        }
        wheel.cancel(1);
        wheel.cancel(1);
        wheel.cancel(7);
        assert_eq!(due(&mut wheel, 200), [0, 2]);
        wheel.set(1, 200);
        assert_eq!(due(&mut wheel, 200), [1], "now is not over yet");
    }

    #[test]
    fn nothing_is_late_where_all_digits_change_at_once() {
        for power in 1..8 {
            let turn_ms = 1_u64 << (6 * power);
            let mut wheel = Wheel::default();
            assert_eq!(wheel.pop_due(turn_ms - 1), None);
            wheel.set(0, turn_ms);
            wheel.set(1, turn_ms + 1);
            assert_eq!(wheel.next_ms(), Some(turn_ms), "{power}");
            assert_eq!(due(&mut wheel, turn_ms), [0]);
            assert_eq!(due(&mut wheel, turn_ms + 1), [1]);
        }
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_list_would(
            steps in prop::collection::vec((0..40_usize, 0..10_000_u64, 0..4_u8), 1..200),
        ) {
            let mut wheel = Wheel::default();
            let mut model: Vec<(u64, u64, usize)> = Vec::new();
            let (mut now_ms, mut sets) = (0, 0);
            for (number, ms, what) in steps {
                model.retain(|(.., other)| what == 3 || *other != number);
                wheel.cancel(if what == 3 { usize::MAX } else { number });
                if what < 2 {
                    let at_ms = now_ms + 1 + ms * if what == 0 { 1 } else { 400 };
                    wheel.set(number, at_ms);
                    sets += 1;
                    model.push((at_ms, sets, number));
                } else if what == 3 {
                    now_ms += ms;
                    let first_ms = model.iter().map(|(at_ms, ..)| *at_ms).min();
                    prop_assert!(wheel.next_ms().is_none() == first_ms.is_none());
                    prop_assert!(wheel.next_ms().unwrap_or(0) <= first_ms.unwrap_or(0));
                    // As the shard does it: never beyond what is next.
                    let mut came: Vec<(u64, usize)> = Vec::new();
                    while let Some(next_ms) = wheel.next_ms().filter(|at_ms| *at_ms <= now_ms) {
                        let one = wheel.pop_due(next_ms);
                        came.extend(one.map(|number| (next_ms, number)));
                    }
                    prop_assert_eq!(wheel.pop_due(now_ms), None);
                    let mut expected: Vec<(u64, usize)> = Vec::new();
                    model.retain(|(at_ms, _, number)| {
                        if *at_ms <= now_ms {
                            expected.push((*at_ms, *number));
                        }
                        *at_ms > now_ms
                    });
                    came.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(came, expected);
                }
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}

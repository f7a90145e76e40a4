//! Calls to a broker that takes only so many per second: who waits, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};

/// How soon something that waits is to be done, compared with what else its user waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It is merely to be restored, or taken back.
    Calm,
    /// A client waits for it.
    Urgent,
}

/// The calls of one broker.
///
/// Never more than the rate within any window of one second (or, below one call per second, of as
/// many seconds as one call takes). Users take turns, so that one who wants five thousand topics
/// does not keep another from its first. What is queued is a *reason to look again*, not a call:
/// what is settled by the time its turn has come costs none.
#[derive(Clone, Debug)]
pub struct Calls<U, T> {
    max: usize,
    window_ms: u64,
    /// When the latest calls were made, as far as they are within a window.
    made_ms: VecDeque<u64>,
    /// Users that wait, the next one first.
    turns: VecDeque<U>,
    waiting: BTreeMap<U, Waiting<T>>,
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    urgent: VecDeque<T>,
    calm: VecDeque<T>,
    /// What is in which of the two. Who became urgent is in both, and only the first counts.
    what: BTreeMap<T, Urgency>,
}

impl<U: Clone + Ord, T: Clone + Ord> Calls<U, T> {
    /// A broker that takes so many calls per second, more than 0.
    #[must_use]
    pub fn new(per_second: f64) -> Self {
        let max = per_second.floor().clamp(1.0, 1e6);
        let window_ms = (max * 1_000.0 / per_second).ceil();
        Self {
            max: max as usize,
            window_ms: window_ms as u64,
            made_ms: VecDeque::new(),
            turns: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Has something wait for its turn. What waits already waits no longer for that.
    pub fn queue(&mut self, user: &U, what: T, urgency: Urgency) {
        let waiting = self.waiting.entry(user.clone()).or_insert_with(|| {
            self.turns.push_back(user.clone());
            Waiting { urgent: VecDeque::new(), calm: VecDeque::new(), what: BTreeMap::new() }
        });
        if waiting.what.get(&what).is_some_and(|before| *before >= urgency) {
            return;
        }
        waiting.what.insert(what.clone(), urgency);
        match urgency {
            Urgency::Urgent => waiting.urgent.push_back(what),
            Urgency::Calm => waiting.calm.push_back(what),
        }
    }

    /// When a call may be made, if somebody waits for that.
    #[must_use]
    pub fn next_ms(&self, now_ms: u64) -> Option<u64> {
        (!self.turns.is_empty()).then(|| self.free_ms(now_ms))
    }

    /// Whose turn it is, and what for. `None`: nobody waits, or no call may be made now. The call
    /// counts when it is [`Self::made`].
    pub fn next(&mut self, now_ms: u64) -> Option<(U, T)> {
        if self.free_ms(now_ms) > now_ms {
            return None;
        }
        let user = self.turns.pop_front()?;
        let what = self.next_of(&user);
        if self.waiting.contains_key(&user) {
            self.turns.push_back(user.clone());
        }
        what.map(|what| (user, what))
    }

    /// What else a user waits for whose turn it is.
    pub fn next_of(&mut self, user: &U) -> Option<T> {
        let waiting = self.waiting.get_mut(user)?;
        let found = loop {
            let (what, urgency) = match waiting.urgent.pop_front() {
                Some(what) => (what, Urgency::Urgent),
                None => match waiting.calm.pop_front() {
                    Some(what) => (what, Urgency::Calm),
                    None => break None,
                },
            };
            if waiting.what.get(&what) == Some(&urgency) {
                waiting.what.remove(&what);
                break Some(what);
            }
        };
        if waiting.what.is_empty() {
            self.waiting.remove(user);
            self.turns.retain(|other| other != user);
        }
        found
    }

    /// A call was made.
    pub fn made(&mut self, now_ms: u64) {
        while self.made_ms.front().is_some_and(|at_ms| at_ms + self.window_ms <= now_ms) {
            self.made_ms.pop_front();
        }
        debug_assert!(self.made_ms.len() < self.max, "one call too many");
        self.made_ms.push_back(now_ms);
    }

    /// Nothing of this user waits any more.
    pub fn forget(&mut self, user: &U) {
        if self.waiting.remove(user).is_some() {
            self.turns.retain(|other| other != user);
        }
    }

    /// How much waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.values().map(|waiting| waiting.what.len()).sum()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn free_ms(&self, now_ms: u64) -> u64 {
        let over = self.made_ms.len().checked_sub(self.max);
        let last = over.and_then(|at| self.made_ms.get(at));
        last.map_or(now_ms, |at_ms| now_ms.max(at_ms + self.window_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes every call that can be made by `until_ms`, at its earliest.
    fn play(calls: &mut Calls<&'static str, u32>, until_ms: u64) -> Vec<(u64, &'static str, u32)> {
        let mut made = Vec::new();
        let mut now_ms = 0;
        while let Some(next_ms) = calls.next_ms(now_ms).filter(|at_ms| *at_ms <= until_ms) {
            now_ms = next_ms;
            if let Some((user, what)) = calls.next(now_ms) {
                calls.made(now_ms);
                made.push((now_ms, user, what));
            }
        }
        made
    }

    #[test]
    fn no_window_has_more_calls_than_the_rate() {
        for (rate, max, window_ms) in [(10.0, 10, 1_000), (2.5, 2, 800), (0.5, 1, 2_000)] {
            let mut calls = Calls::new(rate);
            (0..200).for_each(|what| calls.queue(&"a", what, Urgency::Calm));
            let made = play(&mut calls, 10_000);
            assert_eq!(made.len(), (10_000 / window_ms as usize + 1) * max);
            for few in made.windows(max + 1) {
                assert!(few[max].0 - few[0].0 >= window_ms, "{rate}: {few:?}");
            }
        }
    }

    #[test]
    fn users_take_turns_and_what_a_client_waits_for_goes_first() {
        let mut calls = Calls::new(1_000.0);
        (0..3).for_each(|what| calls.queue(&"a", what, Urgency::Calm));
        calls.queue(&"b", 7, Urgency::Calm);
        calls.queue(&"a", 2, Urgency::Urgent);
        calls.queue(&"a", 1, Urgency::Calm);
        let order: Vec<_> = play(&mut calls, 0).iter().map(|made| (made.1, made.2)).collect();
        assert_eq!(order, [("a", 2), ("b", 7), ("a", 0), ("a", 1)]);
        assert!(calls.is_empty());
    }

    #[test]
    fn what_turns_out_to_be_settled_costs_no_call() {
        let mut calls = Calls::new(1.0);
        (0..5).for_each(|what| calls.queue(&"a", what, Urgency::Calm));
        for what in 0..5 {
            assert_eq!(calls.next(0), Some(("a", what)));
        }
        calls.queue(&"a", 9, Urgency::Calm);
        assert_eq!(calls.next(0), Some(("a", 9)));
        calls.made(0);
        calls.queue(&"a", 9, Urgency::Urgent);
        assert_eq!(calls.next(999), None);
        assert_eq!(calls.next_ms(999), Some(1_000));
        assert_eq!(calls.next(1_000), Some(("a", 9)));
    }

    #[test]
    fn a_user_that_is_forgotten_keeps_nobody_waiting() {
        let mut calls = Calls::new(1_000.0);
        calls.queue(&"a", 1, Urgency::Urgent);
        calls.queue(&"b", 2, Urgency::Calm);
        calls.forget(&"a");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls.next(0), Some(("b", 2)));
        assert_eq!(calls.next_ms(0), None);
    }

    #[test]
    fn a_batch_is_taken_from_one_user() {
        let mut calls = Calls::new(1.0);
        (0..3).for_each(|what| calls.queue(&"a", what, Urgency::Calm));
        assert_eq!(calls.next(0), Some(("a", 0)));
        calls.made(0);
        assert_eq!([calls.next_of(&"a"), calls.next_of(&"a")], [Some(1), Some(2)]);
        assert_eq!(calls.next_of(&"a"), None);
        assert_eq!(calls.next_ms(0), None);
    }
}

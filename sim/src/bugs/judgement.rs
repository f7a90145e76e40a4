//! Whether a bug was found as it should be.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::measure::Finding;
use super::techniques::Techniques;
use crate::shrink::Size;

/// What was measured of one bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Why nothing could be measured: the patch does not apply, compile or run.
    pub broken: Option<String>,
    /// For each start, what was found first.
    pub starts: Vec<Option<Finding>>,
    /// The size of the first finding's scenario after shrinking; why it could not be shrunk.
    pub shrunk: Option<Result<Size, String>>,
    /// How soon each technique finds it, if that was asked.
    pub techniques: Option<Techniques>,
}

/// What is said of one bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// From every start, and always by what can explain it.
    Found,
    /// From so many starts it was not.
    NotFound(usize),
    /// By something that cannot explain it.
    Unexplained(BTreeSet<String>),
    /// Nothing could be measured.
    Broken(String),
}

impl Judgement {
    /// Judges what was measured of a bug that `found_by` can explain.
    #[must_use]
    pub fn of(measured: &Measured, found_by: &BTreeSet<String>) -> Self {
        if let Some(why) = &measured.broken {
            return Self::Broken(why.clone());
        }
        let missed = measured.starts.iter().filter(|found| found.is_none()).count();
        if missed > 0 || measured.starts.is_empty() {
            return Self::NotFound(missed);
        }
        let names: BTreeSet<String> = measured.explanations().into_keys().collect();
        let strange: BTreeSet<String> = names.difference(found_by).cloned().collect();
        if strange.is_empty() { Self::Found } else { Self::Unexplained(strange) }
    }
}

impl Measured {
    /// What explained it, and from how many starts.
    #[must_use]
    pub fn explanations(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for found in self.starts.iter().flatten() {
            *counts.entry(found.explanation.clone()).or_default() += 1;
        }
        counts
    }

    /// Seeds until found: the median over the starts, `None` if it was mostly not found.
    #[must_use]
    pub fn seeds_median(&self) -> Option<u64> {
        let seeds = |found: &Option<Finding>| found.as_ref().map_or(u64::MAX, |found| found.seeds);
        let mut seeds: Vec<u64> = self.starts.iter().map(seeds).collect();
        seeds.sort_unstable();
        seeds.get(seeds.len() / 2).copied().filter(|median| *median < u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(explanation: &str, seeds: u64) -> Option<Finding> {
        let (file, text) = (String::new(), String::new());
        Some(Finding { file, seed: seeds, seeds, explanation: explanation.into(), text })
    }

    fn judged(starts: Vec<Option<Finding>>) -> Judgement {
        let measured = Measured { starts, ..Measured::default() };
        Judgement::of(&measured, &["a", "b"].map(Into::into).into())
    }

    #[test]
    fn a_bug_is_found_only_if_every_start_finds_it_by_what_explains_it() {
        assert_eq!(judged(vec![found("a", 1), found("b", 9)]), Judgement::Found);
        assert_eq!(judged(vec![found("a", 1), None]), Judgement::NotFound(1));
        assert_eq!(judged(vec![]), Judgement::NotFound(0));
        let strange = Judgement::Unexplained(["z".to_owned()].into());
        assert_eq!(judged(vec![found("a", 1), found("z", 9)]), strange);
        let broken = Measured { broken: Some("why".into()), ..Measured::default() };
        assert_eq!(Judgement::of(&broken, &BTreeSet::new()), Judgement::Broken("why".into()));
    }

    #[test]
    fn the_median_counts_a_start_that_found_nothing_as_later_than_all() {
        let median = |starts| Measured { starts, ..Measured::default() }.seeds_median();
        assert_eq!(median(vec![found("a", 9), found("a", 1), found("a", 4)]), Some(4));
        assert_eq!(median(vec![None, found("a", 1), found("a", 4)]), Some(4));
        assert_eq!(median(vec![None, None, found("a", 4)]), None);
        assert_eq!(median(vec![]), None);
    }
}

//! Seeds worth keeping: together they reach in seconds what a long search has reached.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Coverage, Feature};

/// Between the reasons of one line.
const AND: &str = "; ";

/// A scenario with one seed, and what it is kept for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The scenario.
    pub file: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// What no other entry reaches, or none before it.
    pub why: Vec<Feature>,
}

/// A list of entries, one a line: `FILE SEED REASON; REASON …`. Lines that begin with `#` are for
/// people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// In the order in which they are played.
    pub entries: Vec<Entry>,
}

impl Corpus {
    /// Reads the text of a corpus.
    ///
    /// # Errors
    ///
    /// Fails with a sentence that names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names: BTreeMap<String, Feature> =
            Feature::all().map(|feature| (feature.to_string(), feature)).collect();
        let mut entries = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |what: String| format!("line {}: {what}", at + 1);
            let mut words = line.splitn(3, ' ');
            let (file, seed) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let seed = seed.parse().map_err(|_| bad(format!("`{seed}` is no seed")))?;
            let reason = |name: &str| {
                let known = names.get(name).copied();
                known.ok_or_else(|| bad(format!("nothing is called `{name}`")))
            };
            let why = words.next().unwrap_or_default().split(AND).map(reason);
            entries.push(Entry { file: file.into(), seed, why: why.collect::<Result<_, _>>()? });
        }
        Ok(Self { entries })
    }

    /// The text of this corpus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Seeds that reach what few others do, and what each is kept for. Made by\n\
             # `cargo sim coverage --keep`, played by `cargo sim coverage --replay`.\n",
        );
        for Entry { file, seed, why } in &self.entries {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {seed} {}", file.display(), why.join(AND));
        }
        text
    }

    /// The smallest part of what was played that reaches as much, as far as leaving out one after
    /// the other finds it. What was played first is left out first.
    #[must_use]
    pub fn distil(played: Vec<(PathBuf, u64, Coverage)>) -> Self {
        let mut hits: Vec<(Feature, usize)> = Feature::all().map(|feature| (feature, 0)).collect();
        for (feature, count) in &mut hits {
            *count = played.iter().filter(|(_, _, coverage)| coverage.has(*feature)).count();
        }
        let mut kept = Vec::new();
        for (file, seed, coverage) in played {
            let own = |(feature, _): &&mut (Feature, usize)| coverage.has(*feature);
            let needed = hits.iter_mut().filter(own).any(|(_, count)| *count == 1);
            if needed {
                kept.push((file, seed, coverage));
            } else {
                hits.iter_mut().filter(own).for_each(|(_, count)| *count -= 1);
            }
        }
        let mut reached = Coverage::default();
        let mut entries = Vec::new();
        for (file, seed, coverage) in kept {
            let is_new = |feature: &Feature| coverage.has(*feature) && !reached.has(*feature);
            let why: Vec<Feature> = Feature::all().filter(is_new).collect();
            reached.add(&coverage);
            entries.push(Entry { file, seed, why });
        }
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use tickgate::marks::{Mark, Reached};

    use super::*;

    fn played(name: &str, marks: &[Mark]) -> (PathBuf, u64, Coverage) {
        let mut reached = Reached::default();
        marks.iter().for_each(|mark| reached.marks[*mark as usize] = 1);
        (name.into(), 7, Coverage::of(&reached, &[]))
    }

    #[test]
    fn what_others_reach_too_is_left_out() {
        let all = vec![
            played("a", &[Mark::LateAnswer]),
            played("b", &[Mark::LateAnswer, Mark::LateLoss]),
            played("c", &[Mark::LateLoss, Mark::Conflated]),
        ];
        let corpus = Corpus::distil(all);
        let names: Vec<_> = corpus.entries.iter().map(|entry| entry.file.display()).collect();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b", "c"]);
        let why = [Feature::Mark(Mark::LateAnswer), Feature::Mark(Mark::LateLoss)];
        assert_eq!(corpus.entries[0].why.len(), why.len());
        assert!(why.iter().all(|feature| corpus.entries[0].why.contains(feature)));
        assert_eq!(corpus.entries[1].why, [Feature::Mark(Mark::Conflated)]);
    }

    #[test]
    fn a_corpus_reads_back_as_it_is_written() {
        let pair = Feature::all().last().expect("there are some");
        let why = vec![Feature::Mark(Mark::LateAnswer), pair];
        let corpus = Corpus { entries: vec![Entry { file: "s.yaml".into(), seed: 7, why }] };
        assert_eq!(Corpus::parse(&corpus.text()), Ok(corpus));
        let bad = Corpus::parse("s.yaml 7 nonsense\n").expect_err("nothing is called so");
        assert_eq!(bad, "line 1: nothing is called `nonsense`");
        let bad = Corpus::parse("# a\ns.yaml x y\n").expect_err("it is no number");
        assert_eq!(bad, "line 2: `x` is no seed");
    }
}

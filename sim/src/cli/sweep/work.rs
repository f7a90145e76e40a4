//! What a sweep plays, numbered: seed by seed through all files, so that an early end has seen
//! each of them. A plan has one seed and is played once.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::cli::without::Without;
use crate::plan::NetworkKind;
use crate::playable::Playable;
use crate::scenario::BadScenario;

/// A file of a sweep.
pub struct Story {
    pub file: PathBuf,
    pub playable: Playable,
    hash: u64,
}

/// What identifies a file in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoryId {
    pub file: String,
    /// Of its content and the network.
    pub hash: String,
}

/// All files, and with which seeds they are played.
pub struct Work {
    stories: Vec<Story>,
    /// Positions of those that are played with every seed.
    scenarios: Vec<usize>,
    from: u64,
    seeds: u64,
    /// What the command line asks for.
    pub network: Option<NetworkKind>,
    /// Techniques that are left out.
    pub without: Without,
}

impl Story {
    pub fn load(file: PathBuf, network: Option<NetworkKind>) -> Result<Self, BadScenario> {
        let text = crate::scenario::read(&file)?;
        let playable = Playable::parse(&file.display().to_string(), &text)?;
        let hash = xxh3_64(format!("{network:?} {text}").as_bytes());
        Ok(Self { file, playable: playable.on(network), hash })
    }

    pub fn id(&self) -> StoryId {
        StoryId { file: self.file.display().to_string(), hash: format!("{:016x}", self.hash) }
    }
}

impl Work {
    /// Seeds from `from` on; the last one must not exceed the greatest number.
    pub fn new(stories: Vec<Story>, from: u64, seeds: u64) -> Self {
        let every_seed =
            |(at, story): (usize, &Story)| story.playable.only_seed().is_none().then_some(at);
        let scenarios = stories.iter().enumerate().filter_map(every_seed).collect();
        Self { stories, scenarios, from, seeds, network: None, without: Without::default() }
    }

    pub fn stories(&self) -> &[Story] {
        &self.stories
    }

    /// How many simulations there are in all.
    pub fn total(&self) -> u64 {
        self.stories.len() as u64 + (self.seeds - 1) * self.scenarios.len() as u64
    }

    /// With how many seeds a file is played.
    pub fn seeds_of(&self, story: &Story) -> u64 {
        if story.playable.only_seed().is_some() { 1 } else { self.seeds }
    }

    /// The file and the seed of a number below [`Work::total`].
    pub fn item(&self, number: u64) -> (usize, u64) {
        let first_round = self.stories.len() as u64;
        if number < first_round {
            let at = number as usize;
            return (at, self.stories[at].playable.only_seed().unwrap_or(self.from));
        }
        let count = self.scenarios.len() as u64;
        let later = number - first_round;
        (self.scenarios[(later % count) as usize], self.from + 1 + later / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(name: &str, seed: Option<u64>) -> Story {
        let text = "about: A.\nworld:\n  duration_ms: 9\n  users: [{ name: alice }]\n".to_owned();
        let scenario = Playable::parse(name, &text).expect("it is good");
        let playable = match seed {
            Some(seed) => Playable::Plan(Box::new(scenario.plan(seed).expect("any seed"))),
            None => scenario,
        };
        Story { file: name.into(), playable, hash: 0 }
    }

    #[test]
    fn every_file_is_seen_before_a_second_seed_is_and_a_plan_only_once() {
        let stories = vec![story("a", None), story("p", Some(77)), story("b", None)];
        let work = Work::new(stories, 5, 3);
        let items: Vec<_> = (0..work.total()).map(|number| work.item(number)).collect();
        assert_eq!(items, [(0, 5), (1, 77), (2, 5), (0, 6), (2, 6), (0, 7), (2, 7)]);
        let only_plans = Work::new(vec![story("p", Some(7))], 1, 100);
        assert_eq!(only_plans.total(), 1);
        let last = Work::new(vec![story("a", None)], u64::MAX - 1, 2);
        assert_eq!(last.item(1), (0, u64::MAX));
    }
}

//! What each technique is worth: how soon a bug is found without the others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far one technique had to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It found something at its so manyth seed.
    After(u64),
    /// It found nothing with so many seeds.
    NotWithin(u64),
    /// It could not be tried.
    Failed(String),
}

impl Reach {
    /// `found`: at which seed, of so many.
    #[must_use]
    pub fn of(found: Result<Option<u64>, String>, seeds_max: u64) -> Self {
        match found {
            Ok(Some(seeds)) => Self::After(seeds),
            Ok(None) => Self::NotWithin(seeds_max),
            Err(why) => Self::Failed(why),
        }
    }
}

/// As a cell of a table.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(seeds) => f.pad(&seeds.to_string()),
            Self::NotWithin(seeds) => f.pad(&format!(">{seeds}")),
            Self::Failed(_) => f.pad("?"),
        }
    }
}

/// One bug, technique by technique. All begin at the first seed; the first three sweep the ordinary
/// scenarios.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Techniques {
    /// Only the network and the story follow the seed.
    pub network: Reach,
    /// So does the order of ready tasks.
    pub task_order: Reach,
    /// So do yield points: all that a sweep has.
    pub yields: Reach,
    /// The hub alone, led through random events and compared with a model: walks.
    pub walk: Reach,
    /// The same with feed, shards and outboxes behind it: walks.
    pub delivery: Reach,
}

impl Techniques {
    /// What the columns are called.
    pub const HEAD: [&'static str; 5] =
        ["network", "+ task order", "+ yield points", "walk", "walk --delivery"];

    /// The cells of a table, in the order of the columns.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        let Self { network, task_order, yields, walk, delivery } = self;
        [network, task_order, yields, walk, delivery].map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_how_far_a_technique_had_to_go() {
        let cell = |found| Reach::of(found, 200).to_string();
        assert_eq!(cell(Ok(Some(7))), "7");
        assert_eq!(cell(Ok(None)), ">200");
        assert_eq!(cell(Err("no".into())), "?");
    }
}

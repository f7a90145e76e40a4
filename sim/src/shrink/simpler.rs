//! What is simpler than a part of a plan.

use crate::plan::tree::{Key, Node};
use crate::scenario::Gateway;

/// Fields in which more is simpler, up to this much: a slower feed tells the same with less, and a
/// wider connection stands less in the way.
const MORE: [(&str, u64); 4] = [
    ("period_ms", 1_000),
    ("bytes_max", 65_536),
    ("bytes", 65_536),
    ("bytes_per_second", 1_000_000),
];
/// Fields that hold moments, or end with the last one.
const MOMENTS: [&str; 3] = ["at_ms", "duration_ms", "first_at_ms"];
/// Silences that are shortened at a time, the longest first.
const GAPS: usize = 4;
/// Words that are simpler than whatever a field holds, the simplest first. Where a field of this
/// name holds something else, the plan refuses the word.
const WORDS: [(&str, &[&str]); 4] = [
    ("task_order", &["none"]),
    ("subscribe", &["normal", "refuse", "ignore"]),
    ("unsubscribe", &["normal", "refuse", "ignore"]),
    ("connect", &["normal", "refuse", "ignore"]),
];

/// Nodes that could take the place of this one, the simplest first. There is no way back from any
/// of them, so that simplifying comes to an end.
pub fn than(path: &[Key], node: &Node) -> Vec<Node> {
    let name = path.iter().rev().find_map(|key| match key {
        Key::Field(name) => Some(name.as_str()),
        Key::Item(_) => None,
    });
    let name = name.unwrap_or_default();
    if let Some(defaults) = gateway_default(path) {
        return match node {
            _ if defaults == *node => Vec::new(),
            // A lower limit is met by less. Zero often stands for none.
            Node::Number(limit) if name.ends_with("_max") => {
                let lower = numbers(name, *limit).filter(|lower| *lower > 0);
                [defaults].into_iter().chain(lower.map(Node::Number)).collect()
            }
            _ => vec![defaults],
        };
    }
    let mut simpler = words(name, node);
    match node {
        Node::Number(value) => simpler.extend(numbers(name, *value).map(Node::Number)),
        Node::Bool(true) => simpler.push(Node::Bool(false)),
        Node::Fraction(value) if *value > 0.0 => simpler.push(Node::Fraction(0.0)),
        Node::Negative(value) if *value < -1 => {
            simpler.extend([Node::Number(0), Node::Negative(-1), Node::Negative(value / 2)]);
        }
        Node::Null
        | Node::Negative(_)
        | Node::Bool(false)
        | Node::Fraction(_)
        | Node::Text(_)
        | Node::List(_)
        | Node::Map(_) => {}
    }
    simpler
}

/// Trees in which everything happens earlier, or at rounder moments: the changed nodes.
pub fn sooner(tree: &Node) -> Vec<Vec<(Vec<Key>, Node)>> {
    let mut moments = Vec::new();
    tree.walk(&mut |path, node| {
        if let (Some(Key::Field(name)), Node::Number(value)) = (path.last(), node)
            && MOMENTS.contains(&name.as_str())
        {
            moments.push((path.to_vec(), *value));
        }
    });
    // The story itself must not end at zero.
    let changed = |change: &dyn Fn(u64) -> u64| -> Vec<(Vec<Key>, Node)> {
        let changed = moments.iter().map(|(path, value)| (path, value, change(*value).max(1)));
        changed
            .filter(|(_, value, less)| less < value)
            .map(|(path, _, less)| (path.clone(), Node::Number(less)))
            .collect()
    };
    let candidates = [
        changed(&|value| value / 2),
        changed(&|value| value - value / 4),
        changed(&|value| value - value % 100),
        changed(&|value| value - value % 10),
    ];
    let mut candidates = candidates.to_vec();
    // What lies before a moment and does not matter becomes short, what follows stays together.
    let mut values: Vec<u64> = moments.iter().map(|(_, value)| *value).chain([0]).collect();
    values.sort_unstable();
    values.dedup();
    let mut gaps: Vec<_> = values.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).collect();
    gaps.sort_unstable_by_key(|(gap, _)| std::cmp::Reverse(*gap));
    for (gap, after) in gaps.into_iter().filter(|(gap, _)| *gap > 1).take(GAPS) {
        for cut in [gap - 1, gap / 2] {
            candidates.push(changed(&|value| if value >= after { value - cut } else { value }));
        }
    }
    candidates.into_iter().filter(|changes| !changes.is_empty()).collect()
}

fn words(name: &str, node: &Node) -> Vec<Node> {
    let Some((_, words)) = WORDS.iter().find(|(field, _)| *field == name) else {
        return Vec::new();
    };
    let rank = |word: &str| words.iter().position(|known| *known == word);
    let best = match node {
        Node::Text(word) => rank(word).unwrap_or(words.len()),
        _ => words.len(),
    };
    words[..best].iter().map(|word| Node::Text((*word).to_owned())).collect()
}

fn numbers(name: &str, value: u64) -> impl Iterator<Item = u64> {
    let limit = MORE.iter().find(|(field, _)| *field == name);
    let candidates = match limit {
        Some((_, most)) => vec![*most, most / 10],
        None => {
            let power = value.checked_ilog10().map_or(1, |digits| 10_u64.pow(digits));
            let round = |unit: u64| value.checked_rem(unit).map_or(value, |rest| value - rest);
            vec![0, 1, power, value / 2, round(power), round(power / 10), value.saturating_sub(1)]
        }
    };
    let more = limit.is_some();
    let simpler = move |other: &u64| if more { *other > value } else { *other < value };
    let mut seen = std::collections::BTreeSet::new();
    candidates.into_iter().filter(simpler).filter(move |other| seen.insert(*other))
}

/// The configuration has its defaults; fewer is not simpler there, but for limits.
fn gateway_default(path: &[Key]) -> Option<Node> {
    let [Key::Field(first), rest @ ..] = path else { return None };
    if first != "gateway" {
        return None;
    }
    Node::of(&Gateway::default()).ok()?.at(rest).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Key {
        Key::Field(name.into())
    }

    fn simpler(name: &str, node: Node) -> Vec<Node> {
        than(&[field("x"), field(name)], &node)
    }

    #[test]
    fn numbers_become_small_and_round_and_a_feed_slow() {
        let values = |name: &str, value: u64| -> Vec<u64> { numbers(name, value).collect() };
        assert_eq!(values("at_ms", 1734), [0, 1, 1000, 867, 1700, 1733]);
        assert_eq!(values("at_ms", 7), [0, 1, 3, 6]);
        assert_eq!(values("at_ms", 0), [0; 0]);
        assert_eq!(values("period_ms", 40), [1000, 100]);
        assert_eq!(values("period_ms", 1000), [0; 0]);
    }

    #[test]
    fn words_have_an_order_and_there_is_no_way_back() {
        let text = |word: &str| Node::Text(word.into());
        assert_eq!(simpler("subscribe", text("ignore")), [text("normal"), text("refuse")]);
        assert_eq!(simpler("subscribe", text("normal")), []);
        assert_eq!(simpler("unwanted", Node::Bool(true)), [Node::Bool(false)]);
        assert_eq!(simpler("unwanted", Node::Bool(false)), []);
        assert_eq!(simpler("task_order", Node::Map(Default::default())), [text("none")]);
    }

    #[test]
    fn the_gateway_goes_back_to_its_defaults() {
        let path = [field("gateway"), field("shards")];
        assert_eq!(than(&path, &Node::Number(4)), [Node::Number(1)]);
        assert_eq!(than(&path, &Node::Number(1)), []);
        let path = [field("gateway"), field("message_burst_max")];
        let Some(default) = gateway_default(&path) else { panic!("there is one") };
        assert_eq!(than(&path, &default), []);
        let lower = [default, Node::Number(1), Node::Number(2), Node::Number(3)];
        assert_eq!(than(&path, &Node::Number(4)), lower);
    }

    #[test]
    fn everything_can_happen_earlier_at_once() {
        let text = r#"{"duration_ms":100,"list":[{"at_ms":40},{"at_ms":7}]}"#;
        let tree: Node = serde_json::from_str(text).expect("it is a tree");
        let values = |at: usize| -> Vec<Node> {
            sooner(&tree)[at].iter().map(|(_, node)| node.clone()).collect()
        };
        assert_eq!(values(0), [50, 20, 3].map(Node::Number));
        assert_eq!(values(2), [1, 1].map(Node::Number), "nothing is left of 40 and 7");
    }
}

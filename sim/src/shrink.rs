//! Makes a failing plan small: delta debugging over everything the plan holds.
//!
//! Lists lose whatever is not needed for the same failure (clients, steps, incidents, topics …),
//! then numbers and words become as simple as they can be. It works on the plan as a tree and
//! knows no list by name, so that a list that is added to the plan is shrunk too; what makes no
//! sense without a part that was taken out is refused by the plan's own check and costs nothing.
//! What can only go together is tried together: for that the steps of clients are known by name.
//!
//! Each actor has its own stream of random decisions, so a part less leaves the others as they
//! were. Only the network has one stream for all: where a part cannot be taken out with this
//! seed, it is tried with a few others.

mod simpler;
mod together;

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::expect::Expectation;
use crate::invariant::Invariant;
use crate::plan::tree::{Key, Node};
use crate::plan::{self, Plan};
use crate::verdict::Verdict;
use crate::world::{Options, Outcome, play_judged};
use together::Changes;

/// What decides about a plan: the ordinary invariants, or a test's own.
pub type Judges<'a> = dyn Fn(&Plan) -> Vec<Box<dyn Invariant>> + Sync + 'a;

/// Seeds that are tried where the plan's own does not help.
const OTHER_SEEDS: u64 = 4;
/// And at last, for what is in lists alone.
const MANY_SEEDS: u64 = 32;
/// What the failure is measured by stays as it is.
const KEPT: [&str; 4] = ["about", "expect", "forbid", "seed"];

/// A plan that is as small as it gets.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// It expects its own failure.
    pub plan: Plan,
    /// How it ends.
    pub verdict: Verdict,
    /// Whether nothing more could be taken out; otherwise time was up.
    pub complete: bool,
}

/// How far the shrinking has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Simulations so far.
    pub played: u64,
    /// Size of the smallest plan so far.
    pub size: Size,
}

/// Size of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Clients.
    pub clients: usize,
    /// Everything that happens at a moment: actions, incidents, invalidations, faults.
    pub steps: usize,
    /// Scalars, lists and maps in all.
    pub parts: usize,
}

impl Size {
    /// The size of a plan.
    ///
    /// # Errors
    ///
    /// Fails if the plan cannot be written down.
    pub fn of(plan: &Plan) -> Result<Self, String> {
        Ok(Self::of_tree(&Node::of(plan)?))
    }

    fn of_tree(tree: &Node) -> Self {
        let clients = match tree.at(&[field("clients")]) {
            Some(Node::List(clients)) => clients.len(),
            _ => 0,
        };
        let mut steps = 0;
        tree.walk(&mut |_, node| {
            let timed = matches!(node, Node::Map(fields) if fields.contains_key("at_ms"));
            steps += usize::from(timed);
        });
        Self { clients, steps, parts: tree.size() }
    }
}

/// Shrinks a plan that fails. `go_on` is asked after each step and ends the shrinking with
/// `false`; as many simulations run at once as `jobs` says, which does not change the result.
///
/// # Errors
///
/// Fails if the plan passes, or cannot be written down.
pub fn shrink(
    plan: &Plan,
    judges: &Judges<'_>,
    jobs: usize,
    go_on: &mut dyn FnMut(&Stats) -> bool,
) -> Result<Shrunk, String> {
    let verdict = verdict_of(plan, judges);
    if verdict.passed() {
        return Err("it passes: there is nothing to shrink".into());
    }
    let tree = Node::of(plan)?;
    let stats = Stats { played: 1, size: Size::of_tree(&tree) };
    let failure = Failure::of(&verdict);
    let (best, tried) = (tree, BTreeSet::new());
    let jobs = jobs.max(1);
    let mut shrinker =
        Shrinker { best, failure, judges, jobs, tried, stats, go_on, stopped: false };
    shrinker.run();
    let complete = !shrinker.stopped;
    let mut plan = shrinker.best.to_plan()?;
    let verdict = verdict_of(&plan, judges);
    plan.expect = Expectation::of(&verdict);
    Ok(Shrunk { plan, verdict, complete })
}

fn verdict_of(plan: &Plan, judges: &Judges<'_>) -> Verdict {
    Verdict::of(&play(plan, judges))
}

fn play(plan: &Plan, judges: &Judges<'_>) -> Outcome {
    play_judged(plan, Options::default(), judges(plan))
}

fn field(name: &str) -> Key {
    Key::Field(name.to_owned())
}

/// What has to stay the same.
#[derive(PartialEq, Eq)]
struct Failure {
    kind: Expectation,
    /// Of a crash.
    place: Option<String>,
}

impl Failure {
    fn of(verdict: &Verdict) -> Self {
        let place = match verdict {
            Verdict::Crashed(crash) => Some(crash.place.clone()),
            Verdict::Passed | Verdict::Violated(_) | Verdict::Stuck(_) => None,
        };
        Self { kind: Expectation::of(verdict), place }
    }
}

/// A change of the tree.
#[derive(Clone, Debug)]
enum Edit {
    /// So many items of a list go, from this one on.
    Remove { list: Vec<Key>, from: usize, count: usize },
    /// A node becomes another one.
    Set { path: Vec<Key>, node: Node },
}

impl Edit {
    fn apply(&self, tree: &mut Node) {
        match self {
            Self::Remove { list, from, count } => {
                if let Some(Node::List(items)) = tree.at_mut(list) {
                    let end = (from + count).min(items.len());
                    items.drain((*from).min(end)..end);
                }
            }
            Self::Set { path, node } => {
                if let Some(found) = tree.at_mut(path) {
                    *found = node.clone();
                }
            }
        }
    }
}

/// A changed tree that makes sense.
struct Candidate {
    tree: Node,
    plan: Plan,
    hash: u64,
}

struct Shrinker<'a> {
    best: Node,
    failure: Failure,
    judges: &'a Judges<'a>,
    jobs: usize,
    /// Hashes of plans that do not fail in the same way.
    tried: BTreeSet<u64>,
    stats: Stats,
    go_on: &'a mut dyn FnMut(&Stats) -> bool,
    stopped: bool,
}

impl Shrinker<'_> {
    fn run(&mut self) {
        // With other seeds only where the plan's own does not help: a try costs so much more.
        loop {
            self.settle(0);
            self.settle(OTHER_SEEDS);
            let before = self.best.clone();
            self.shorten_lists(MANY_SEEDS);
            if self.stopped || self.best == before {
                return;
            }
        }
    }

    /// Tries everything until nothing helps.
    fn settle(&mut self, seeds: u64) {
        loop {
            let before = self.best.clone();
            self.shorten_lists(seeds);
            self.go_together(seeds);
            self.compress_time(seeds);
            self.simplify(seeds);
            if self.stopped || self.best == before {
                return;
            }
        }
    }

    /// Takes out of every list what is not needed, the largest lists first.
    fn shorten_lists(&mut self, seeds: u64) {
        let mut lists = Vec::new();
        self.best.walk(&mut |path, node| {
            if matches!(node, Node::List(_)) && !is_kept(path) {
                lists.push((node.size(), path.to_vec()));
            }
        });
        lists.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        for (_, list) in lists {
            self.shorten(&list, seeds);
        }
    }

    fn shorten(&mut self, list: &[Key], seeds: u64) {
        let mut count = self.length(list);
        while count > 0 {
            // From the end: what comes after the failure goes first.
            let mut end = self.length(list);
            while end > 0 {
                let mut starts = Vec::new();
                let mut edits = Vec::new();
                while end > 0 {
                    let from = end.saturating_sub(count);
                    let edit = Edit::Remove { list: list.to_vec(), from, count: end - from };
                    starts.push(from);
                    edits.push(vec![edit]);
                    end = from;
                }
                if let Some(at) = self.try_each(edits, seeds) {
                    end = starts[at];
                }
                if self.stopped {
                    return;
                }
            }
            count = (count / 2).min(self.length(list));
        }
    }

    fn length(&self, list: &[Key]) -> usize {
        match self.best.at(list) {
            Some(Node::List(items)) => items.len(),
            _ => 0,
        }
    }

    /// Takes out steps that no list can lose alone.
    fn go_together(&mut self, seeds: u64) {
        self.change_while(seeds, together::fewer);
    }

    /// Lets everything happen earlier.
    fn compress_time(&mut self, seeds: u64) {
        self.change_while(seeds, simpler::sooner);
    }

    /// Makes one of these changes as long as one helps.
    fn change_while(&mut self, seeds: u64, candidates: fn(&Node) -> Vec<Changes>) {
        loop {
            let edits = candidates(&self.best).into_iter().map(|changes| {
                changes.into_iter().map(|(path, node)| Edit::Set { path, node }).collect()
            });
            if self.try_each(edits.collect(), seeds).is_none() || self.stopped {
                return;
            }
        }
    }

    /// Makes every number and word as simple as it can be.
    fn simplify(&mut self, seeds: u64) {
        let mut paths = Vec::new();
        self.best.walk(&mut |path, _| {
            if !path.is_empty() && !is_kept(path) {
                paths.push(path.to_vec());
            }
        });
        for path in paths {
            while let Some(node) = self.best.at(&path) {
                let edits = simpler::than(&path, node).into_iter().map(|node| {
                    let path = path.clone();
                    vec![Edit::Set { path, node }]
                });
                if self.try_each(edits.collect(), seeds).is_none() || self.stopped {
                    break;
                }
            }
        }
    }

    /// Tries candidates in their order and keeps the first that fails in the same way; tells
    /// which.
    fn try_each(&mut self, candidates: Vec<Vec<Edit>>, seeds: u64) -> Option<usize> {
        let mut batch = Vec::new();
        let count = candidates.len();
        for (at, edits) in candidates.into_iter().enumerate() {
            for seed in 0..=seeds {
                let reseed = Edit::Set { path: vec![field("seed")], node: Node::Number(seed) };
                let edits = edits.iter().cloned().chain((seed > 0).then_some(reseed));
                if let Some(candidate) = self.candidate(edits) {
                    batch.push((at, candidate));
                }
            }
            if batch.len() >= self.jobs || at + 1 == count {
                if let Some(at) = self.play_batch(std::mem::take(&mut batch)) {
                    return Some(at);
                }
                if !(self.go_on)(&self.stats) {
                    self.stopped = true;
                    return None;
                }
            }
        }
        None
    }

    /// The changed tree, if it makes sense and was not tried before.
    fn candidate(&self, edits: impl Iterator<Item = Edit>) -> Option<Candidate> {
        let mut tree = self.best.clone();
        edits.for_each(|edit| edit.apply(&mut tree));
        if tree == self.best {
            return None;
        }
        let plan = tree.to_plan().ok()?;
        plan::check(&plan).ok()?;
        let text = serde_json::to_string(&tree).ok()?;
        let hash = xxh3_64(text.as_bytes());
        (!self.tried.contains(&hash)).then_some(Candidate { tree, plan, hash })
    }

    fn play_batch(&mut self, batch: Vec<(usize, Candidate)>) -> Option<usize> {
        let judges = self.judges;
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            let some: Vec<_> = batch.by_ref().take(self.jobs).collect();
            self.stats.played += some.len() as u64;
            let verdicts: Vec<_> = std::thread::scope(|scope| {
                let play = |plan| scope.spawn(move || verdict_of(plan, judges));
                let players: Vec<_> = some.iter().map(|(_, one)| play(&one.plan)).collect();
                players.into_iter().map(|player| player.join().ok()).collect()
            });
            for ((at, Candidate { tree, hash, .. }), verdict) in some.into_iter().zip(verdicts) {
                if verdict.is_some_and(|verdict| Failure::of(&verdict) == self.failure) {
                    self.stats.size = Size::of_tree(&tree);
                    self.best = tree;
                    return Some(at);
                }
                self.tried.insert(hash);
            }
        }
        None
    }
}

/// Whether a node belongs to what stays as it is.
fn is_kept(path: &[Key]) -> bool {
    matches!(path.first(), Some(Key::Field(name)) if KEPT.contains(&name.as_str()))
}

#[cfg(test)]
mod tests;

//! What can be played: a scenario, which a seed expands into a plan, or a plan as it is.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::expect::Expectation;
use crate::fault::FaultKind;
use crate::invariant;
use crate::plan::{self, NetworkKind, Plan};
use crate::scenario::{self, BadScenario, Scenario};

/// A file that can be played.
#[derive(Clone, Debug)]
pub enum Playable {
    /// With any seed.
    Scenario(Box<Scenario>),
    /// With the one seed that it was drawn from.
    Plan(Box<Plan>),
}

/// What tells a plan from a scenario.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    world: Option<IgnoredAny>,
    #[serde(default)]
    seed: Option<IgnoredAny>,
    #[serde(default)]
    clients: Option<IgnoredAny>,
}

impl Playable {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Fails with one sentence that is fit for a terminal.
    pub fn load(path: &Path) -> Result<Self, BadScenario> {
        Self::parse(&path.display().to_string(), &scenario::read(path)?)
    }

    /// Checks the text of a file; `path` is what an error calls it.
    ///
    /// # Errors
    ///
    /// Fails with one sentence that is fit for a terminal.
    pub fn parse(path: &str, text: &str) -> Result<Self, BadScenario> {
        let wrong = |problem| BadScenario::Wrong { path: path.into(), line: 1, column: 1, problem };
        let head = serde_saphyr::from_str::<Head>(text).ok();
        let is_plan =
            head.is_some_and(|h| h.world.is_none() && (h.seed.is_some() || h.clients.is_some()));
        let playable = if is_plan {
            let plan: Plan = scenario::parse_yaml(path, text)?;
            plan::check(&plan).map_err(wrong)?;
            Self::Plan(Box::new(plan))
        } else {
            Self::Scenario(Box::new(scenario::parse(path, text)?))
        };
        playable.check_expectation().map_err(wrong)?;
        Ok(playable)
    }

    fn check_expectation(&self) -> Result<(), String> {
        let Expectation::Violated(expected) = self.expect() else { return Ok(()) };
        let plan = self.plan(self.first_seed())?;
        let known: Vec<&str> = invariant::all(&plan).iter().map(|known| known.name()).collect();
        if known.contains(&expected.as_str()) {
            return Ok(());
        }
        let distance = |name: &&str| strsim::damerau_levenshtein(expected, name);
        let nearest = known.iter().copied().min_by_key(distance).unwrap_or_default();
        Err(format!("there is no invariant `{expected}`; did you mean `{nearest}`?"))
    }

    /// Plays through this network, whatever the file says.
    #[must_use]
    pub fn on(mut self, network: Option<NetworkKind>) -> Self {
        if let Some(kind) = network {
            match &mut self {
                Self::Scenario(scenario) => scenario.world.network.kind = kind,
                Self::Plan(plan) => plan.network.kind = kind,
            }
        }
        self
    }

    /// The faults that a scenario asks for. A plan says what it has.
    #[must_use]
    pub fn asks_for(&self) -> BTreeSet<FaultKind> {
        match self {
            Self::Scenario(scenario) => scenario.asks_for(),
            Self::Plan(_) => BTreeSet::new(),
        }
    }

    /// The story in one sentence.
    #[must_use]
    pub fn about(&self) -> &str {
        match self {
            Self::Scenario(scenario) => scenario.about.trim(),
            Self::Plan(plan) => plan.about.trim(),
        }
    }

    /// How it is expected to end.
    #[must_use]
    pub const fn expect(&self) -> &Expectation {
        match self {
            Self::Scenario(scenario) => &scenario.expect,
            Self::Plan(plan) => &plan.expect,
        }
    }

    /// The seed that is played if none is asked for.
    #[must_use]
    pub const fn first_seed(&self) -> u64 {
        match self {
            Self::Scenario(_) => 1,
            Self::Plan(plan) => plan.seed,
        }
    }

    /// The only seed there is, if there is but one.
    #[must_use]
    pub const fn only_seed(&self) -> Option<u64> {
        match self {
            Self::Scenario(_) => None,
            Self::Plan(plan) => Some(plan.seed),
        }
    }

    /// What is played with a seed.
    ///
    /// # Errors
    ///
    /// Fails if this is the plan of another seed.
    pub fn plan(&self, seed: u64) -> Result<Plan, String> {
        match self {
            Self::Scenario(scenario) => Ok(plan::draw(scenario, seed)),
            Self::Plan(plan) if plan.seed == seed => Ok((**plan).clone()),
            Self::Plan(plan) => Err(format!(
                "this is the plan of seed {}: leave `--seed` out, or play its scenario with seed \
                 {seed}",
                plan.seed
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str =
        "about: A.\nworld:\n  duration_ms: 100\n  users: [{ name: alice, arrive_ms: [0, 9] }]\n";

    fn plan_text() -> String {
        let scenario = Playable::parse("s.yaml", SCENARIO).expect("it is good");
        plan::to_yaml(&scenario.plan(7).expect("any seed"), "").expect("it can be written")
    }

    #[test]
    fn a_plan_is_told_from_a_scenario_and_has_one_seed() {
        let plan = Playable::parse("p.yaml", &plan_text()).expect("it is good");
        assert_eq!((plan.only_seed(), plan.first_seed(), plan.about()), (Some(7), 7, "A."));
        assert!(plan.plan(7).is_ok());
        let problem = plan.plan(8).expect_err("it is of another seed");
        assert!(problem.contains("the plan of seed 7"), "{problem}");
    }

    #[test]
    fn a_bad_plan_is_one_sentence() {
        let problem = |from: &str, to: &str| {
            let text = plan_text().replace(from, to);
            assert_ne!(text, plan_text(), "{from}");
            Playable::parse("p.yaml", &text).expect_err("it is wrong").to_string()
        };
        assert!(problem("seed: 7", "seed: -7").starts_with("p.yaml:"));
        assert!(problem("seed: 7", "seed: 18446744073709551616").starts_with("p.yaml:"));
        assert!(problem("seed: 7\n", "").contains("the key `seed` is missing"));
        let typo = problem("duration_ms", "duraton_ms");
        assert!(typo.ends_with("did you mean `duration_ms`?"), "{typo}");
        assert!(problem("user: alice", "user: eve").contains("no user `eve`"));
    }

    #[test]
    fn an_expected_invariant_must_exist() {
        let text = format!("{SCENARIO}expect: {{ violated: tick_in_order }}\n");
        let problem = Playable::parse("s.yaml", &text).expect_err("there is none").to_string();
        assert!(problem.contains("did you mean `ticks_in_order`?"), "{problem}");
        let text = format!("{SCENARIO}expect: {{ violated: ticks_in_order }}\n");
        assert!(Playable::parse("s.yaml", &text).is_ok());
    }
}

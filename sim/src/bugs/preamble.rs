//! What a patch file says before its first `diff --git`.
//!
//! ```text
//! bug: one sentence
//! race: RC-001
//! found_by: invariant, invariant
//! ```
//!
//! A line that begins with a blank continues the one before it.

use std::collections::BTreeSet;

use crate::invariant;
use crate::playable::Playable;

/// Our own assertions in `src/engine`: `Hub::check`, `Shard::check` and what guards single steps.
pub const CHECK: &str = "check";
/// A panic anywhere else.
pub const CRASH: &str = "crash";
/// The simulation came to no end.
pub const STUCK: &str = "stuck";

/// A race of the requirements, or this.
const SUBTLE: &str = "subtle";

/// What is said about a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// In one sentence.
    pub bug: String,
    /// The line of the requirements that it breaks, such as `RC-001`, or `subtle`.
    pub race: String,
    /// Invariants that can explain it, `check`, `crash` and `stuck` included.
    pub found_by: BTreeSet<String>,
    /// Why the ordinary scenarios do not find it, if they do not.
    pub unfound: Option<String>,
}

impl Preamble {
    /// Reads it from the text of a patch file.
    ///
    /// # Errors
    ///
    /// Fails with what is missing, unknown, said twice or empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let end = text.find("diff --git ").ok_or("it has no `diff --git`")?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text[..end].lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with(' ') {
                let (_, value) = fields.last_mut().ok_or("its first line continues nothing")?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (key, value) =
                line.split_once(':').ok_or_else(|| format!("`{line}` is not `key: value`"))?;
            if fields.iter().any(|(known, _)| known == key) {
                return Err(format!("it says `{key}` twice"));
            }
            fields.push((key.to_owned(), value.trim().to_owned()));
        }
        let mut take = |key: &str| -> Option<String> {
            let at = fields.iter().position(|(known, _)| known == key)?;
            Some(fields.remove(at).1).filter(|value| !value.is_empty())
        };
        let bug = take("bug").ok_or("it lacks `bug:`, one sentence")?;
        let race = take("race").ok_or("it lacks `race:`, such as RC-001, or `subtle`")?;
        let found_by = take("found_by").ok_or("it lacks `found_by:`, names of invariants")?;
        let unfound = take("unfound");
        if let Some((key, _)) = fields.first() {
            return Err(format!("`{key}` is unknown or empty: bug, race, found_by, unfound"));
        }
        if !is_race(&race) {
            return Err(format!("`{race}` is no race: RC-001, WS-001 or {SUBTLE}"));
        }
        let found_by = explanations(&found_by)?;
        Ok(Self { bug, race, found_by, unfound })
    }
}

fn is_race(race: &str) -> bool {
    let number = race.strip_prefix("RC-").or_else(|| race.strip_prefix("WS-"));
    race == SUBTLE
        || number.is_some_and(|digits| {
            digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn explanations(words: &str) -> Result<BTreeSet<String>, String> {
    let known = all_explanations()?;
    let words: BTreeSet<String> = words.split(',').map(|word| word.trim().to_owned()).collect();
    match words.iter().find(|word| !known.contains(word.as_str())) {
        Some(word) => Err(format!("`{word}` is no invariant, nor {CHECK}, {CRASH} or {STUCK}")),
        None => Ok(words),
    }
}

/// Every name that a finding can have.
fn all_explanations() -> Result<BTreeSet<&'static str>, String> {
    let smallest = "about: A.\nworld:\n  duration_ms: 9\n  users: [{ name: alice }]\n";
    let plan = Playable::parse("smallest", smallest).map_err(|error| error.to_string())?.plan(1)?;
    let invariants = invariant::all(&plan);
    let names = invariants.iter().map(|invariant| invariant.name());
    Ok(names.chain([CHECK, CRASH, STUCK]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "bug: a sentence\n  goes on\nrace: RC-001\n\
                        found_by: reference_counts, check\n\ndiff --git a/x b/x\nrace: no\n";

    fn problem(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        Preamble::parse(&GOOD.replace(from, to)).expect_err("it is bad")
    }

    #[test]
    fn a_preamble_is_what_stands_before_the_diff() {
        let preamble = Preamble::parse(GOOD).expect("it is good");
        assert_eq!(preamble.bug, "a sentence goes on");
        assert_eq!(preamble.race, "RC-001");
        assert_eq!(preamble.found_by, ["check", "reference_counts"].map(Into::into).into());
        assert_eq!(preamble.unfound, None);
        let unfound = GOOD.replace("race: RC-001", "race: subtle\nunfound: because");
        let unfound = Preamble::parse(&unfound).expect("it is good");
        assert_eq!(unfound.unfound.as_deref(), Some("because"));
    }

    #[test]
    fn what_is_missing_unknown_or_misspelt_is_named() {
        assert!(problem("bug:", "bag:").contains("lacks `bug:`"));
        assert!(problem("race: RC-001\n", "").contains("lacks `race:`"));
        assert!(problem("found_by: reference_counts, check", "found_by:").contains("found_by"));
        assert!(problem("race: RC-001", "race: RC-1").contains("`RC-1` is no race"));
        assert!(problem("check", "chekc").contains("`chekc` is no invariant"));
        assert!(problem("race: RC", "races: 1\nrace: RC").contains("`races` is unknown"));
        assert!(problem("race: RC", "bug: x\nrace: RC").contains("`bug` twice"));
        assert!(problem("bug: a", "a").contains("is not `key: value`"));
        assert!(problem("bug: a", " a").contains("continues nothing"));
        assert!(problem("diff --git ", "diff ").contains("no `diff --git`"));
    }
}

//! Mutants that may survive, each with the reason.

use std::collections::BTreeMap;

/// Where they are.
pub const FILE: &str = "sim/mutants/explained.txt";

/// Reasons, by the label of the mutant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained(BTreeMap<String, String>);

impl Explained {
    /// Reads the file: a reason in a line of its own, ending with a colon, is followed by the
    /// mutants that it holds for, each in a line that is indented. `#` begins a remark.
    ///
    /// # Errors
    ///
    /// Fails if a line is neither, or a mutant is explained twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reasons = BTreeMap::new();
        let mut reason = None;
        for (line, number) in text.lines().zip(1..) {
            let words = line.trim();
            if words.is_empty() || words.starts_with('#') {
                continue;
            }
            if !line.starts_with(' ') {
                let words = words.strip_suffix(':');
                reason = Some(words.ok_or(format!("line {number}: a reason ends with a colon"))?);
            } else if let Some(reason) = reason {
                if reasons.insert(words.to_owned(), reason.to_owned()).is_some() {
                    return Err(format!("line {number}: `{words}` is explained twice"));
                }
            } else {
                return Err(format!("line {number}: a mutant comes after its reason"));
            }
        }
        Ok(Self(reasons))
    }

    /// Why a mutant may survive.
    #[must_use]
    pub fn of(&self, label: &str) -> Option<&str> {
        self.0.get(label).map(String::as_str)
    }

    /// All mutants that are explained.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_for_the_mutants_behind_it() {
        let text =
            "# remark\nIt is the same:\n  a.rs: replace b\n\n  a.rs: replace c (2)\nD:\n  d\n";
        let explained = Explained::parse(text).expect("it is good");
        assert_eq!(explained.of("a.rs: replace c (2)"), Some("It is the same"));
        assert_eq!(explained.of("d"), Some("D"));
        assert_eq!(explained.of("a.rs: replace c"), None);
        assert_eq!(explained.labels().count(), 3);
        for bad in ["  a.rs: b", "no colon\n  a", "a:\n  b\n  b"] {
            assert!(Explained::parse(bad).is_err(), "{bad}");
        }
    }
}

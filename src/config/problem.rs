//! What can be wrong with a configuration, and how it is told.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A position in a file; line and column count from one.
    File {
        /// The file as the operator named it.
        path: String,
        /// Counted from one.
        line: usize,
        /// In characters, counted from one.
        column: usize,
    },
    /// An environment variable.
    Environment(String),
}

impl Place {
    /// The position of byte `offset` of `text`.
    #[must_use]
    pub fn in_file(path: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong: one sentence, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it was written anywhere at all.
    pub place: Option<Place>,
    /// What, and what to do about it.
    pub message: String,
}

impl Problem {
    /// A problem with a place.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }

    /// A problem that belongs to no place.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A configuration that cannot be used. Shown one problem a line.
///
/// Tell the operator and end with exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct BadConfig(Vec<Problem>);

impl BadConfig {
    /// `Ok` if there are no problems. They are put in the order in which they were written.
    pub(super) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
        Err(Self(problems))
    }

    /// All of them; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for BadConfig {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// The candidate that was probably meant by `wrong`, if one is near enough.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let near_enough = (wrong.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&wrong, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, _)| *distance <= near_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a = 1\nñandú = \"x\"";
        let offset = text.find('=').expect("first");
        assert_eq!(Place::in_file("f", text, offset).to_string(), "f:1:3");
        let offset = text.rfind('=').expect("second");
        assert_eq!(Place::in_file("f", text, offset).to_string(), "f:2:7");
        assert_eq!(Place::in_file("f", text, 9_999).to_string(), "f:2:12", "beyond the end");
    }

    #[test]
    fn the_nearest_key_is_near() {
        assert_eq!(nearest("lisen", ["listen", "shards"]), Some("listen"));
        assert_eq!(nearest("LISTEN", ["listen", "shards"]), Some("listen"));
        assert_eq!(nearest("colour", ["listen", "shards"]), None);
    }
}

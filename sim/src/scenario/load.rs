//! From a file to a scenario, or to one sentence that says what is wrong and where.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Location};

use super::{Scenario, check};

/// Characters by which a misspelt key may differ from the one that was meant.
const TYPO_DISTANCE_MAX: usize = 3;

/// A file that is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScenario {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// As given.
        path: String,
        /// From the operating system.
        reason: String,
    },
    /// It makes no sense.
    #[error("{path}:{line}:{column}: {problem}")]
    Wrong {
        /// As given.
        path: String,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Reads and checks a file.
///
/// # Errors
///
/// Fails with one sentence that is fit for a terminal.
pub fn load(path: &Path) -> Result<Scenario, BadScenario> {
    parse(&path.display().to_string(), &read(path)?)
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, BadScenario> {
    std::fs::read_to_string(path).map_err(|error| BadScenario::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// Checks the text of a file; `path` is what an error calls it.
///
/// # Errors
///
/// Fails with one sentence that is fit for a terminal.
pub fn parse(path: &str, text: &str) -> Result<Scenario, BadScenario> {
    let mut scenario: Scenario = parse_yaml(path, text)?;
    if let Some(recording) = &mut scenario.world.feed.recording {
        let directory = Path::new(path).parent().unwrap_or(Path::new(""));
        let at = recording.defined;
        recording.value.load(directory).map_err(|problem| wrong(path, at, problem))?;
    }
    check::check(&scenario).map_err(|(at, problem)| wrong(path, at, problem))?;
    Ok(scenario)
}

/// Reads the shape of a text and does not ask whether it makes sense.
pub(crate) fn parse_yaml<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, BadScenario> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        wrong(path, error.location().unwrap_or(Location::UNKNOWN), describe(error))
    })
}

fn wrong(path: &str, at: Location, problem: String) -> BadScenario {
    let (line, column) = (at.line().max(1), at.column().max(1));
    BadScenario::Wrong { path: path.to_owned(), line, column, problem }
}

/// The parser's words, with a hint where a name was misspelt.
fn describe(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key `{field}`{}", hint(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown word `{variant}`{}", hint(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        // Its own text repeats the place.
        other => {
            let text = other.to_string();
            let end = text.find(" at line ").or_else(|| text.find("\n")).unwrap_or(text.len());
            text[..end].trim_start_matches("error: ").to_owned()
        }
    }
}

fn hint(found: &str, expected: &[&'static str]) -> String {
    let nearest = expected
        .iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), *name))
        .min()
        .filter(|(distance, _)| *distance <= TYPO_DISTANCE_MAX);
    match nearest {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => format!("; here are known: {}", expected.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "about: A story.\nworld:\n  duration_ms: 100\n  users:\n    - name: alice\n";

    fn problem(text: &str) -> String {
        parse("story.yaml", text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn a_short_scenario_is_good() {
        let scenario = parse("story.yaml", GOOD).expect("it is good");
        assert_eq!(scenario.world.users[0].value.clients, 1);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_key() {
        let text = GOOD.replace("duration_ms", "duraton_ms");
        assert_eq!(
            problem(&text),
            "story.yaml:3:3: unknown key `duraton_ms`; did you mean `duration_ms`?"
        );
        let text = format!("{GOOD}  nonsense: 1\n");
        assert!(
            problem(&text).contains("here are known: duration_ms, users"),
            "{}",
            problem(&text)
        );
    }

    #[test]
    fn a_misspelt_word_is_refused_with_the_nearest_word() {
        let text = format!("{GOOD}steps:\n  - {{ at_ms: 5, client: all, do: subscrib }}\n");
        assert!(problem(&text).ends_with("unknown word `subscrib`; did you mean `subscribe`?"));
    }

    #[test]
    fn text_that_is_no_yaml_and_a_missing_file_are_one_sentence() {
        assert!(problem("a: [1").starts_with("story.yaml:"));
        assert!(!problem("a: [1").contains('\n'));
        assert!(problem("").starts_with("story.yaml:1:1: "));
        let missing = load(Path::new("no/such.yaml")).expect_err("there is none");
        assert!(missing.to_string().starts_with("cannot read no/such.yaml: "));
    }

    #[test]
    fn wrong_types_are_refused_with_their_place() {
        let text = GOOD.replace("100", "soon");
        assert!(problem(&text).starts_with("story.yaml:3:16: "), "{}", problem(&text));
    }
}

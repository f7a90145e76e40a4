//! What cargo-mutants lists.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The sources that are mutated.
pub const FILES: &str = "src/engine/**/*.rs";
/// How to get what makes the list.
const INSTALL: &str = "cargo install --locked cargo-mutants --version 27.1.0";

/// One small change to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// From 1 on; 0 is nobody.
    pub number: u32,
    /// Its file and what it does, without the line: it outlives changes elsewhere in the file. The
    /// second of the same in a function ends with `(2)`.
    pub label: String,
    /// The file, as seen from the workspace.
    pub file: String,
    /// The kind of change.
    pub genre: Genre,
    /// Where it begins.
    pub start: Place,
    /// Where it ends.
    pub end: Place,
    /// What stands there instead.
    pub replacement: String,
    /// The function returns `impl Trait`: all that it returns is of one type, so that a body cannot
    /// stand beside another.
    pub is_opaque: bool,
}

/// Kinds of changes. Of two at the same place, the earlier one is around the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Genre {
    /// A function's body becomes one value.
    FnValue,
    /// An arm of a match is left out.
    MatchArm,
    /// A guard becomes `true` or `false`.
    MatchArmGuard,
    /// A field is left to the base of the struct expression.
    StructField,
    /// An operator between two operands becomes another.
    BinaryOperator,
    /// A `!` or `-` is left out.
    UnaryOperator,
    /// One that is not known here.
    #[serde(other)]
    Other,
}

/// A place in a file: line and column, in characters, both from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    file: String,
    function: Option<Function>,
    genre: Genre,
    span: Span,
    replacement: String,
}

#[derive(Debug, Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

/// Lets cargo-mutants list the mutants of the workspace that this program is started in.
///
/// # Errors
///
/// Fails if it is not installed, and says how to install it.
pub fn listed() -> Result<Vec<Mutant>, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["mutants", "--list", "--json", "--file", FILES])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        return Err(format!(
            "`cargo mutants`, which lists the mutants, cannot be run: {said}\n\
             install it with\n  {INSTALL}\nor give a list that it has made:\n  \
             cargo mutants --list --json -f '{FILES}' > list.json\n  \
             cargo sim mutants --list list.json"
        ));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads a list that cargo-mutants has written.
///
/// # Errors
///
/// Fails if it cannot be read or is none.
pub fn load(file: &Path) -> Result<Vec<Mutant>, String> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    parse(&text).map_err(|problem| format!("{shown}: {problem}"))
}

/// Understands a list.
///
/// # Errors
///
/// Fails if it is none.
pub fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let listed: Vec<Listed> =
        serde_json::from_str(text).map_err(|error| format!("not a list of mutants: {error}"))?;
    let mut times = BTreeMap::new();
    let mutants = listed.into_iter().zip(1..).map(|(listed, number)| {
        let Listed { name, file, function, genre, span, replacement } = listed;
        let is_opaque = genre == Genre::FnValue
            && function.is_some_and(|function| function.return_type.contains("impl "));
        let what = name.splitn(4, ':').nth(3).unwrap_or(&name).trim();
        let mut label = format!("{file}: {what}");
        let nth = times.entry(label.clone()).or_insert(0_u32);
        *nth += 1;
        if *nth > 1 {
            label = format!("{label} ({nth})");
        }
        let Span { start, end } = span;
        Mutant { number, label, file, genre, start, end, replacement, is_opaque }
    });
    Ok(mutants.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_has_a_number_and_a_label_of_its_own() {
        let one = |line: u32, genre: &str| {
            format!(
                r#"{{"package": "p", "name": "src/a.rs:{line}:5: replace A::b -> C with d",
                   "file": "src/a.rs", "genre": "{genre}", "replacement": "d", "diff": "",
                   "function": {{"return_type": "-> impl C"}},
                   "span": {{"start": {{"line": {line}, "column": 5}},
                             "end": {{"line": {line}, "column": 9}}}}}}"#
            )
        };
        let list = format!("[{}, {}]", one(7, "FnValue"), one(9, "SomethingNew"));
        let mutants = parse(&list).expect("it is good");
        assert_eq!((mutants[0].number, mutants[1].number), (1, 2));
        assert_eq!(mutants[0].label, "src/a.rs: replace A::b -> C with d");
        assert_eq!(mutants[1].label, "src/a.rs: replace A::b -> C with d (2)");
        assert_eq!((mutants[0].genre, mutants[1].genre), (Genre::FnValue, Genre::Other));
        assert_eq!(mutants[1].start, Place { line: 9, column: 5 });
        assert_eq!((mutants[0].is_opaque, mutants[1].is_opaque), (true, false));
        assert!(parse("{}").is_err());
    }
}

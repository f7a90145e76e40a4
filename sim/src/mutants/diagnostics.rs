//! What the compiler complains about, read from what cargo writes with `--message-format json`.

use std::path::PathBuf;

use serde::Deserialize;

use super::sites::Bytes;

/// A complaint, without which there would be a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where: the file as the compiler was given it, and its bytes. The first are the places that
    /// it is about.
    pub places: Vec<(String, Bytes)>,
    /// In the compiler's words.
    pub words: String,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Message>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    spans: Vec<Span>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn lines(said: &str) -> impl Iterator<Item = Line> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// All complaints that name a place.
#[must_use]
pub fn complaints(said: &str) -> Vec<Complaint> {
    let messages = lines(said).filter(|line| line.reason == "compiler-message");
    let messages = messages.filter_map(|line| line.message);
    let errors = messages.filter(|message| message.level == "error" && !message.spans.is_empty());
    let complaint = |mut message: Message| {
        message.spans.sort_by_key(|span| !span.is_primary);
        let place = |span: Span| (span.file_name, span.byte_start..span.byte_end);
        let places = message.spans.into_iter().map(place).collect();
        Complaint { places, words: message.rendered.unwrap_or_default() }
    };
    errors.map(complaint).collect()
}

/// The programs that were built, with the names of their targets. `tests`: those that run tests,
/// or the others.
#[must_use]
pub fn programs(said: &str, tests: bool) -> Vec<(String, PathBuf)> {
    let built = lines(said).filter(|line| line.reason == "compiler-artifact");
    let built =
        built.filter(|line| line.profile.as_ref().is_some_and(|profile| profile.test == tests));
    built.filter_map(|line| Some((line.target?.name, line.executable?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_programs_are_told_from_the_rest() {
        let said = r#"
            {"reason":"compiler-message","message":{"level":"error","rendered":"E","spans":[
             {"file_name":"src/b.rs","byte_start":1,"byte_end":2,"is_primary":false},
             {"file_name":"src/a.rs","byte_start":5,"byte_end":9,"is_primary":true}]}}
            {"reason":"compiler-message","message":{"level":"error","rendered":"aborting","spans":[]}}
            {"reason":"compiler-message","message":{"level":"warning","rendered":"W","spans":[
             {"file_name":"src/a.rs","byte_start":5,"byte_end":9,"is_primary":true}]}}
            {"reason":"compiler-artifact","target":{"name":"lib"},"profile":{"test":false},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"hub"},"profile":{"test":false},"executable":"/x/hub"}
            {"reason":"compiler-artifact","target":{"name":"hub"},"profile":{"test":true},"executable":"/x/hub-1"}
            {"reason":"build-finished","success":false}
            some other line"#;
        let said = said.replace(",\n             ", ",").replace("[\n             ", "[");
        let found = complaints(&said);
        let places = vec![("src/a.rs".to_owned(), 5..9), ("src/b.rs".to_owned(), 1..2)];
        assert_eq!(found, [Complaint { places, words: "E".into() }]);
        assert_eq!(programs(&said, true), [("hub".to_owned(), PathBuf::from("/x/hub-1"))]);
        assert_eq!(programs(&said, false), [("hub".to_owned(), PathBuf::from("/x/hub"))]);
    }
}

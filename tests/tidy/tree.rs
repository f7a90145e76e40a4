//! The source tree as the rules see it: files, and code without comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the tree.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Rust only: comments and the insides of literals blanked, line for line.
    pub code: String,
}

/// Where the tree begins.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of one file; empty if there is none.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Every text file below these directories whose name ends in one of these ways, by path.
pub fn files(directories: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for directory in directories {
        walk(&root().join(directory), endings, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(directory: &Path, endings: &[&str], found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a UTF-8 name");
        if path.is_dir() {
            if !matches!(name, "target" | "node_modules" | "__pycache__" | ".venv" | ".git") {
                walk(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let relative = path.strip_prefix(root()).expect("below the root");
            let path = relative.to_str().expect("a UTF-8 path").replace('\\', "/");
            found.push(Source::new(&path, &read(&path)));
        }
    }
}

impl Source {
    /// A file with this text.
    pub fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { blank(text) } else { String::new() };
        Self { path: path.into(), text: text.into(), code }
    }

    /// Where `pattern` stands in the code as a path of its own, not as part of a longer name.
    pub fn uses(&self, pattern: &str) -> Vec<usize> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let first = pattern.starts_with(is_name);
        let last = pattern.ends_with(is_name);
        let stands_alone = |&(at, _): &(usize, &str)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + pattern.len()..].chars().next();
            !(first && before.is_some_and(is_name) || last && after.is_some_and(is_name))
        };
        self.code.match_indices(pattern).filter(stands_alone).map(|(at, _)| at).collect()
    }

    /// The line, from 1, at this byte.
    pub fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// `path:line`
    pub fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.line(at))
    }
}

/// Replaces comments and the insides of literals by blanks, keeping every line where it is.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let keep = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            out.extend(chars[at..end].iter().map(keep));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`, or `at` if none does.
fn literal_or_comment(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let inside_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', '/') => find(chars, at, |rest| rest[0] == '\n'),
        ('/', '*') => block_comment(chars, at),
        ('"', _) => string(chars, at + 1),
        ('b', '"') if !inside_name => string(chars, at + 2),
        ('r', '"' | '#') if !inside_name => raw_string(chars, at, at + 1),
        ('b', 'r') if !inside_name && matches!(next(2), '"' | '#') => raw_string(chars, at, at + 2),
        ('\'', '\\') => find(chars, at + 3, |rest| rest[0] == '\'') + 1,
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
    .min(chars.len())
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut end) = (0_usize, at);
    while end < chars.len() {
        match (chars[end], chars.get(end + 1)) {
            ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
            ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    end
}

fn string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `begin` is where the literal begins, `at` where its hashes or its quote do.
fn raw_string(chars: &[char], begin: usize, at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        // A raw identifier.
        return begin;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
    };
    find(chars, at + hashes + 1, closes) + 1 + hashes
}

fn find(chars: &[char], from: usize, is_end: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| is_end(&chars[*at..])).unwrap_or(chars.len())
}

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let text =
        "a /* x /* y */ z */ b // c\n\"d\\\"e\" 'f' '\\'' &'g r#\"h\"i\"# br\"j\" r#k b\"l\" m";

    let code = blank(text);

    assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), "a b &'g r#k m");
    assert_eq!(code.matches('\n').count(), 1);
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn a_name_is_found_only_where_it_stands_alone() {
    let source = Source::new("x.rs", "HashMap MyHashMap HashMaps x::HashMap<u8>");
    assert_eq!(source.uses("HashMap"), [0, 30]);
}

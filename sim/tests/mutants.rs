//! Mutants that are written into a source behave as they do alone. What the engine's judges say of
//! its mutants is the business of `cargo sim mutants`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tickgate_sim::mutants::VARIABLE;
use tickgate_sim::mutants::build::switch;
use tickgate_sim::mutants::explained::{self, Explained};
use tickgate_sim::mutants::list::{Genre, Mutant, Place};
use tickgate_sim::mutants::rewrite::{alone, rewrite};

use crate::common::{code, said, sim};

/// One of everything. It says what it has come to, in an order that mutants change.
const SOURCE: &str = r#"
#[derive(Default, Clone)]
struct Sum { whole: u32, parts: u32 }

const fn twice(n: u32) -> u32 {
    n * 2
}

fn told(word: &str, answer: bool) -> bool {
    print!("{word} ");
    answer
}

fn kind(n: u32) -> &'static str {
    match n {
        0 => "none",
        n if n % 2 == 1 => "odd",
        _ => "even",
    }
}

fn main() {
    let mut sum = Sum { whole: 3, ..Sum::default() };
    for n in 0..4_u32 {
        sum.parts += twice(n) << 1;
        if told("left", n < 2) && told("right", n != 1) || !told("last", n >= 3) {
            sum.whole += 5;
        }
        let odd = n | 1;
        println!("{n} {} {} {} {odd}", kind(n), sum.whole, sum.parts);
    }
}
"#;

/// What is changed: the kind, the text up to the change, the text that is changed, what for.
const CHANGES: [(Genre, &str, &str, &str); 21] = [
    (Genre::FnValue, "-> u32 {\n    ", "n * 2", "7"),
    (Genre::FnValue, "-> u32 {\n    ", "n * 2", "0"),
    (Genre::BinaryOperator, "n ", "*", "+"),
    (Genre::BinaryOperator, "n ", "*", "/"),
    (Genre::FnValue, "-> bool {\n    ", "print!(\"{word} \");\n    answer", "true"),
    (Genre::MatchArm, "match n {\n        ", "0 => \"none\",", ""),
    (Genre::MatchArm, "\"none\",\n        ", "n if n % 2 == 1 => \"odd\",", ""),
    (Genre::MatchArmGuard, "n if ", "n % 2 == 1", "true"),
    (Genre::MatchArmGuard, "n if ", "n % 2 == 1", "false"),
    (Genre::BinaryOperator, "n % 2 ", "==", "!="),
    (Genre::BinaryOperator, "n if n ", "%", "/"),
    (Genre::StructField, "Sum { ", "whole: 3,", ""),
    (Genre::BinaryOperator, "sum.parts ", "+=", "*="),
    (Genre::BinaryOperator, "twice(n) ", "<<", ">>"),
    (Genre::BinaryOperator, "\"left\", n ", "<", ">"),
    (Genre::BinaryOperator, "\"left\", n ", "<", "=="),
    (Genre::BinaryOperator, "n < 2) ", "&&", "||"),
    (Genre::BinaryOperator, "n != 1) ", "||", "&&"),
    (Genre::UnaryOperator, "|| ", "!", ""),
    (Genre::BinaryOperator, "\"last\", n ", ">=", "<"),
    (Genre::BinaryOperator, "odd = n ", "|", "^"),
];

fn place(offset: usize) -> Place {
    let before = &SOURCE[..offset];
    let line_begin = before.rfind('\n').map_or(0, |at| at + 1);
    Place { line: before.matches('\n').count() + 1, column: offset - line_begin + 1 }
}

fn mutants() -> Vec<Mutant> {
    let mutant = |((genre, before, text, replacement), number): ((_, &str, &str, &str), u32)| {
        let begin = SOURCE.find(&format!("{before}{text}")).expect("it is there") + before.len();
        Mutant {
            number,
            label: format!("{text} to {replacement}"),
            file: "main.rs".into(),
            genre,
            start: place(begin),
            end: place(begin + text.len()),
            replacement: replacement.into(),
            is_opaque: false,
        }
    };
    CHANGES.into_iter().zip(1..).map(mutant).collect()
}

fn compiled(directory: &Path, name: &str, source: &str) -> PathBuf {
    let (file, program) = (directory.join(format!("{name}.rs")), directory.join(name));
    std::fs::write(&file, source).expect("it can be written");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-Awarnings", "-o"]).args([&program, &file]);
    let output = rustc.output().expect("there is a compiler");
    assert!(output.status.success(), "{name}: {}", said(&output));
    program
}

/// What a program says with a mutant alive, and how it ends.
fn ran(program: &Path, living: u32) -> (Option<i32>, String) {
    let output = Command::new(program).env(VARIABLE, living.to_string()).output();
    let output = output.expect("it can be started");
    (code(&output), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn each_mutant_does_among_the_others_what_it_does_alone_and_without_one_all_is_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let mutants = mutants();
    let rewritten = rewrite(SOURCE, &mutants.iter().collect::<Vec<_>>()).expect("it is Rust");
    assert_eq!((rewritten.alone.len(), rewritten.left_out.len()), (0, 0), "{rewritten:?}");
    std::fs::write(directory.path().join("living_mutant.rs"), switch()).expect("it is written");
    let together = format!("mod living_mutant;\n{}", rewritten.text);
    let together = compiled(directory.path(), "together", &together);

    let original = ran(&compiled(directory.path(), "original", SOURCE), 0);
    assert_eq!(original.0, Some(0));
    assert_eq!(ran(&together, 0), original, "nobody lives");
    for mutant in &mutants {
        let source = alone(SOURCE, mutant).expect("it fits");
        let program = compiled(directory.path(), &format!("alone_{}", mutant.number), &source);
        let expected = ran(&program, 0);
        assert_ne!(expected, original, "{} makes no difference", mutant.label);
        assert_eq!(ran(&together, mutant.number), expected, "{}", mutant.label);
    }
}

#[test]
fn every_explanation_is_of_a_file_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(explained::FILE)).expect("it is there");
    let explained = Explained::parse(&text).expect("it is good");
    for label in explained.labels() {
        let (file, _) = label.split_once(": ").expect("a file and what is changed in it");
        assert!(root.join(file).is_file(), "{label}");
    }
}

#[test]
fn a_list_that_is_none_is_refused_and_so_is_a_name_that_no_mutant_has() {
    let missing = sim(&["mutants", "--list", "target/no_such_list.json"]);
    assert_eq!(code(&missing), Some(2));
    assert!(said(&missing).contains("cannot read target/no_such_list.json"), "{}", said(&missing));
    let directory = tempfile::tempdir().expect("a directory");
    let list = directory.path().join("list.json");
    let place = r#"{"line": 1, "column": 1}"#;
    let name = "src/engine/hub/mod.rs:1:1: replace Hub::settle with ()";
    let one = format!(
        r#"[{{"name": "{name}", "file": "src/engine/hub/mod.rs", "genre": "FnValue",
            "replacement": "()", "span": {{"start": {place}, "end": {place}}}}}]"#
    );
    std::fs::write(&list, one).expect("it can be written");
    let list = list.display().to_string();
    let unknown = sim(&["mutants", "--list", &list, "no_such_function"]);
    assert_eq!(code(&unknown), Some(2));
    assert!(said(&unknown).contains("no mutant has one of these"), "{}", said(&unknown));
}

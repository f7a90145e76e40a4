//! Each kind of change, written into small sources.

use super::*;

/// The mutants of a source: genre, the text that is replaced (its `nth`), the replacement.
fn written(source: &str, mutants: &[(Genre, &str, &str)]) -> Rewritten {
    let mutants: Vec<Mutant> = mutants
        .iter()
        .zip(1..)
        .map(|((genre, at, replacement), number)| mutant(source, *genre, at, replacement, number))
        .collect();
    let rewritten = rewrite(source, &mutants.iter().collect::<Vec<_>>()).expect("it is Rust");
    syn::parse_file(&rewritten.text).expect("it is still Rust");
    assert_eq!(rewritten.text.lines().count(), source.lines().count(), "no line is added");
    rewritten
}

fn mutant(source: &str, genre: Genre, at: &str, replacement: &str, number: u32) -> Mutant {
    let place = |offset: usize| {
        let before = &source[..offset];
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Place { line: before.matches('\n').count() + 1, column }
    };
    let begin = source.find(at).expect("it is there");
    let (start, end) = (place(begin), place(begin + at.len()));
    let (label, file, replacement) = (at.to_owned(), "a.rs".to_owned(), replacement.to_owned());
    Mutant { number, label, file, genre, start, end, replacement, is_opaque: false }
}

fn text_of(source: &str, mutants: &[(Genre, &str, &str)]) -> String {
    let rewritten = written(source, mutants);
    assert_eq!(rewritten.left_out, []);
    rewritten.text.replace("crate::living_mutant::is", "is").replace("__", "")
}

#[test]
fn a_body_is_left_before_it_begins_and_a_constant_function_is_none_any_more() {
    let source = "impl A {\n    pub const fn a(&self) -> u8 {\n        self.b\n    }\n}\n";
    let mutants = [(Genre::FnValue, "self.b\n", "0"), (Genre::FnValue, "self.b\n", "1")];
    let expected = "impl A {\n    pub  fn a(&self) -> u8 {\n        if is(1) { return 0; } if \
                    is(2) { return 1; } self.b\n    }\n}\n";
    assert_eq!(text_of(source, &mutants), expected);
}

#[test]
fn only_the_function_around_a_place_is_constant_no_longer() {
    let source = "const fn a() {} const fn b() { c() } const fn d() {}";
    let place = source.find("c()").expect("it is there");
    let text = super::without_const(source, place).expect("it is Rust");
    assert_eq!(text.as_deref(), Some("const fn a() {}       fn b() { c() } const fn d() {}"));
    assert_eq!(super::without_const(source, 0), Ok(None));
}

#[test]
fn an_operator_has_others_beside_it_and_each_operand_stands_there_once() {
    let one = |operator: &str, others: &[&str]| {
        let source = format!("fn f() {{ a {operator} b; }}");
        let mutants: Vec<_> =
            others.iter().map(|other| (Genre::BinaryOperator, operator, *other)).collect();
        let text = text_of(&source, &mutants);
        text["fn f() { ".len()..text.len() - "; }".len()].to_owned()
    };
    assert_eq!(
        one("<", &["==", ">"]),
        "(match (&(a), &(b)) { (left, right) => if is(1) { *left == *right } else \
         if is(2) { *left > *right } else { *left < *right } })"
    );
    assert_eq!(
        one("&&", &["||"]),
        "(match (a) { left => if left == (is(1)) { left } else { b } })"
    );
    assert_eq!(
        one("||", &["&&"]),
        "(match (a) { left => if left != (is(1)) { left } else { b } })"
    );
    assert_eq!(
        one("+", &["-"]),
        "(match (a, b) { (left, right) => if is(1) { left - right } else { left + right } })"
    );
    assert_eq!(
        one("+=", &["-="]),
        "(match (b) { right => match &mut (a) { left => if is(1) { *left -= right } else \
         { *left += right } } })"
    );
}

#[test]
fn a_negation_can_be_left_out() {
    let text = text_of("fn f() { g(!a.b()) }", &[(Genre::UnaryOperator, "!", "")]);
    assert_eq!(
        text,
        "fn f() { g((match (a.b()) { operand => if is(1) { operand } else { !operand } })) }"
    );
}

#[test]
fn arms_and_guards_ask_before_they_match() {
    let source = "fn f() { match a { B(c) if c == d => 1, E => 2, _ => 3 } }";
    let mutants = [
        (Genre::MatchArm, "B(c) if c == d => 1,", ""),
        (Genre::MatchArmGuard, "c == d", "true"),
        (Genre::MatchArmGuard, "c == d", "false"),
        (Genre::BinaryOperator, "== d", "!="),
        (Genre::MatchArm, "E => 2,", ""),
    ];
    assert_eq!(
        text_of(source, &mutants),
        "fn f() { match a { B(c) if !is(1) && ((if is(2) { true } else if is(3) { false } \
         else { (match (&(c), &(d)) { (left, right) => if is(4) { *left != *right } else \
         { *left == *right } }) })) => 1, E if !is(5) => 2, _ => 3 } }"
    );
}

#[test]
fn a_chain_that_binds_names_is_left_together() {
    let source = "fn f() { if a && b && let C(d) = e && d == g { h(d); } }";
    let operators = ["&& b", "&& let", "&& d"].map(|at| (Genre::BinaryOperator, at, "||"));
    let rewritten = written(source, &operators);
    assert_eq!(rewritten.alone, [2, 3]);
    assert!(
        rewritten.text.contains(") && let C(d) = e && d == g { h(d); } }"),
        "{}",
        rewritten.text
    );
}

#[test]
fn an_arm_without_which_something_would_match_nothing_is_tried_alone() {
    let source = "fn f() { match a { B => 1, _ if c => 2, D => 3 } }";
    let rewritten = written(source, &[(Genre::MatchArm, "B => 1,", "")]);
    assert_eq!((rewritten.text.as_str(), rewritten.alone), (source, vec![1]));
}

#[test]
fn a_field_can_be_left_to_the_base() {
    let source = "fn f() { A { b: c(), d, ..g() } }";
    let mutants = [(Genre::StructField, "b: c()", ""), (Genre::StructField, "d,", "")];
    assert_eq!(
        text_of(source, &mutants),
        "fn f() { A { b: if is(1) { (g()).b } else { c() }, d: if is(2) { (g()).d } else \
         { d }, ..g() } }"
    );
}

#[test]
fn the_compiler_blames_the_mutant_that_it_names_or_all_of_the_place() {
    let source = "fn f() -> A {\n    b\n}\n";
    let mutants = [(Genre::FnValue, "b\n", "0"), (Genre::FnValue, "b\n", "1")];
    let rewritten = written(source, &mutants);
    let at = |words: &str| {
        let start = rewritten.text.find(words).expect("it is there");
        start..start + words.len()
    };
    assert_eq!(rewritten.blamed(&at("0; }")), [1]);
    assert_eq!(rewritten.blamed(&at("1; }")), [2]);
    assert_eq!(rewritten.blamed(&at("} if")), [1, 2]);
    assert!(rewritten.blamed(&at("-> A")).is_empty());
}

#[test]
fn what_does_not_fit_the_source_is_left_out_and_said_so() {
    let source = "fn f() { a == b }";
    let rewritten =
        written(source, &[(Genre::BinaryOperator, "a ==", "!="), (Genre::Other, "a ==", "?")]);
    assert_eq!(rewritten.text, source);
    let expected = [(1, MISFIT.to_owned()), (2, UNKNOWN.to_owned())];
    assert_eq!(rewritten.left_out, expected);
}

#[test]
fn alone_a_mutant_is_plain_text() {
    let source = "fn f() -> &'static str {\n    \"ä\" == b\n}\n";
    let operator = mutant(source, Genre::BinaryOperator, "==", "!=", 1);
    let alone = alone(source, &operator).expect("it fits");
    assert_eq!(alone, source.replace("==", "!="));
}

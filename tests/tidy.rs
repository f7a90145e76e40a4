//! Reads the tree and enforces the house rules that the compiler and clippy do not know.
//!
//! Each failure names the file, the line and the reason of the rule.

mod complete;
mod tree;

use complete::{console_commands, test_findings};
use tree::{Source, files, read};

/// All our Rust, the simulator's included.
const RUST: &[&str] = &["src", "sim/src", "sim/tests", "tests", "benches", "examples"];
/// What runs in production or in simulation.
const PRODUCT: &[&str] = &["src", "sim/src"];

/// Which modules of `src/` each module may name. `main.rs` may name `cli` alone.
///
/// The vocabulary of `broker` (commands, answers, session numbers) is shared with the engine;
/// its adapters are not: see `the_engine_and_the_protocol_are_pure`.
const ARROWS: &[(&str, &[&str])] = &[
    ("topic", &[]),
    ("marks", &[]),
    ("runtime", &[]),
    ("config", &["topic"]),
    ("audit", &["config", "runtime", "topic"]),
    ("protocol", &["broker", "topic"]),
    ("zmtp", &["runtime"]),
    ("recording", &["protocol", "runtime", "topic", "zmtp"]),
    ("broker", &["config", "marks", "protocol", "recording", "runtime", "topic", "zmtp"]),
    ("auth", &["config", "protocol", "runtime", "topic"]),
    ("engine", &["broker", "config", "marks", "protocol", "topic"]),
    (
        "server",
        &[
            "audit", "auth", "broker", "config", "engine", "marks", "protocol", "runtime", "topic",
            "zmtp",
        ],
    ),
    ("bench", &["auth", "protocol", "recording", "runtime", "topic", "zmtp"]),
    (
        "cli",
        &[
            "audit",
            "auth",
            "bench",
            "broker",
            "config",
            "protocol",
            "recording",
            "runtime",
            "server",
            "topic",
            "zmtp",
        ],
    ),
];

/// Names, the only places that may use them, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "tokio::net",
        &["src/runtime/", "src/bench/"],
        "sockets come from the runtime, or they escape simulation",
    ),
    ("std::net::TcpStream", &["src/runtime/", "src/bench/"], "sockets come from the runtime"),
    ("std::net::TcpListener", &["src/runtime/", "src/bench/"], "sockets come from the runtime"),
    ("UdpSocket", &["src/runtime/"], "sockets come from the runtime"),
    (
        "tokio::spawn",
        &["src/runtime/", "sim/src/runtime/"],
        "a task needs an owner; use Runtime::spawn",
    ),
    ("spawn_blocking", &["src/runtime/"], "threads escape the simulation; use Runtime::offload"),
    ("rand::random", &[], "entropy comes from Runtime::entropy"),
    ("SysRng", &["src/runtime/"], "entropy comes from Runtime::entropy"),
    ("HashMap", &[], "its order escapes the seed; use BTreeMap or IndexMap"),
    ("HashSet", &[], "its order escapes the seed; use BTreeSet or IndexSet"),
    ("unbounded_channel", &[], "every queue has a bound"),
    ("UnboundedSender", &[], "every queue has a bound"),
    ("lazy_static", &[], "no global state"),
    ("static mut", &[], "no global state"),
];

/// Clocks, and where they may be read.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now"];

/// Fails with all findings, one a line.
fn judge(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn rust(directories: &[&str]) -> Vec<Source> {
    files(directories, &[".rs"])
}

/// The module of `src/` that a file belongs to: `src/zmtp/sub.rs` and `src/zmtp.rs` to `zmtp`.
fn module(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or("");
    below.split('/').next().unwrap_or("").trim_end_matches(".rs")
}

/// The modules that the code names as `prefix::module`, also inside `use prefix::{…}`.
fn named_modules<'a>(source: &'a Source, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut named = Vec::new();
    for at in source.uses(prefix) {
        let Some(rest) = source.code[at + prefix.len()..].strip_prefix("::") else { continue };
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group_heads(group).into_iter().map(|head| (at, head))),
            None => named.push((at, identifier(rest))),
        }
    }
    named
}

/// The first identifiers of a brace group's entries, without those of nested groups.
fn group_heads(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut heads) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(identifier(group[begin..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(identifier(group[begin..at].trim_start()));
                begin = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn arrow_findings(source: &Source) -> Vec<String> {
    let from = module(&source.path);
    let known = |name: &str| ARROWS.iter().any(|(module, _)| *module == name);
    let (prefix, allowed): (&str, &[&str]) = match from {
        "main" => ("tickgate", &["cli"]),
        "lib" => return Vec::new(),
        _ => match ARROWS.iter().find(|(module, _)| *module == from) {
            Some((_, allowed)) => ("crate", allowed),
            None => return vec![format!("{}:1: `{from}` has no line in ARROWS", source.path)],
        },
    };
    let against =
        |(_, to): &(usize, &str)| known(to) && *to != from && !allowed.iter().any(|ok| ok == to);
    let finding = |(at, to): (usize, &str)| {
        format!("{}: `{from}` must not name `{to}` (ARCHITECTURE.md, the map)", source.place(at))
    };
    named_modules(source, prefix).into_iter().filter(against).map(finding).collect()
}

#[test]
fn modules_name_only_what_lies_below_them() {
    let findings: Vec<_> = rust(&["src"]).iter().flat_map(arrow_findings).collect();
    judge(&findings);
}

fn purity_findings(source: &Source) -> Vec<String> {
    let impure =
        ["tokio", "async", "await", "Instant", "SystemTime", "Mutex", "thread", "rand::rng"];
    let mut findings: Vec<_> = impure
        .iter()
        .flat_map(|word| source.uses(word).into_iter().map(move |at| (at, word)))
        .map(|(at, word)| format!("{}: `{word}` in pure code", source.place(at)))
        .collect();
    for at in source.uses("broker") {
        // `broker::paper` and its like hold sockets and tasks; the vocabulary is capitalised.
        let path = source.code[at..].strip_prefix("broker::").unwrap_or("");
        let is_path = source.code[..at].ends_with("crate::");
        if is_path && path.starts_with(|c: char| c.is_lowercase()) {
            findings.push(format!("{}: only the vocabulary of `broker` is pure", source.place(at)));
        }
    }
    findings
}

#[test]
fn the_engine_and_the_protocol_are_pure() {
    let sources = rust(&["src/engine", "src/protocol"]);
    let lonely = ["src/engine.rs", "src/protocol.rs", "src/topic.rs"];
    let lonely = lonely.map(|path| Source::new(path, &read(path)));
    let findings: Vec<_> = sources.iter().chain(&lonely).flat_map(purity_findings).collect();
    judge(&findings);
}

fn reserved_findings(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, places, reason) in RESERVED {
        if !places.iter().any(|place| source.path.starts_with(place)) {
            let found = source.uses(name).into_iter();
            findings.extend(found.map(|at| format!("{}: `{name}`: {reason}", source.place(at))));
        }
    }
    for clock in CLOCKS {
        for at in source.uses(clock) {
            // The simulator may tell its user how long it took, and says so where it does.
            let before = &source.code[..at];
            let explained = ["sim/src/", "src/bench/"].iter().any(|at| source.path.starts_with(at))
                && before.contains("expect(clippy::disallowed_methods");
            if !source.path.starts_with("src/runtime/") && !explained {
                let place = source.place(at);
                findings.push(format!("{place}: `{clock}`: real time escapes the simulation"));
            }
        }
    }
    findings
}

#[test]
fn the_world_is_reached_through_the_runtime_alone() {
    let findings: Vec<_> = rust(PRODUCT).iter().flat_map(reserved_findings).collect();
    judge(&findings);
}

#[test]
fn the_product_has_never_heard_of_its_simulator() {
    let mut findings = Vec::new();
    for source in rust(&["src"]) {
        for name in ["sim", "turmoil", "tickgate_sim", "madsim"] {
            let found = source.uses(name).into_iter();
            findings.extend(found.map(|at| format!("{}: names `{name}`", source.place(at))));
        }
    }
    judge(&findings);
}

fn select_findings(source: &Source) -> Vec<String> {
    let unbiased = |at: &usize| {
        let rest = source.code[at + "select!".len()..].trim_start();
        let body = rest.strip_prefix(['{', '(']).unwrap_or("");
        !body.trim_start().starts_with("biased;")
    };
    let finding =
        |at| format!("{}: `select!` without `biased;` is not reproducible", source.place(at));
    source.uses("select!").into_iter().filter(unbiased).map(finding).collect()
}

#[test]
fn every_select_says_which_branch_goes_first() {
    let findings: Vec<_> = rust(RUST).iter().flat_map(select_findings).collect();
    judge(&findings);
}

fn leftover_findings(source: &Source) -> Vec<String> {
    let leftovers = [
        ("#[allow", "use #[expect(.., reason = \"..\")]"),
        ("#![allow", "use #![expect(.., reason = \"..\")]"),
        ("todo!", "finish it"),
        ("unimplemented!", "finish it"),
        ("dbg!", "take it out"),
    ];
    let mut findings = Vec::new();
    for (name, advice) in leftovers {
        let found = source.uses(name).into_iter();
        findings.extend(found.map(|at| format!("{}: `{name}`: {advice}", source.place(at))));
    }
    findings
}

#[test]
fn nothing_is_left_half_done_or_silenced() {
    let findings: Vec<_> = rust(RUST).iter().flat_map(leftover_findings).collect();
    judge(&findings);
}

/// Whether a file may be longer: tests tell stories.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.starts_with("sim/tests/") || path.ends_with("tests.rs")
}

fn length_findings(source: &Source) -> Vec<String> {
    let (lines_max, function_max) = if is_test(&source.path) { (700, 120) } else { (400, 70) };
    let lines = source.text.lines().count();
    let mut findings = Vec::new();
    if lines > lines_max {
        let path = &source.path;
        findings.push(format!("{path}:{lines}: {lines} lines; one purpose fits {lines_max}"));
    }
    for (at, lines) in functions(source) {
        if lines > function_max {
            let place = source.place(at);
            findings.push(format!(
                "{place}: a function of {lines} lines; one screen is {function_max}"
            ));
        }
    }
    findings
}

/// Where each function with a body begins, and over how many lines it goes.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines_of = |at: usize| {
        let (mut braces, mut brackets) = (0_usize, 0_usize);
        for (offset, character) in source.code[at..].char_indices() {
            match character {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                '{' => braces += 1,
                // A declaration.
                ';' | ',' if braces == 0 && brackets == 0 => return None,
                '}' if braces <= 1 => {
                    return Some((at, source.code[at..=at + offset].lines().count()));
                }
                '}' => braces -= 1,
                _ => {}
            }
        }
        None
    };
    let is_item = |at: &usize| source.code[at + 3..].starts_with(|c: char| c.is_alphabetic());
    source.uses("fn ").into_iter().filter(is_item).filter_map(lines_of).collect()
}

#[test]
fn files_and_functions_fit_their_screens() {
    let findings: Vec<_> = rust(RUST).iter().flat_map(length_findings).collect();
    judge(&findings);
}

#[test]
fn no_line_is_longer_than_a_hundred_columns() {
    let endings = [".rs", ".toml", ".yaml", ".py", ".mjs", ".sh", "run"];
    let directories = [RUST, &["scenarios", ".ci", ".cargo", ".config"]].concat();
    let lonely = ["Cargo.toml", "sim/Cargo.toml", "clippy.toml", "tickgate.example.toml"];
    let lonely = lonely.map(|path| Source::new(path, &read(path)));
    let mut findings = Vec::new();
    for source in files(&directories, &endings).iter().chain(&lonely) {
        for (number, line) in source.text.lines().enumerate() {
            let columns = line.chars().count();
            // rustfmt breaks all but literals and comments. A message stays in one piece, so that
            // it can be searched for; a URL cannot be broken; a table of lints is read across.
            let in_one_piece = source.path.ends_with(".rs") && line.contains('"') && columns <= 240;
            let unbreakable = line.contains("https://") || source.path.ends_with("Cargo.toml");
            if columns > 100 && !in_one_piece && !unbreakable && source.path != "clippy.toml" {
                findings.push(format!("{}:{}: {columns} columns", source.path, number + 1));
            }
        }
    }
    judge(&findings);
}

#[test]
fn each_rule_notices_what_it_forbids() {
    let at = |path: &str, text: &str| Source::new(path, text);
    let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(70));

    assert_eq!(
        arrow_findings(&at("src/engine/x.rs", "use crate::{\n topic,\n server::a};")).len(),
        1
    );
    assert_eq!(arrow_findings(&at("src/zmtp.rs", "crate::broker::x(); // crate::cli")).len(), 1);
    assert_eq!(arrow_findings(&at("src/main.rs", "use tickgate::{cli, server};")).len(), 1);
    assert_eq!(arrow_findings(&at("src/new/mod.rs", "")).len(), 1);
    assert!(arrow_findings(&at("src/cli/mod.rs", "use crate::server::{a::b, c};")).is_empty());
    assert_eq!(purity_findings(&at("src/engine/x.rs", "async fn a() {}")).len(), 1);
    assert_eq!(purity_findings(&at("src/engine/x.rs", "use crate::broker::paper::A;")).len(), 1);
    assert!(purity_findings(&at("src/engine/x.rs", "use crate::broker::Command;")).is_empty());
    assert_eq!(reserved_findings(&at("src/server/x.rs", "tokio::net::TcpStream")).len(), 1);
    assert_eq!(reserved_findings(&at("src/server/x.rs", "Instant::now()")).len(), 1);
    assert!(reserved_findings(&at("src/runtime/x.rs", "tokio::net, Instant::now()")).is_empty());
    assert_eq!(select_findings(&at("src/x.rs", "tokio::select! {\n a = b => {} }")).len(), 1);
    assert!(
        select_findings(&at("src/x.rs", "tokio::select! {\n biased;\n a = b => {} }")).is_empty()
    );
    assert_eq!(leftover_findings(&at("src/x.rs", "#[allow(x)] fn a() { todo!() }")).len(), 2);
    assert_eq!(length_findings(&at("src/x.rs", &long)).len(), 1);
    assert_eq!(length_findings(&at("src/x.rs", &"x\n".repeat(401))).len(), 1);
    let tests = [
        at("tests/engine.rs", "\nmod hub;\n"),
        at("tests/hub.rs", ""),
        at("sim/tests/hub.rs", ""),
        at("tests/hub/deep.rs", ""),
    ];
    assert_eq!(test_findings(&tests), ["sim/tests/hub.rs:1: no program of tests names it"]);
    assert_eq!(console_commands("```console\n$ a b\nout\n```\n$ c\n"), [(2, "a b")]);
}

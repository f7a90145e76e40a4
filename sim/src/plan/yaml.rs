//! Plans as people read them: YAML in which whatever fits a line stands on one line.

use super::Plan;
use super::tree::Node;

/// Columns of a line.
const COLUMNS_MAX: usize = 96;
/// Words that YAML takes for something else than text.
const RESERVED: [&str; 11] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// A plan as a file that can be played. `about` it, line by line, stands at its head.
///
/// # Errors
///
/// Fails if the plan holds something that is neither list, map nor scalar.
pub fn to_yaml(plan: &Plan, about: &str) -> Result<String, String> {
    let mut text = String::new();
    for line in about.lines().flat_map(|line| wrapped(line, COLUMNS_MAX - 2)) {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    match Node::of(plan)? {
        Node::Map(fields) => fields.iter().for_each(|(name, field)| {
            write_field(name, field, 0, &mut text);
        }),
        other => return Err(format!("a plan is a map, not {other:?}")),
    }
    Ok(text)
}

/// Words in lines of at most so many columns.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn write_field(name: &str, node: &Node, indent: usize, out: &mut String) {
    let head = format!("{}{name}:", " ".repeat(indent));
    let short = inline(node);
    if head.chars().count() + 1 + short.chars().count() <= COLUMNS_MAX {
        out.push_str(&format!("{head} {short}\n"));
        return;
    }
    match node {
        Node::List(items) => {
            out.push_str(&format!("{head}\n"));
            items.iter().for_each(|item| write_item(item, indent + 2, out));
        }
        Node::Map(fields) => {
            out.push_str(&format!("{head}\n"));
            fields.iter().for_each(|(name, field)| write_field(name, field, indent + 2, out));
        }
        Node::Text(words) if can_be_folded(words) => {
            out.push_str(&format!("{head} >-\n"));
            for line in wrapped(words, COLUMNS_MAX - indent - 2) {
                out.push_str(&format!("{}{line}\n", " ".repeat(indent + 2)));
            }
        }
        _ => out.push_str(&format!("{head} {short}\n")),
    }
}

fn write_item(node: &Node, indent: usize, out: &mut String) {
    let dash = format!("{}- ", " ".repeat(indent));
    let short = inline(node);
    match node {
        Node::Map(fields) if dash.len() + short.chars().count() > COLUMNS_MAX => {
            let mut block = String::new();
            fields.iter().for_each(|(name, field)| {
                write_field(name, field, indent + 2, &mut block);
            });
            // The first field stands behind the dash.
            out.push_str(&dash);
            out.push_str(&block[indent + 2..]);
        }
        _ => out.push_str(&format!("{dash}{short}\n")),
    }
}

/// Whether a text that is broken at its blanks reads back as it is.
fn can_be_folded(words: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '\u{85}' && c != '\u{2028}' && c != '\u{2029}';
    words.chars().all(plain) && !words.contains("  ") && words.trim() == words
}

/// On one line.
fn inline(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Bool(value) => value.to_string(),
        Node::Number(value) => value.to_string(),
        // With a point even if there is nothing behind it.
        Node::Fraction(value) => format!("{value:?}"),
        Node::Text(text) => scalar(text),
        Node::List(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Map(fields) if fields.is_empty() => "{}".into(),
        Node::Map(fields) => {
            let field = |(name, field): (&String, &Node)| format!("{name}: {}", inline(field));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

fn scalar(text: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-/.&".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split(':').all(|part| !part.is_empty() && part.chars().all(inner))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    // JSON's quotes and escapes are YAML's.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::draw;
    use crate::scenario::parse;

    const TEXT: &str = r#"
about: >-
  A storm over a topic that needs quotes, told in so many words that it takes more than the one
  line that a plan has for it.
world:
  duration_ms: 1000
  users: [{ name: alice, clients: 2, arrive_ms: [0, 50] }, { name: "true" }]
  topics: ["NSE:A/LTP", "NSE:M&M, {B}/Quote"]
  task_order: { jitter: 0.25 }
storm:
  weights: { subscribe: 5, unsubscribe: 3, vanish: 1, garbage: 9, wrong_key: 2 }
  incidents: { broker_deaths: [1, 1], sessions_lost: [1, 1] }
"#;

    #[test]
    fn a_plan_reads_back_as_it_is_written_and_lines_are_short() {
        for seed in [1, u64::MAX] {
            let plan = draw(&parse("s.yaml", TEXT).expect("it is good"), seed);
            let text = to_yaml(&plan, "Why it is here.\nAnd how.").expect("it can be written");
            assert!(text.starts_with("# Why it is here.\n# And how.\nabout: >-\n"), "{text}");
            let long = text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None, "lines fit the screen");
            let back: Plan = serde_saphyr::from_str(&text).expect("it is a plan");
            assert_eq!(Node::of(&back), Node::of(&plan));
        }
    }

    #[test]
    fn texts_that_yaml_would_take_for_something_else_are_quoted() {
        for (text, expected) in [
            ("NSE:TCS/LTP", "NSE:TCS/LTP"),
            ("Null", "\"Null\""),
            ("", "\"\""),
            ("17", "\"17\""),
            ("a: b", "\"a: b\""),
            ("a:", "\"a:\""),
            ("a\nb", "\"a\\nb\""),
            ("[1,2", "\"[1,2\""),
        ] {
            assert_eq!(scalar(text), expected);
            let back: String = serde_saphyr::from_str(&scalar(text)).expect("it is a text");
            assert_eq!(back, text);
        }
    }
}

//! Files of environment variables, as python-dotenv reads them: `NAME = 'value' # comment`.
//!
//! `export` in front is allowed. In single quotes everything stands for itself; in double quotes
//! `\n`, `\t`, `\"` and `\\` have their meaning; both may go over several lines. Without quotes a
//! value ends at the end of its line, or at a blank and a `#`. `${…}` is left as it is.

use super::problem::Place;

/// One variable of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// The variables of a file, in order; `path` is for the places alone. What is no variable is
/// passed over, as python-dotenv does.
pub(super) fn parse(path: &str, text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line = text[at..].split('\n').next().unwrap_or("");
        let next = at + line.len() + 1;
        let Some((name, value_at)) = name(line) else {
            at = next;
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let place = Place::in_file(path, text, at + indent);
        let (value, end) = value(text, at + value_at, next);
        lines.push(Line { name: name.to_owned(), value, place });
        at = end;
    }
    lines
}

/// The name that a line gives a value, and where in it the value begins.
fn name(line: &str) -> Option<(&str, usize)> {
    let (before, after) = line.split_once('=')?;
    let name = before.trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
    (begins && name.chars().all(is_name)).then_some((name, before.len() + 1 + blanks))
}

/// The value at `from`, and where what follows begins. `next` is the end of its first line.
fn value(text: &str, from: usize, next: usize) -> (String, usize) {
    let rest = &text[from..];
    for quote in ['\'', '"'] {
        if let Some(quoted) = rest.strip_prefix(quote)
            && let Some((value, length)) = unquoted(quoted, quote)
        {
            let end = from + 1 + length;
            let line_end = text[end..].find('\n').map_or(text.len(), |line| end + line);
            return (value, line_end + 1);
        }
    }
    let line = rest.split('\n').next().unwrap_or("");
    let comment = line
        .char_indices()
        .find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
    let value = comment.map_or(line, |(at, _)| &line[..at]);
    (value.trim().to_owned(), next)
}

/// The text up to the closing quote, and the bytes up to behind it; `None` if there is none.
fn unquoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((value, at + 1));
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        let (_, escaped) = characters.next()?;
        match (quote, escaped) {
            ('"', 'n') => value.push('\n'),
            ('"', 't') => value.push('\t'),
            (_, '\\') => value.push('\\'),
            (quote, escaped) if quote == escaped => value.push(quote),
            (_, other) => value.extend(['\\', other]),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_python_dotenv_reads_it() {
        let text = "# A comment\n\
            PLAIN=a b # said of it\n\
            \u{20} export SPACED = 'one # two' # three\n\
            DOUBLE=\"a\\tb \\\"c\\\"\"\n\
            SINGLE='a\\tb'\n\
            EMPTY=\n\
            HASH=#no\n\
            ANCHOR=a#b\n\
            LONG='first\nsecond'\n\
            OPEN='never closed\n\
            no variable\n\
            9BAD=1\n\
            LAST=ünd";
        let lines = parse(".env", text);
        let pairs: Vec<_> =
            lines.iter().map(|line| (line.name.as_str(), line.value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("PLAIN", "a b"),
                ("SPACED", "one # two"),
                ("DOUBLE", "a\tb \"c\""),
                ("SINGLE", "a\\tb"),
                ("EMPTY", ""),
                ("HASH", ""),
                ("ANCHOR", "a#b"),
                ("LONG", "first\nsecond"),
                ("OPEN", "'never closed"),
                ("LAST", "ünd"),
            ]
        );
        assert_eq!(lines[1].place.to_string(), ".env:3:3");
        assert_eq!(lines[9].place.to_string(), ".env:14:1");
    }

    #[test]
    fn nothing_makes_it_panic() {
        for text in ["", "\n\n", "=", "A='", "A=\"\\", "'", "A=\r\n=B\0=", "é=é", "A = \"é\\é"]
        {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                parse("f", &text[..end]);
            }
        }
    }
}

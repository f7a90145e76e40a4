//! A line and its fields.

/// What stands between fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Separator(char);

impl Default for Separator {
    fn default() -> Self {
        Self(',')
    }
}

impl Separator {
    /// The one of comma, semicolon and tab that a head line has most of.
    pub(super) fn of(head: &str) -> Self {
        let count = |separator: &char| head.matches(*separator).count();
        Self([';', '\t', ','].into_iter().max_by_key(count).unwrap_or(','))
    }

    /// The fields, without blanks around them. A field in quotes may hold separators, and quotes
    /// written twice.
    pub(super) fn split(self, line: &str) -> Result<Vec<String>, &'static str> {
        let mut fields = Vec::new();
        let mut rest = Some(line);
        while let Some(text) = rest {
            let field;
            (field, rest) = match text.trim_start_matches(' ').strip_prefix('"') {
                Some(quoted) => self.quoted(quoted)?,
                None => self.plain(text)?,
            };
            fields.push(field);
        }
        Ok(fields)
    }

    fn plain(self, text: &str) -> Result<(String, Option<&str>), &'static str> {
        let (field, rest) = match text.split_once(self.0) {
            Some((field, rest)) => (field, Some(rest)),
            None => (text, None),
        };
        if field.contains('"') {
            return Err("a quote stands inside a field that does not begin with one");
        }
        Ok((field.trim().to_owned(), rest))
    }

    fn quoted(self, mut text: &str) -> Result<(String, Option<&str>), &'static str> {
        let mut field = String::new();
        loop {
            let (piece, rest) =
                text.split_once('"').ok_or("a quote is not closed before the end of the line")?;
            field.push_str(piece);
            if let Some(rest) = rest.strip_prefix('"') {
                field.push('"');
                text = rest;
                continue;
            }
            let rest = rest.trim_start_matches(' ');
            return match rest.strip_prefix(self.0) {
                Some(rest) => Ok((field, Some(rest))),
                None if rest.is_empty() => Ok((field, None)),
                None => Err("something stands behind a closing quote"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quoted_fields_come_back(fields in prop::collection::vec("[a-z\",; ]{0,8}", 1..6)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = fields.iter().map(quoted).collect::<Vec<_>>().join(",");
            prop_assert_eq!(Separator(',').split(&line), Ok(fields));
        }

        #[test]
        fn any_line_is_split_or_refused(line: String) {
            let _ = Separator::of(&line).split(&line);
        }
    }

    #[test]
    fn empty_fields_count() {
        let fields = |line| Separator(',').split(line).unwrap();
        assert_eq!(fields(",a,,"), ["", "a", "", ""]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields("\"\", \"b\" ,c"), ["", "b", "c"]);
    }
}

//! JSON text: judging it before it is parsed, and writing it.

use serde_json::value::RawValue;

/// Whether arrays and objects are nested deeper than `levels_max`.
///
/// Looks at brackets outside strings only: what is not JSON gets some answer, in linear time and
/// without recursion.
#[must_use]
pub(super) fn nests_deeper_than(json: &[u8], levels_max: usize) -> bool {
    // `[` and `{` differ in one bit. Few brackets cannot nest deep, and almost every message has
    // few: counting them costs a tenth of what following the nesting does.
    if json.iter().filter(|&&byte| byte | 0x20 == b'{').count() <= levels_max {
        return false;
    }
    let mut levels = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => levels += 1,
            b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        if levels > levels_max {
            return true;
        }
    }
    false
}

/// Whether there are more values than `elements_max`: the whole, and those of arrays and objects.
///
/// As [`nests_deeper_than`], it looks outside strings only and gives what is not JSON some answer.
#[must_use]
pub(super) fn holds_more_than(json: &[u8], elements_max: usize) -> bool {
    // Each value but the first stands behind one of these. Almost every message has few.
    let begins = |byte: u8| byte == b',' || byte | 0x20 == b'{';
    if json.iter().filter(|&&byte| begins(byte)).count() < elements_max {
        return false;
    }
    let (mut elements, mut opened) = (1_usize, false);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'"' => in_string = true,
            b',' | b'[' | b'{' => elements += 1,
            // There was nothing in it.
            b']' | b'}' if opened => elements -= 1,
            _ => {}
        }
        opened = byte | 0x20 == b'{';
    }
    elements > elements_max
}

/// The text without JSON's four blanks around it.
#[must_use]
pub(super) fn trim(mut json: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = json {
        json = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = json {
        json = rest;
    }
    json
}

/// Writes one JSON object.
pub(super) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    pub(super) fn text(&mut self, key: &str, text: &str) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        push_escaped(out, text);
        out.push(b'"');
        self
    }

    pub(super) fn number(&mut self, key: &str, number: u64) -> &mut Self {
        self.key(key).extend_from_slice(number.to_string().as_bytes());
        self
    }

    pub(super) fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.key(key).extend_from_slice(json.as_bytes());
        self
    }

    /// Writes nothing if there is no value.
    pub(super) fn echo(&mut self, key: &str, value: Option<&RawValue>) -> &mut Self {
        match value {
            Some(value) => self.raw(key, value.get()),
            None => self,
        }
    }

    pub(super) fn array<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        let out = self.key(key);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
        self
    }

    /// Closes the object. Its last call: one key at least has been written.
    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }
}

/// Appends text as it stands between the quotes of a JSON string.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if escaped_byte_len(byte) == 1 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Bytes that [`push_escaped`] appends.
#[must_use]
pub(super) fn escaped_len(text: &str) -> usize {
    text.bytes().map(escaped_byte_len).sum()
}

const fn escaped_byte_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_strings_only() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));

        assert!(!nests_deeper_than(deep(64).as_bytes(), 64));
        assert!(nests_deeper_than(deep(65).as_bytes(), 64));
        assert!(!nests_deeper_than(format!("\"{}\"", "[".repeat(100)).as_bytes(), 64));
        assert!(!nests_deeper_than(format!("\"\\\"{}\"", "{".repeat(100)).as_bytes(), 64));
        assert!(nests_deeper_than(format!("\"\\\\\"{}", "{".repeat(100)).as_bytes(), 64));
    }

    #[test]
    fn many_brackets_side_by_side_are_not_deep() {
        let wide = format!("[{}1]", "[1],".repeat(1_000));

        assert!(!nests_deeper_than(wide.as_bytes(), 2));
        assert!(nests_deeper_than(wide.as_bytes(), 1));
    }

    #[test]
    fn values_are_counted_outside_strings_and_as_they_are() {
        for (json, values) in [
            ("1", 1),
            ("\"a,[b\\\",{\"", 1),
            ("[]", 1),
            ("[ ]", 1),
            ("[1]", 2),
            ("[[], {}, [[]]]", 5),
            ("{\"a\": 1, \"b\": [1, 2, 3], \"c\": {\"d\": \",,,\"}}", 8),
        ] {
            assert!(holds_more_than(json.as_bytes(), values - 1), "{json}");
            assert!(!holds_more_than(json.as_bytes(), values), "{json}");
        }
    }

    #[test]
    fn what_is_not_json_has_some_number_of_values() {
        for text in ["", "]]]", "{]{]{]", "\"", "[,,,,", ",]},]}"] {
            assert!(!holds_more_than(text.as_bytes(), 100), "{text}");
        }
        assert!(holds_more_than(&b",".repeat(100), 100));
    }

    #[test]
    fn closing_brackets_without_opening_ones_do_not_underflow() {
        assert!(nests_deeper_than(b"]]]}}[[[", 2));
    }

    #[test]
    fn escaped_text_is_read_back_and_its_length_is_known() {
        for text in ["", "plain", "a\"b\\c", "\u{0}\u{1f}\n\t", "é\u{2028}🦀", "\u{7f}"] {
            let mut out = Vec::new();
            push_escaped(&mut out, text);

            assert_eq!(out.len(), escaped_len(text), "{text:?}");
            let json = format!("\"{}\"", String::from_utf8(out).unwrap());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}

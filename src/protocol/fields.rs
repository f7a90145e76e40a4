//! The fields of a JSON object that a request may have, each still as text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The known fields of a request or of an entry of its `symbols`.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a> {
    pub action: Option<&'a RawValue>,
    /// `type`.
    pub kind: Option<&'a RawValue>,
    pub request_id: Option<&'a RawValue>,
    pub api_key: Option<&'a RawValue>,
    pub apikey: Option<&'a RawValue>,
    pub token: Option<&'a RawValue>,
    pub symbols: Option<&'a RawValue>,
    pub symbol: Option<&'a RawValue>,
    pub exchange: Option<&'a RawValue>,
    pub mode: Option<&'a RawValue>,
    pub depth: Option<&'a RawValue>,
    pub interval_ms: Option<&'a RawValue>,
    pub snapshot: Option<&'a RawValue>,
    pub timestamp: Option<&'a RawValue>,
    /// `_pingId`.
    pub ping_id: Option<&'a RawValue>,
}

/// Python's truth of a JSON value: `null`, `false`, zero and what is empty are false.
#[must_use]
pub(super) fn is_truthy(raw: &RawValue) -> bool {
    let json = raw.get();
    match json.as_bytes() {
        [b'n' | b'f', ..] | b"\"\"" => false,
        [b't' | b'"', ..] => true,
        [b'[' | b'{', inside @ .., _] => !inside.trim_ascii().is_empty(),
        number => number
            .split(|byte| matches!(byte, b'e' | b'E'))
            .next()
            .is_some_and(|digits| digits.iter().any(|digit| matches!(digit, b'1'..=b'9'))),
    }
}

/// The text of a JSON string; `None` if it is another value, or holds half a surrogate pair.
#[must_use]
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum FieldName {
    Action,
    Type,
    RequestId,
    ApiKey,
    Apikey,
    Token,
    Symbols,
    Symbol,
    Exchange,
    Mode,
    Depth,
    IntervalMs,
    Snapshot,
    Timestamp,
    #[serde(rename = "_pingId")]
    PingId,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some((key, value)) = map.next_entry::<FieldName, &'de RawValue>()? {
            let field = match key {
                FieldName::Action => &mut fields.action,
                FieldName::Type => &mut fields.kind,
                FieldName::RequestId => &mut fields.request_id,
                FieldName::ApiKey => &mut fields.api_key,
                FieldName::Apikey => &mut fields.apikey,
                FieldName::Token => &mut fields.token,
                FieldName::Symbols => &mut fields.symbols,
                FieldName::Symbol => &mut fields.symbol,
                FieldName::Exchange => &mut fields.exchange,
                FieldName::Mode => &mut fields.mode,
                FieldName::Depth => &mut fields.depth,
                FieldName::IntervalMs => &mut fields.interval_ms,
                FieldName::Snapshot => &mut fields.snapshot,
                FieldName::Timestamp => &mut fields.timestamp,
                FieldName::PingId => &mut fields.ping_id,
                FieldName::Other => continue,
            };
            *field = Some(value);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_python_calls_false_is_false() {
        for json in ["null", "false", "0", "-0", "0.0", "0e7", "\"\"", "[]", "{}", "[ \n]"] {
            assert!(!is_truthy(raw(json)), "{json}");
        }
        for json in ["true", "1", "-3", "0.001", "1e999", "\" \"", "\"0\"", "[0]", "{\"a\":0}"] {
            assert!(is_truthy(raw(json)), "{json}");
        }
    }

    #[test]
    fn text_is_unescaped_and_nothing_else_is_text() {
        assert_eq!(text(raw("\"M&M\"")).as_deref(), Some("M&M"));
        assert_eq!(text(raw("\"M\\u0026M \\\"\"")).as_deref(), Some("M&M \""));
        assert_eq!(text(raw("\"\\\"\"")).as_deref(), Some("\""));
        assert_eq!(text(raw("\"\\ud800\"")), None);
        for json in ["5", "null", "[\"a\"]", "{}"] {
            assert_eq!(text(raw(json)), None, "{json}");
        }
    }

    #[test]
    fn a_field_given_twice_counts_as_given_last() {
        let fields: Fields<'_> =
            serde_json::from_str(r#"{"mode":1,"x":1e999,"mode":2,"type":"a","_pingId":[]}"#)
                .unwrap();

        assert_eq!(fields.mode.map(RawValue::get), Some("2"));
        assert_eq!(fields.kind.map(RawValue::get), Some("\"a\""));
        assert_eq!(fields.ping_id.map(RawValue::get), Some("[]"));
        assert!(fields.action.is_none());
    }
}

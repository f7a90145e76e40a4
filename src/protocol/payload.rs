//! The second part of a message on the bus: one JSON object.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::text;
use super::json::{nests_deeper_than, trim};
use crate::topic::UserId;

/// Arrays and objects inside each other; deeper ones are dropped, since some clients' JSON
/// readers fail on them.
pub const PAYLOAD_NESTING_MAX: usize = 64;

/// Bytes of a `user_id`.
pub const USER_BYTES_MAX: usize = 256;

/// A payload that can be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    /// Exactly one JSON object, without blanks around it; valid UTF-8.
    pub json: Cow<'a, [u8]>,
    /// How many `NaN`, `Infinity` and `-Infinity` became `null`.
    pub nulled: u32,
}

/// Why a payload cannot be passed on. Count the message and drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// Not JSON, or not UTF-8.
    #[error("payload is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("payload is not a JSON object")]
    NotAnObject,
    /// Nested deeper than [`PAYLOAD_NESTING_MAX`].
    #[error("payload is nested too deep")]
    TooDeep,
    /// `user_id` is missing, empty, no text or longer than [`USER_BYTES_MAX`].
    #[error("payload names no user")]
    NoUser,
}

/// What a credential change makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// The session token.
    Auth,
    /// The feed token.
    Feed,
    /// Both, and which broker the user is on.
    All,
}

/// A user's credentials changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub cache_type: CacheType,
}

/// Checks that a payload is exactly one JSON object.
///
/// What is valid passes byte for byte, without a copy. Python writes numbers that JSON does not
/// have: `NaN`, `Infinity` and `-Infinity`, outside strings, become `null`; this alone takes a
/// copy.
///
/// # Errors
///
/// Fails on everything else. Count it and drop the message; the feed goes on.
pub fn check_payload(payload: &[u8]) -> Result<Checked<'_>, BadPayload> {
    let payload = trim(payload);
    if nests_deeper_than(payload, PAYLOAD_NESTING_MAX) {
        return Err(BadPayload::TooDeep);
    }
    match check_object(payload) {
        Ok(()) => Ok(Checked { json: Cow::Borrowed(payload), nulled: 0 }),
        Err(BadPayload::NotJson) => {
            let (json, nulled) = null_python_numbers(payload).ok_or(BadPayload::NotJson)?;
            check_object(&json)?;
            Ok(Checked { json: Cow::Owned(json), nulled })
        }
        Err(bad) => Err(bad),
    }
}

/// Whose order update this is: `user_id`. `payload` is the `json` of [`check_payload`].
///
/// # Errors
///
/// Fails with [`BadPayload::NoUser`] if there is none: count it and drop the message.
pub fn parse_order_user(payload: &[u8]) -> Result<UserId, BadPayload> {
    read_fields(payload)?.user()
}

/// Reads the payload of a `CACHE_INVALIDATE_…` message. `payload` is the `json` of
/// [`check_payload`].
///
/// A missing or unknown `cache_type` counts as `ALL`: a session rebuilt in vain does less harm
/// than one that stays stale.
///
/// # Errors
///
/// Fails with [`BadPayload::NoUser`] if it names no user: count it and drop the message.
pub fn parse_invalidation(payload: &[u8]) -> Result<Invalidation, BadPayload> {
    let fields = read_fields(payload)?;
    let cache_type = match fields.cache_type.and_then(text).as_deref() {
        Some("AUTH") => CacheType::Auth,
        Some("FEED") => CacheType::Feed,
        Some(_) | None => CacheType::All,
    };
    Ok(Invalidation { user: fields.user()?, cache_type })
}

fn check_object(json: &[u8]) -> Result<(), BadPayload> {
    let raw: &RawValue = serde_json::from_slice(json).map_err(|_| BadPayload::NotJson)?;
    if raw.get().starts_with('{') { Ok(()) } else { Err(BadPayload::NotAnObject) }
}

/// Replaces each of Python's words for a number by `null`; `None` if there is none.
///
/// What surrounds a word is not judged: whoever checks the result finds `nulla` or `1null`.
fn null_python_numbers(payload: &[u8]) -> Option<(Vec<u8>, u32)> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    // `NaN` grows by a byte; others shrink.
    let mut json = Vec::with_capacity(payload.len() + payload.len() / 3);
    let mut nulled = 0;
    let mut at = 0;
    while at < payload.len() {
        let rest = &payload[at..];
        let word = match rest[0] {
            b'"' => {
                let string = &rest[..string_len(rest)];
                json.extend_from_slice(string);
                at += string.len();
                continue;
            }
            b'N' | b'I' | b'-' => WORDS.into_iter().find(|word| rest.starts_with(word)),
            _ => None,
        };
        if let Some(word) = word {
            json.extend_from_slice(b"null");
            nulled += 1;
            at += word.len();
        } else {
            json.push(rest[0]);
            at += 1;
        }
    }
    (nulled > 0).then_some((json, nulled))
}

/// Bytes of the string that `json` begins with, quotes included; all of `json` if it never ends.
fn string_len(json: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in json.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn read_fields(payload: &[u8]) -> Result<Fields<'_>, BadPayload> {
    serde_json::from_slice(payload)
        .map_err(|_| check_object(payload).err().unwrap_or(BadPayload::NotJson))
}

#[derive(Default)]
struct Fields<'a> {
    user_id: Option<&'a RawValue>,
    cache_type: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn user(&self) -> Result<UserId, BadPayload> {
        match self.user_id.and_then(text) {
            Some(user) if !user.is_empty() && user.len() <= USER_BYTES_MAX => {
                Ok(UserId::from(&*user))
            }
            Some(_) | None => Err(BadPayload::NoUser),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum FieldName {
    UserId,
    CacheType,
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

    /// A field that occurs twice counts as given last.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some((key, value)) = map.next_entry::<FieldName, &'de RawValue>()? {
            match key {
                FieldName::UserId => fields.user_id = Some(value),
                FieldName::CacheType => fields.cache_type = Some(value),
                FieldName::Other => {}
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(payload: &str) -> Result<(String, u32), BadPayload> {
        check_payload(payload.as_bytes())
            .map(|checked| (String::from_utf8(checked.json.into_owned()).unwrap(), checked.nulled))
    }

    #[test]
    fn a_valid_payload_passes_without_a_copy_and_without_blanks_around_it() {
        let payload = b" \n{\"ltp\": 1424.050, \"v\":1e999, \"v\":-0, \"s\":\"\\ud800\"}\r\n";
        let checked = check_payload(payload).unwrap();

        assert_eq!(
            checked,
            Checked { json: Cow::Borrowed(&payload[2..payload.len() - 2]), nulled: 0 }
        );
        assert!(matches!(checked.json, Cow::Borrowed(_)));
    }

    #[test]
    fn pythons_numbers_become_null_outside_strings_only() {
        for (payload, expected, nulled) in [
            (r#"{"a":NaN}"#, r#"{"a":null}"#, 1),
            (r#"{"a":[NaN,Infinity,-Infinity, -1]}"#, r#"{"a":[null,null,null, -1]}"#, 3),
            (r#"{"NaN":"Infinity","b":NaN}"#, r#"{"NaN":"Infinity","b":null}"#, 1),
            (r#"{"a":"\"NaN","b":-Infinity}"#, r#"{"a":"\"NaN","b":null}"#, 1),
            (r#"{"a":"\\","b":NaN}"#, r#"{"a":"\\","b":null}"#, 1),
            (
                r#"{"ltp":1424.050,"v":12345678901234567890,"x":NaN}"#,
                r#"{"ltp":1424.050,"v":12345678901234567890,"x":null}"#,
                1,
            ),
        ] {
            assert_eq!(checked(payload), Ok((expected.to_owned(), nulled)), "{payload}");
        }
        assert_eq!(checked(r#"{"a":"NaN"}"#), Ok((r#"{"a":"NaN"}"#.to_owned(), 0)));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for (payload, expected) in [
            ("", BadPayload::NotJson),
            (" ", BadPayload::NotJson),
            ("{", BadPayload::NotJson),
            ("{}{}", BadPayload::NotJson),
            ("{} x", BadPayload::NotJson),
            ("\u{feff}{}", BadPayload::NotJson),
            ("{\"a\":nan}", BadPayload::NotJson),
            ("{\"a\":NaNa}", BadPayload::NotJson),
            ("{\"a\":1NaN}", BadPayload::NotJson),
            ("{\"a\":--Infinity}", BadPayload::NotJson),
            ("{\"a\":+Infinity}", BadPayload::NotJson),
            ("{NaN:1}", BadPayload::NotJson),
            ("{\"a\":NaN,}", BadPayload::NotJson),
            ("{\"a\":NaN,\"b", BadPayload::NotJson),
            ("{\"a\":\"\u{1}\"}", BadPayload::NotJson),
            ("NaN", BadPayload::NotAnObject),
            ("[NaN]", BadPayload::NotAnObject),
            ("[]", BadPayload::NotAnObject),
            ("5", BadPayload::NotAnObject),
            ("null", BadPayload::NotAnObject),
            ("\"{}\"", BadPayload::NotAnObject),
        ] {
            assert_eq!(checked(payload), Err(expected), "{payload:?}");
        }
        assert_eq!(check_payload(b"{\"a\":\"\xff\"}"), Err(BadPayload::NotJson));
    }

    #[test]
    fn deep_nesting_is_refused_and_a_deep_book_is_not_nesting() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        assert_eq!(checked(&deep), Err(BadPayload::TooDeep));

        let level = r#"{"price":1,"quantity":2,"orders":3},"#.repeat(200);
        let book = format!("{{\"depth\":{{\"buy\":[{level}{{}}],\"sell\":[]}}}}");
        assert_eq!(checked(&book), Ok((book.clone(), 0)));
    }

    #[test]
    fn an_order_update_is_its_users() {
        let user = |payload: &str| parse_order_user(payload.as_bytes());

        assert_eq!(user(r#"{"user_id":"al_ice","x":[1]}"#), Ok(UserId::from("al_ice")));
        assert_eq!(user(r#"{"user_id":"a","user_id":"b\u0041"}"#), Ok(UserId::from("bA")));
        for payload in [
            "{}".to_owned(),
            r#"{"user_id":""}"#.to_owned(),
            r#"{"user_id":null}"#.to_owned(),
            r#"{"user_id":5}"#.to_owned(),
            r#"{"order":{"user_id":"a"}}"#.to_owned(),
            format!("{{\"user_id\":\"{}\"}}", "a".repeat(257)),
        ] {
            assert_eq!(user(&payload), Err(BadPayload::NoUser), "{payload}");
        }
        assert_eq!(user("[]"), Err(BadPayload::NotAnObject));
        assert_eq!(user("{"), Err(BadPayload::NotJson));
    }

    #[test]
    fn an_invalidation_names_a_user_and_what_is_stale() {
        let read = |payload: &str| {
            parse_invalidation(payload.as_bytes()).map(|i| (i.user.to_string(), i.cache_type))
        };
        let alice = |cache_type| Ok(("alice".to_owned(), cache_type));

        assert_eq!(
            read(r#"{"action":"invalidate","user_id":"alice","cache_type":"AUTH"}"#),
            alice(CacheType::Auth)
        );
        assert_eq!(read(r#"{"user_id":"alice","cache_type":"FEED"}"#), alice(CacheType::Feed));
        assert_eq!(read(r#"{"user_id":"alice","cache_type":"ALL"}"#), alice(CacheType::All));
        assert_eq!(read(r#"{"user_id":"alice","cache_type":"NEW"}"#), alice(CacheType::All));
        assert_eq!(read(r#"{"user_id":"alice","cache_type":7}"#), alice(CacheType::All));
        assert_eq!(read(r#"{"user_id":"alice"}"#), alice(CacheType::All));
        assert_eq!(read(r#"{"cache_type":"ALL"}"#), Err(BadPayload::NoUser));
    }
}

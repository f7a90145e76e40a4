//! Keys of the tests, and what is signed with them. The private ones were made for this alone.
#![expect(dead_code, reason = "each program uses a part of it")]

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tickgate::auth::jwt::{Jwt, JwtRules, KeySet};
use tickgate::topic::Role;

/// What the calendar shows in the tests.
pub const NOW_UNIX_MS: u64 = 1_800_000_000_000;
const NOW: u64 = NOW_UNIX_MS / 1_000;

/// The shared secret `hs` of the key set.
pub const SECRET: &[u8] = b"a secret of the tests, 40 bytes of it ....";

pub fn jwks_path() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/auth_support/keys/jwks.json").into()
}

/// Public keys and the secret, by `kid`: hs, rs, ed, es.
pub const JWKS: &str = include_str!("keys/jwks.json");

/// The signing key of this `kid`, and the algorithm.
pub fn signer(kid: &str) -> (Algorithm, EncodingKey) {
    match kid {
        "hs" => (Algorithm::HS256, EncodingKey::from_secret(SECRET)),
        "rs" => (Algorithm::RS256, EncodingKey::from_rsa_der(include_bytes!("keys/rsa.der"))),
        "ed" => (Algorithm::EdDSA, EncodingKey::from_ed_der(include_bytes!("keys/ed25519.der"))),
        "es" => (Algorithm::ES256, EncodingKey::from_ec_der(include_bytes!("keys/p256.der"))),
        other => panic!("no key {other:?}"),
    }
}

/// Claims of alice that are good for a minute.
pub fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW + 60, "iss": "the-issuer", "aud": "tickgate" })
}

/// The good claims with others in their place; `null` takes one out.
pub fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => claims.as_object_mut().expect("an object").remove(name),
            value => claims.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// A token signed by the key of this `kid`.
pub fn token(kid: &str, claims: &Value) -> String {
    let (algorithm, key) = signer(kid);
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    encode(&header, claims, &key).expect("signs")
}

pub fn rules() -> JwtRules {
    JwtRules {
        issuer: Some("the-issuer".into()),
        audience: Some("tickgate".into()),
        leeway_ms: 30_000,
        user_claim: "sub".into(),
        role_max: Role::Analyst,
    }
}

pub fn jwt() -> Jwt {
    Jwt::new(KeySet::parse(JWKS).expect("a key set"), rules())
}

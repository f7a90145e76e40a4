//! JWTs: every way to be good, and every way not to be, with its reason.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tickgate::auth::jwt::{Jwt, JwtFault, JwtRules, KeySet, TOKEN_BYTES_MAX};
use tickgate::topic::Role;

use crate::auth_support::{
    JWKS, NOW_UNIX_MS, SECRET, claims, claims_with, jwt, rules, signer, token,
};

fn fault(token: &str) -> JwtFault {
    jwt().verify(token, NOW_UNIX_MS).expect_err("refused")
}

/// A token with this header, signed with the secret whatever the header says.
fn with_header(header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims()));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
    format!("{message}.{}", signature.expect("signs"))
}

#[test]
fn a_token_of_each_algorithm_gives_its_user() {
    for kid in ["hs", "rs", "ed", "es"] {
        let verified = jwt().verify(&token(kid, &claims()), NOW_UNIX_MS).expect(kid);
        assert_eq!(verified.user.as_str(), "alice");
        assert_eq!((verified.role, verified.demo, verified.broker), (Role::Trader, false, None));
        assert_eq!(verified.expires_unix_ms, Some(NOW_UNIX_MS + 60_000 + 30_000));
    }
}

#[test]
fn role_and_broker_are_those_of_the_claims() {
    let claims = claims_with(json!({ "role": "viewer", "broker": "zerodha" }));
    let verified = jwt().verify(&token("ed", &claims), NOW_UNIX_MS).expect("good");
    assert_eq!((verified.role, verified.broker), (Role::Viewer, Some("zerodha".into())));
}

#[test]
fn the_claim_of_the_user_can_be_another() {
    let set = KeySet::parse(JWKS).expect("a key set");
    let jwt = Jwt::new(set, JwtRules { user_claim: "name".into(), ..rules() });
    let named = token("hs", &claims_with(json!({ "name": "bob" })));
    assert_eq!(jwt.verify(&named, NOW_UNIX_MS).expect("good").user.as_str(), "bob");
    assert_eq!(jwt.verify(&token("hs", &claims()), NOW_UNIX_MS), Err(JwtFault::NoUser));
}

#[test]
fn every_wrong_claim_has_its_reason() {
    let now = NOW_UNIX_MS / 1_000;
    for (changes, wanted) in [
        (json!({ "exp": null }), JwtFault::NoExpiry),
        (json!({ "exp": now - 30 }), JwtFault::Expired),
        (json!({ "exp": 0 }), JwtFault::Expired),
        (json!({ "exp": "soon" }), JwtFault::Malformed),
        (json!({ "exp": -5 }), JwtFault::Malformed),
        (json!({ "nbf": now + 31 }), JwtFault::NotYetValid),
        (json!({ "nbf": [] }), JwtFault::Malformed),
        (json!({ "iss": null }), JwtFault::WrongIssuer),
        (json!({ "iss": "the-issuer2" }), JwtFault::WrongIssuer),
        (json!({ "iss": ["the-issuer"] }), JwtFault::WrongIssuer),
        (json!({ "aud": null }), JwtFault::WrongAudience),
        (json!({ "aud": "somebody" }), JwtFault::WrongAudience),
        (json!({ "aud": [] }), JwtFault::WrongAudience),
        (json!({ "aud": ["a", 5] }), JwtFault::WrongAudience),
        (json!({ "sub": null }), JwtFault::NoUser),
        (json!({ "sub": "" }), JwtFault::NoUser),
        (json!({ "sub": "a b" }), JwtFault::NoUser),
        (json!({ "sub": "x".repeat(65) }), JwtFault::NoUser),
        (json!({ "sub": 5 }), JwtFault::NoUser),
        (json!({ "role": "boss" }), JwtFault::UnknownRole),
        (json!({ "role": 1 }), JwtFault::UnknownRole),
        (json!({ "role": "admin" }), JwtFault::RoleTooHigh),
        (json!({ "role": "super_admin" }), JwtFault::RoleTooHigh),
        (json!({ "broker": "" }), JwtFault::BadBroker),
        (json!({ "broker": 1 }), JwtFault::BadBroker),
    ] {
        assert_eq!(fault(&token("rs", &claims_with(changes.clone()))), wanted, "{changes}");
    }
}

#[test]
fn claims_at_their_limits_are_good() {
    let now = NOW_UNIX_MS / 1_000;
    for changes in [
        json!({ "exp": now - 29 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": 1.9e9 + 0.5 }),
        json!({ "nbf": now + 30 }),
        json!({ "nbf": 0 }),
        json!({ "aud": ["somebody", "tickgate"] }),
        json!({ "role": "analyst" }),
        json!({ "sub": "x".repeat(64) }),
        json!({ "iat": now + 9_999, "more": { "of": ["it"] } }),
    ] {
        let token = token("hs", &claims_with(changes.clone()));
        assert!(jwt().verify(&token, NOW_UNIX_MS).is_ok(), "{changes}");
    }
}

#[test]
fn a_token_is_good_until_exactly_its_end() {
    let token = token("hs", &claims());
    let end = jwt().verify(&token, NOW_UNIX_MS).expect("good").expires_unix_ms.expect("an end");
    assert!(jwt().verify(&token, end - 1).is_ok());
    assert_eq!(jwt().verify(&token, end), Err(JwtFault::Expired));
}

#[test]
fn without_an_audience_of_our_own_a_token_for_somebody_is_refused() {
    let set = || KeySet::parse(JWKS).expect("a key set");
    let jwt = Jwt::new(set(), JwtRules { issuer: None, audience: None, ..rules() });
    let verify = |changes| jwt.verify(&token("hs", &claims_with(changes)), NOW_UNIX_MS);
    assert_eq!(verify(json!({})), Err(JwtFault::WrongAudience));
    assert!(verify(json!({ "aud": null, "iss": null })).is_ok());
}

#[test]
fn a_role_is_no_higher_than_allowed_even_if_none_is_claimed() {
    let set = KeySet::parse(JWKS).expect("a key set");
    let jwt = Jwt::new(set, JwtRules { role_max: Role::Viewer, ..rules() });
    let verified = jwt.verify(&token("hs", &claims()), NOW_UNIX_MS).expect("good");
    assert_eq!(verified.role, Role::Viewer);
}

#[test]
fn the_algorithm_is_that_of_the_key_whatever_the_token_says() {
    for alg in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let forged = with_header(&json!({ "alg": alg, "kid": "hs" }));
        assert_eq!(fault(&forged), JwtFault::WrongAlgorithm, "{alg}");
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for kid in ["hs", "rs", "ed", "es"] {
        let header = json!({ "alg": "none", "kid": kid });
        let unsigned = format!("{}.{}.", part(&header), part(&claims()));
        assert_eq!(fault(&unsigned), JwtFault::WrongAlgorithm);
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let set: Value = serde_json::from_str(JWKS).expect("JSON");
    let n = URL_SAFE_NO_PAD.decode(set["keys"][1]["n"].as_str().expect("n")).expect("base64");
    let pem = include_bytes!("auth_support/keys/rsa.pub.pem");
    for secret in [&pem[..], pem.trim_ascii_end(), &n, JWKS.as_bytes()] {
        for kid in ["rs", "ed", "es"] {
            let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
            let key = EncodingKey::from_secret(secret);
            let forged = encode(&header, &claims(), &key).expect("signs");
            assert_eq!(fault(&forged), JwtFault::WrongAlgorithm);
        }
    }
}

#[test]
fn a_token_of_another_key_is_refused() {
    let other_rsa = include_bytes!("auth_support/keys/other_rsa.der");
    let other_ed = include_bytes!("auth_support/keys/other_ed25519.der");
    for (algorithm, kid, key) in [
        (Algorithm::HS256, "hs", EncodingKey::from_secret(&[7; 32])),
        (Algorithm::HS256, "hs", EncodingKey::from_secret(b"")),
        (Algorithm::RS256, "rs", EncodingKey::from_rsa_der(other_rsa)),
        (Algorithm::EdDSA, "ed", EncodingKey::from_ed_der(other_ed)),
    ] {
        let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
        let forged = encode(&header, &claims(), &key).expect("signs");
        assert_eq!(fault(&forged), JwtFault::BadSignature, "{kid}");
    }
}

#[test]
fn the_key_must_be_known_and_named() {
    let (algorithm, key) = signer("rs");
    for (kid, wanted) in [
        (Some("unheard-of"), JwtFault::UnknownKey),
        (Some(""), JwtFault::UnknownKey),
        (Some("ed"), JwtFault::WrongAlgorithm),
        (None, JwtFault::NoKeyNamed),
    ] {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        let token = encode(&header, &claims(), &key).expect("signs");
        assert_eq!(fault(&token), wanted, "{kid:?}");
    }
    let mut set: Value = serde_json::from_str(JWKS).expect("JSON");
    set["keys"].as_array_mut().expect("keys").drain(..1);
    set["keys"].as_array_mut().expect("keys").truncate(1);
    let only = Jwt::new(KeySet::parse(&set.to_string()).expect("a key set"), rules());
    let nameless = encode(&Header::new(algorithm), &claims(), &key).expect("signs");
    assert!(only.verify(&nameless, NOW_UNIX_MS).is_ok(), "there is only one");
}

#[test]
fn a_token_that_was_changed_or_cut_anywhere_is_refused() {
    for kid in ["hs", "rs", "ed", "es"] {
        let token = token(kid, &claims());
        for at in 0..token.len() {
            assert!(jwt().verify(&token[..at], NOW_UNIX_MS).is_err(), "{kid} cut at {at}");
        }
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(jwt().verify(&changed, NOW_UNIX_MS).is_err(), "{kid} changed at {at}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused_before_any_work() {
    let good = token("hs", &claims());
    assert_eq!(fault(&"a".repeat(TOKEN_BYTES_MAX + 1)), JwtFault::TooLong);
    assert_eq!(fault(&format!("{good}{}", "A".repeat(100_000))), JwtFault::TooLong);
    for malformed in ["", ".", "..", "...", "a.b.c", "ey.ey.ey", "eyJ9.eyJ9.x", "ü.ü.ü"] {
        assert_eq!(fault(malformed), JwtFault::Malformed, "{malformed:?}");
    }
    assert_eq!(fault(&format!("{good}=")), JwtFault::BadSignature, "no padding");
    assert_eq!(fault(&good.replacen('.', "..", 1)), JwtFault::BadSignature);
}

#[test]
fn what_must_be_understood_and_is_not_is_refused() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(5)] {
        let header = json!({ "alg": "HS256", "kid": "hs", "crit": crit });
        assert_eq!(fault(&with_header(&header)), JwtFault::Critical);
    }
    let known = json!({ "alg": "HS256", "kid": "hs", "typ": "at+jwt", "x5u": "https://evil/" });
    assert!(jwt().verify(&with_header(&known), NOW_UNIX_MS).is_ok());
}

#[test]
fn what_is_wrong_with_a_key_set_is_told_without_the_key() {
    let key = |json: Value| json!({ "keys": [json] }).to_string();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let secret = b64(SECRET);
    for (text, wanted) in [
        ("{".to_owned(), "line 1: this is no JSON"),
        ("{\"keys\": 5}".to_owned(), "line 1: this is no JWK set, which is {\"keys\": [{\"kty\": …}, …]}"),
        ("{\"keys\": []}".to_owned(), "it must hold 1 to 64 keys"),
        (key(json!({ "kty": "oct" })), "key 1: `k` is missing"),
        (key(json!({ "kty": "oct", "k": "!" })), "key 1: `k` is not base64url without padding"),
        (
            key(json!({ "kty": "oct", "k": b64(&[1; 31]) })),
            "key 1: a shared secret has at least 32 bytes",
        ),
        (
            key(json!({ "kty": "oct", "k": secret, "alg": "HS512" })),
            "key 1: its `alg` must be HS256 or be left out",
        ),
        (key(json!({ "kty": "oct", "k": secret, "use": "enc" })), "key 1: its `use` is not \"sig\""),
        (
            key(json!({ "kty": "RSA", "n": b64(&[1; 128]), "e": "AQAB" })),
            "key 1: an RSA key has 2048 to 8192 bits",
        ),
        (
            key(json!({ "kty": "RSA", "n": b64(&[1; 256]), "e": "AQAB", "d": "AQAB" })),
            "key 1: it holds a private part, `d`; only the public one belongs here",
        ),
        (
            key(json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&[1; 31]) })),
            "key 1: an Ed25519 key has 32 bytes",
        ),
        (
            key(json!({ "kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": "AA" })),
            "key 1: a coordinate of P-256 has 32 bytes",
        ),
        (
            key(json!({ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" })),
            "key 1: it is none of oct, RSA, OKP with Ed25519, EC with P-256",
        ),
        (key(json!({ "kty": "oct", "k": secret, "kid": "" })), "key 1: a `kid` has 1 to 256 bytes"),
        (
            json!({ "keys": [{ "kty": "oct", "k": secret }, { "kty": "oct", "k": secret }] })
                .to_string(),
            "key 1: of several keys each needs a `kid`",
        ),
        (
            json!({ "keys": [
                { "kty": "oct", "k": secret, "kid": "a" }, { "kty": "oct", "k": secret, "kid": "a" },
            ] })
            .to_string(),
            "key 2: another one has the same `kid`",
        ),
    ] {
        let error = KeySet::parse(&text).expect_err(wanted);
        assert_eq!(error, wanted);
    }
}

#[cfg(unix)]
#[test]
fn a_file_with_a_secret_is_private() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("jwks.json");
    let read = |text: &str, mode| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changes");
        KeySet::read(&path)
    };
    let error = read(JWKS, 0o644).expect_err("others can read it");
    assert!(error.contains("others can read it (mode 0644); run `chmod 600 "), "{error}");
    assert_eq!(read(JWKS, 0o600).expect("private").len(), 4);
    let mut public: Value = serde_json::from_str(JWKS).expect("JSON");
    public["keys"].as_array_mut().expect("keys").remove(0);
    assert_eq!(read(&public.to_string(), 0o644).expect("no secret in it").len(), 3);
}

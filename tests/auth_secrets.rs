//! Formats everything that the module of credentials hands out, and looks for secrets in it.

use std::fmt::{Debug, Write as _};

use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Uri};
use serde_json::{Value, json};
use tickgate::auth::jwt::KeySet;
use tickgate::auth::keys_file::{self, KeyEntry};
use tickgate::auth::{Credentials, KeyHash, Presented, TokenMint, Verifier, Way, presented};
use tickgate::config::Config;
use tickgate::protocol::{Credential, Reject};
use tickgate::runtime::{Clock, TokioRuntime};
use tickgate::topic::Role;

use crate::auth_support::{
    Database, JWKS, NOW_UNIX_MS, PEPPER, SECRET, cheap_hash, claims, claims_with, environment, jwt,
    private_jwks, rules, token,
};

const KEY: &str = "key-of-alice-to-be-found-nowhere";

fn note(shown: &mut String, thing: impl Debug) {
    write!(shown, "{thing:?}\n{thing:#?}\n").expect("writes");
}

/// Everything that must not be seen.
fn secrets(minted: &str, jwts: &[String]) -> Vec<String> {
    let set: Value = serde_json::from_str(JWKS).expect("JSON");
    let mut secrets = vec![
        KEY.to_owned(),
        KeyHash::of(KEY).to_hex(),
        KeyHash::of(minted).to_hex(),
        PEPPER.to_owned(),
        cheap_hash(KEY),
        cheap_hash(KEY).rsplit('$').next().expect("a hash").to_owned(),
        minted.to_owned(),
        minted.trim_start_matches("tgt_").to_owned(),
        set["keys"][0]["k"].as_str().expect("k").to_owned(),
        String::from_utf8(SECRET.to_vec()).expect("ASCII"),
    ];
    secrets.extend(jwts.iter().flat_map(|jwt| jwt.split('.').map(str::to_owned)));
    // Bytes in decimal or hexadecimal are no better.
    for bytes in [SECRET, KEY.as_bytes()] {
        secrets.push(bytes[..8].iter().map(|byte| format!("{byte}, ")).collect());
        secrets.push(bytes[..8].iter().map(|byte| format!("{byte:02x}")).collect());
    }
    secrets
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret_a_hash_or_a_token() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = Config::default();
    let keys = directory.path().join("keys.toml");
    let entry = KeyEntry {
        user: "alice".into(),
        broker: None,
        role: Role::Trader,
        hash: KeyHash::of(KEY),
        created: None,
    };
    let mut shown = String::new();
    note(&mut shown, &entry);
    keys_file::update(&keys, |keys| keys.push(entry)).expect("written");
    let database = directory.path().join("openalgo.db");
    Database::create(&database).set_hash("bob", &cheap_hash(KEY));
    config.auth.keys_file = Some(keys.clone());
    config.auth.jwt_keys_file = Some(private_jwks(directory.path()));
    config.auth.openalgo_database = Some(database.clone());
    note(&mut shown, &config);
    let credentials = Credentials::load(&config, environment).expect("good");
    note(&mut shown, &credentials);
    let verifier = Verifier::new(TokioRuntime::new(), Clock::start(), credentials, &config.auth);
    note(&mut shown, &verifier);

    let good = token("hs", &claims_with(json!({ "aud": null })));
    let expired = token("rs", &claims_with(json!({ "exp": 1 })));
    let mut jwts = vec![good.clone(), expired.clone()];
    for (secret, way) in
        [(KEY, Way::ApiKey), (KEY, Way::Query), (&good, Way::Bearer), (&expired, Way::Cookie)]
    {
        let presented = Presented { secret: secret.into(), way };
        note(&mut shown, &presented);
        match verifier.verify(&presented, true, NOW_UNIX_MS).await {
            Ok(verified) => {
                note(&mut shown, &verified);
                write!(shown, "{}", verified.tag).expect("writes");
            }
            Err(denied) => {
                note(&mut shown, denied);
                write!(shown, "{denied}").expect("writes");
            }
        }
    }
    let alice = Presented::from(Credential::ApiKey(KEY.into()));
    let alice = verifier.verify(&alice, true, NOW_UNIX_MS).await.expect("known");
    let minted = verifier.mint(&alice, 0).expect("room");
    note(&mut shown, &minted);
    let mut mint = TokenMint::new(30_000);
    let own = mint.mint(alice, [1, 2, 3, 4], 0).expect("room");
    note(&mut shown, (&mint, &own));
    note(&mut shown, mint.redeem(own.token.as_str(), 1));

    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {KEY}").parse().expect("a header"));
    let at: Uri = format!("/?token={good}").parse().expect("a URI");
    note(&mut shown, presented(&headers, &at, "c"));
    note(&mut shown, presented(&HeaderMap::new(), &at, "c"));
    note(&mut shown, (jwt(), rules(), KeySet::parse(JWKS).expect("a key set")));
    jwts.push(token("ed", &claims()));
    note(&mut shown, jwt().verify(&jwts[2], NOW_UNIX_MS));
    note(&mut shown, (Reject::invalid_api_key(), Reject::cannot_verify_now()));

    // What is told of files that are broken.
    std::fs::write(&keys, format!("[[key]]\nuser = \"a\"\nsha256 = \"{KEY}\nx")).expect("written");
    Database(rusqlite::Connection::open(&database).expect("opens")).set_hash("bob", KEY);
    let broken = JWKS.replace("\"oct\"", "5");
    std::fs::write(directory.path().join("jwks.json"), broken).expect("written");
    let bad = Credentials::load(&config, environment).expect_err("all bad");
    assert_eq!(bad.0.len(), 3, "{bad}");
    note(&mut shown, &bad);
    write!(shown, "{bad}").expect("writes");
    note(&mut shown, verifier.reload().await);

    assert!(shown.len() > 2_000, "it has shown something: {shown}");
    for secret in secrets(minted.token.as_str(), &jwts) {
        assert!(!shown.contains(&secret), "{secret} is shown: {shown}");
    }
    assert!(!shown.contains(own.token.as_str()), "{shown}");
}

//! Files of credentials that change while they are in use.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tickgate::auth::keys_file::{self, KeyEntry};
use tickgate::auth::{
    BadCredentials, Credentials, DEMO_KEY, Denied, KeyHash, Presented, Refusal, Reloaded, Verified,
    Verifier, Way,
};
use tickgate::config::Config;
use tickgate::runtime::{Clock, TokioRuntime};
use tickgate::topic::Role;

use crate::auth_support::{JWKS, NOW_UNIX_MS, claims_with, token};

fn entry(user: &str, key: &str) -> KeyEntry {
    KeyEntry {
        user: user.into(),
        broker: None,
        role: Role::Trader,
        hash: KeyHash::of(key),
        created: None,
    }
}

/// A configuration with a file of keys for alice and bob, and a key set.
fn prepare(directory: &Path) -> Config {
    let mut config = Config::default();
    let (keys, jwks) = (directory.join("keys.toml"), directory.join("jwks.json"));
    keys_file::update(&keys, |keys| {
        keys.extend([entry("alice", "key-of-alice"), entry("bob", "key-of-bob")]);
    })
    .expect("written");
    write_private(&jwks, JWKS);
    config.auth.keys_file = Some(keys);
    config.auth.jwt_keys_file = Some(jwks);
    config
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
}

fn verifier(config: &Config) -> Verifier<TokioRuntime> {
    let credentials = Credentials::load(config, |_| None).expect("good files");
    Verifier::new(TokioRuntime::new(), Clock::start(), credentials, &config.auth)
}

async fn verify(
    verifier: &Verifier<TokioRuntime>,
    secret: &str,
    way: Way,
) -> Result<Verified, Denied> {
    verifier.verify(&Presented { secret: secret.into(), way }, true, NOW_UNIX_MS).await
}

const UNKNOWN: Denied = Denied::Bad(Refusal::Unknown);

fn jwt_of_alice() -> String {
    token("ed", &claims_with(json!({ "aud": null })))
}

#[tokio::test]
async fn each_provider_is_asked_for_its_own() {
    let directory = tempfile::tempdir().expect("directory");
    let verifier = verifier(&prepare(directory.path()));
    for (secret, user) in [
        ("key-of-alice", "alice"),
        ("key-of-bob", "bob"),
        (&jwt_of_alice(), "alice"),
        (DEMO_KEY, "demo"),
    ] {
        let verified = verify(&verifier, secret, Way::ApiKey).await.expect(user);
        assert_eq!(verified.user.as_str(), user);
    }
    assert_eq!(verify(&verifier, "nonsense", Way::Bearer).await, Err(UNKNOWN));
    assert_eq!(verify(&verifier, "", Way::ApiKey).await, Err(UNKNOWN));
}

#[tokio::test]
async fn a_key_is_not_taken_where_only_tokens_are() {
    let directory = tempfile::tempdir().expect("directory");
    let verifier = verifier(&prepare(directory.path()));
    for way in [Way::Token, Way::Query] {
        assert_eq!(verify(&verifier, "key-of-alice", way).await, Err(UNKNOWN));
        assert!(verify(&verifier, &jwt_of_alice(), way).await.is_ok());
    }
    for way in [Way::ApiKey, Way::Bearer, Way::Cookie, Way::Subprotocol] {
        assert!(verify(&verifier, "key-of-alice", way).await.is_ok());
    }
}

#[tokio::test]
async fn keys_come_and_go_without_a_restart_and_who_lost_theirs_is_told() {
    let directory = tempfile::tempdir().expect("directory");
    let config = prepare(directory.path());
    let verifier = verifier(&config);
    let alice = verify(&verifier, "key-of-alice", Way::ApiKey).await.expect("known");
    let bob = verify(&verifier, "key-of-bob", Way::ApiKey).await.expect("known");
    let nothing = Reloaded { generation: 1, ..Reloaded::default() };
    assert_eq!(verifier.reload().await, Ok(nothing), "nothing has changed");

    keys_file::update(config.auth.keys_file.as_deref().expect("set"), |keys| {
        keys.retain(|key| key.user != alice.user);
        keys[0].role = Role::Admin;
        keys.push(entry("carol", "key-of-carol"));
    })
    .expect("written");
    let reloaded = verifier.reload().await.expect("good files");

    assert_eq!(reloaded.revoked, [alice.tag]);
    assert_eq!(reloaded.changed, [(bob.tag, Role::Admin)]);
    assert!(reloaded.revokes(alice.tag) && !reloaded.revokes(bob.tag));
    assert_eq!(verify(&verifier, "key-of-alice", Way::ApiKey).await, Err(UNKNOWN));
    let bob = verify(&verifier, "key-of-bob", Way::ApiKey).await.expect("known");
    assert_eq!(bob.role, Role::Admin);
    assert!(verify(&verifier, "key-of-carol", Way::ApiKey).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_now_somebody_elses_is_revoked_for_the_first() {
    let directory = tempfile::tempdir().expect("directory");
    let config = prepare(directory.path());
    let verifier = verifier(&config);
    let alice = verify(&verifier, "key-of-alice", Way::ApiKey).await.expect("known");
    keys_file::update(config.auth.keys_file.as_deref().expect("set"), |keys| {
        keys[0].user = "mallory".into();
        keys[1].broker = Some("paper".into());
    })
    .expect("written");
    let reloaded = verifier.reload().await.expect("good files");
    assert!(reloaded.revokes(alice.tag));
    assert_eq!(reloaded.revoked.len(), 2, "another broker is another session");
}

#[tokio::test]
async fn a_signing_key_that_goes_takes_all_its_tokens_with_it() {
    let directory = tempfile::tempdir().expect("directory");
    let config = prepare(directory.path());
    let verifier = verifier(&config);
    let by_ed = verify(&verifier, &jwt_of_alice(), Way::Token).await.expect("good");
    let by_hs = token("hs", &claims_with(json!({ "aud": null })));
    let by_hs = verify(&verifier, &by_hs, Way::Token).await.expect("good");

    let mut set: Value = serde_json::from_str(JWKS).expect("JSON");
    set["keys"].as_array_mut().expect("keys").retain(|key| key["kid"] != "ed");
    write_private(config.auth.jwt_keys_file.as_deref().expect("set"), &set.to_string());
    let reloaded = verifier.reload().await.expect("good files");

    assert!(reloaded.revokes(by_ed.tag) && !reloaded.revokes(by_hs.tag));
    let refused = verify(&verifier, &jwt_of_alice(), Way::Token).await.expect_err("gone");
    assert_eq!(refused.to_string(), "the JWT is refused: its key is not known");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told() {
    let directory = tempfile::tempdir().expect("directory");
    let config = prepare(directory.path());
    let verifier = verifier(&config);
    let (keys, jwks) =
        (config.auth.keys_file.expect("set"), config.auth.jwt_keys_file.expect("set"));
    keys_file::update(&keys, |keys| keys.clear()).expect("written");
    write_private(&jwks, "{\"keys\": [{\"kty\": \"oct\", \"k\": \"hush\"}]}");

    let BadCredentials(reasons) = verifier.reload().await.expect_err("a bad key set");

    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].ends_with("key 1: a shared secret has at least 32 bytes"), "{reasons:?}");
    assert!(!reasons[0].contains("hush"));
    let kept = verify(&verifier, "key-of-alice", Way::ApiKey).await;
    assert!(kept.is_ok(), "not even the file that is good is taken alone");
    write_private(&jwks, JWKS);
    assert_eq!(verifier.reload().await.expect("good files").revoked.len(), 2);
    assert_eq!(verify(&verifier, "key-of-alice", Way::ApiKey).await, Err(UNKNOWN));
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let directory = tempfile::tempdir().expect("directory");
    let mut config = prepare(directory.path());
    fs::remove_file(config.auth.keys_file.as_ref().expect("set")).expect("removed");
    config.auth.jwt_keys_file = Some("/nowhere/jwks.json".into());
    let BadCredentials(reasons) = Credentials::load(&config, |_| None).expect_err("two bad files");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

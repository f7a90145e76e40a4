//! What clients of a gateway are told about their credentials.

use serde_json::{Value, json};
use tempfile::TempDir;
use tickgate::auth::Credentials;
use tickgate::config::Config;

use crate::auth_support::{Database, cheap_hash, claims_with, environment, private_jwks, token};
use crate::common::{self, Client, Publisher, TestGateway};

/// A gateway that knows JWTs, and OpenAlgo's keys of alice (with the broker `paper`), bob (logged
/// in nowhere) and carol (with a broker that is not configured).
async fn start() -> (TestGateway, Database, TempDir) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("openalgo.db");
    let database = Database::create(&path);
    for (user, broker, is_revoked) in
        [("alice", "paper", false), ("bob", "paper", true), ("carol", "zerodha", false)]
    {
        database.set_hash(user, &cheap_hash(&format!("key-of-{user}")));
        database.log_in(user, broker, is_revoked);
    }
    let mut config = Config::default();
    config.auth.openalgo_database = Some(path);
    config.auth.jwt_keys_file = Some(private_jwks(directory.path()));
    let credentials = Credentials::load(&config, environment).expect("good");
    (TestGateway::start_knowing(credentials, |_| {}).await, database, directory)
}

async fn answer(client: &mut Client, field: &str, secret: &str) -> Value {
    client.ask(&json!({ "action": "authenticate", field: secret }).to_string()).await
}

/// A token of alice that is good for as long as the year 2100 is not over.
fn jwt(kid: &str, changes: Value) -> String {
    let mut claims = claims_with(json!({ "aud": null, "exp": 4_133_980_799_u64 }));
    claims.as_object_mut().expect("claims").extend(changes.as_object().expect("changes").clone());
    token(kid, &claims)
}

#[tokio::test]
async fn a_jwt_is_taken_as_token_and_as_key_and_a_wrong_one_is_told_nothing() {
    let (gateway, _database, _directory) = start().await;
    let mut client = Client::connect(&gateway).await;
    for wrong in [
        jwt("rs", json!({ "exp": 1 })),
        jwt("rs", json!({ "role": "admin" })),
        jwt("rs", json!({ "aud": "somebody" })),
        jwt("rs", json!({})) + "x",
        "nonsense".to_owned(),
        "key-of-alice".to_owned(),
        "tgt_0".to_owned(),
    ] {
        let answer = answer(&mut client, "token", &wrong).await;
        let told = (&answer["code"], &answer["message"]);
        assert_eq!(told, (&json!("AUTHENTICATION_ERROR"), &json!("Invalid token")), "{wrong}");
    }
    for (field, kid) in [("token", "ed"), ("token", "rs"), ("api_key", "hs")] {
        let answer = answer(&mut client, field, &jwt(kid, json!({}))).await;
        assert_eq!(answer["status"], "success", "{answer}");
        assert_eq!(answer["user_id"], "alice");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_of_openalgo_is_taken_and_each_trouble_has_its_own_words() {
    let (gateway, database, _directory) = start().await;
    let mut client = Client::connect(&gateway).await;
    for (key, code) in [
        ("key-of-nobody", "AUTHENTICATION_ERROR"),
        ("key-of-bob", "BROKER_ERROR"),
        ("key-of-carol", "BROKER_ERROR"),
    ] {
        let answer = answer(&mut client, "api_key", key).await;
        assert_eq!(answer["code"], code, "{answer}");
    }
    assert_eq!(answer(&mut client, "api_key", "key-of-alice").await["status"], "success");

    drop(database.0.execute_batch("ALTER TABLE api_keys RENAME TO away"));
    let mut other = Client::connect(&gateway).await;
    let told = answer(&mut other, "api_key", "key-of-dave").await;
    assert_eq!(told["code"], "SERVER_ERROR");
    assert_eq!(told["message"], "Credentials cannot be checked now; try again later");
    drop(database.0.execute_batch("ALTER TABLE away RENAME TO api_keys"));
    let told = answer(&mut other, "api_key", "key-of-dave").await;
    assert_eq!(told["code"], "AUTHENTICATION_ERROR");
    gateway.stop().await;
}

#[tokio::test]
async fn an_invalidation_on_the_bus_has_a_new_key_taken_at_once() {
    let (gateway, database, _directory) = start().await;
    let publisher = Publisher::connect(&gateway).await;
    let mut client = Client::connect(&gateway).await;
    client.enter("key-of-alice").await;
    let refused = answer(&mut client, "api_key", "new-key").await;
    assert_eq!(refused["code"], "AUTHENTICATION_ERROR");
    database.set_hash("alice", &cheap_hash("new-key"));
    let invalidation = r#"{"user_id": "alice", "cache_type": "ALL", "timestamp": 1}"#;
    let before = gateway.status().await["feed"]["routed_total"].as_u64().expect("a number");
    publisher.send("CACHE_INVALIDATE_ALL_alice", invalidation).await;
    gateway.wait_until(|status| status["feed"]["routed_total"] == before + 1).await;
    let mut other = Client::connect(&gateway).await;
    other.enter("new-key").await;
    let refused = answer(&mut other, "api_key", "key-of-alice").await;
    assert_eq!(refused["code"], "AUTHENTICATION_ERROR");
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_is_in_by_a_key_of_openalgo_that_is_gone_is_sent_away_and_its_tokens_with_it() {
    let (gateway, database, _directory) = start().await;
    let mut alice = Client::connect(&gateway).await;
    assert_eq!(answer(&mut alice, "api_key", "key-of-alice").await["status"], "success");
    let request = "POST /api/ws-token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
                   Connection: close\r\nAuthorization: Bearer key-of-alice\r\n\r\n";
    let page = common::http(gateway.addresses.websocket, request).await;
    let (_, body) = page.split_once("\r\n\r\n").expect("a page");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let token = body["token"].as_str().expect("a token").to_owned();
    // A logout is no reason to leave: the next login will come.
    database.log_in("alice", "paper", true);
    assert!(alice.is_quiet(std::time::Duration::from_millis(2_500)).await, "she stays");
    database.log_in("alice", "paper", false);
    database.set_hash("alice", &cheap_hash("another-key-of-alice"));
    assert_eq!(alice.closed().await, Some(4403));
    let mut other = Client::connect(&gateway).await;
    assert_eq!(answer(&mut other, "token", &token).await["code"], "AUTHENTICATION_ERROR");
    assert_eq!(answer(&mut other, "api_key", "another-key-of-alice").await["status"], "success");
    gateway.stop().await;
}

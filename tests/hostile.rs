//! Clients that mean ill, against the program itself: each is refused as README.md says, and when
//! all of them are gone nothing of them is left.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::unwrap_used, reason = "real sockets; it may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tickgate::runtime::{Runtime, TokioRuntime};
use tokio::net::TcpStream;

use crate::auth_support::{claims_with, private_jwks, token};
use crate::common::program::Program;
use crate::common::raw::{Raw, frame, header, request, status};
use crate::common::{self, Client, http};

/// Connections that one address may have, here.
const PER_ADDRESS: usize = 50;

/// Visitors at the same time, in the flood.
const AT_ONCE: usize = 100;

/// Short deadlines, so that nobody has to be slow for long; violations cost no time.
const CONFIG: &str = r#"
server.handshake_timeout_ms = 1500
server.auth_timeout_ms = 2500
server.close_timeout_ms = 500
server.ping_interval_ms = 1000
server.silence_timeout_ms = 4000
limits.connections_per_address_max = 50
conduct.throttle_ms = 1
auth.keys_file = "keys.toml"
auth.jwt_keys_file = "jwks.json"
auth.jwt_issuer = "the-issuer"
auth.jwt_audience = "tickgate"
"#;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;

/// Bytes of a message that are served.
const MESSAGE_MAX: usize = 65_536;

struct Target {
    program: Program,
    address: SocketAddr,
    /// Alice's.
    key: String,
}

impl Target {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = Program::new_key(directory.path(), "alice");
        private_jwks(directory.path());
        let program = Program::start(directory, CONFIG);
        let address = program.websocket;
        Self { program, address, key }
    }

    /// With Alice's key.
    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.key)
    }

    /// The close code for what a client sends right behind the upgrade.
    async fn closed_for(&self, bytes: &[u8]) -> Option<u16> {
        let mut raw = Raw::upgraded(self.address, "").await;
        raw.send(bytes).await;
        raw.closed().await
    }
}

/// A ping that is so long.
fn request_of(bytes: usize) -> Vec<u8> {
    let mut text = br#"{"action":"ping"}"#.to_vec();
    text.resize(bytes, b' ');
    text
}

async fn slow_or_silent(target: &Target) {
    let slowly = async {
        let mut raw = Raw::connect(target.address).await;
        let long = request("/", "");
        for byte in long.bytes() {
            raw.send(&[byte]).await;
            if raw.is_over(Duration::from_millis(100)).await {
                return raw.head().await;
            }
        }
        panic!("it was waited for {} times 100 ms", long.len());
    };
    let mute = async { Raw::connect(target.address).await.head().await };
    let unauthenticated = async { Raw::upgraded(target.address, "").await.closed().await };
    // It reads nothing that it is told, and so answers no ping.
    let half_open = async { Raw::upgraded(target.address, &target.bearer()).await.closed().await };
    let all = tokio::join!(slowly, mute, unauthenticated, half_open);
    assert_eq!(all, (None, None, Some(4401), Some(4408)));
}

async fn broken_framing(target: &Target) {
    let mut raw = Raw::upgraded(target.address, "").await;
    raw.send(&frame(TEXT, &request_of(MESSAGE_MAX))).await;
    let (_, pong) = raw.frame().await.expect("64 KiB are served");
    assert!(String::from_utf8(pong).unwrap().contains("pong"));

    let half = vec![b' '; MESSAGE_MAX / 2];
    let (first, rest) = (frame(0x01, &half), frame(0x00, &half));
    let last = frame(0x80, b" ");
    let unmasked = [&[TEXT, 4][..], b"{}{}"].concat();
    for (what, bytes, code) in [
        ("one byte too many", frame(TEXT, &request_of(MESSAGE_MAX + 1)), 1009),
        ("fragments, together too long", [&first[..], &rest, &last].concat(), 1009),
        ("the head of a gigabyte", header(BINARY, 1 << 30), 1009),
        ("the head of an exabyte", header(BINARY, 1 << 60), 1009),
        ("no mask", unmasked, 1002),
        ("no UTF-8", frame(TEXT, b"{\"action\":\"\xff\"}"), 1007),
        ("half a character", frame(TEXT, b"{\"action\":\"\xe2\x82"), 1007),
    ] {
        assert_eq!(target.closed_for(&bytes).await, Some(code), "{what}");
    }
    // 300 at once are allowed, and 120 beyond them are too many.
    for (what, flood) in [
        ("pings", frame(PING, b"are you there").repeat(500)),
        ("pongs", frame(0x8a, b"").repeat(500)),
        ("requests", frame(TEXT, br#"{"action":"ping"}"#).repeat(500)),
        ("nonsense", frame(TEXT, b"nonsense").repeat(500)),
        ("values", frame(TEXT, format!("[{}1]", "1,".repeat(10_000)).as_bytes()).repeat(130)),
    ] {
        assert_eq!(target.closed_for(&flood).await, Some(4429), "{what}");
    }
}

async fn header_bombs(target: &Target) {
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    let path = format!("/{}", "x".repeat(20_000));
    let endless =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: {}", "x".repeat(1 << 20));
    for (what, request) in [
        ("too many", request("/", &many)),
        ("too long", request("/", &long)),
        ("a path too long", request(&path, "")),
        ("one without an end", endless),
    ] {
        let status = status(target.address, &request).await;
        // Who sends more than is read may find the connection reset before the answer.
        assert!(matches!(status, Some(414 | 431) | None), "{what}: {status:?}");
    }
    assert_eq!(status(target.address, &request("/", &many)).await, Some(431));
    let mut raw = Raw::connect(target.address).await;
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS where none is spoken\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert!(head.is_none_or(|head| head.starts_with("HTTP/1.1 400 ")));
}

/// Tokens that are forged or of the past, as strangers and as those who were let in once would
/// show them.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let now = TokioRuntime::new().unix_ms() / 1_000;
    let good = claims_with(json!({ "exp": now + 600 }));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned =
        |alg: &str| format!("{}.{}.", part(&json!({ "alg": alg, "kid": "hs" })), part(&good));
    let forged = |algorithm, kid: &str, key: &EncodingKey| {
        let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
        encode(&header, &good, key).unwrap()
    };
    let public = EncodingKey::from_secret(include_bytes!("auth_support/keys/rsa.pub.pem"));
    let other = EncodingKey::from_ed_der(include_bytes!("auth_support/keys/other_ed25519.der"));
    vec![
        ("alg none", unsigned("none")),
        ("alg NONE", unsigned("NONE")),
        ("expired", token("ed", &claims_with(json!({ "exp": now - 60 })))),
        ("not yet", token("ed", &claims_with(json!({ "exp": now + 600, "nbf": now + 300 })))),
        ("another audience", token("ed", &claims_with(json!({ "exp": now + 600, "aud": "x" })))),
        ("another key", forged(Algorithm::EdDSA, "ed", &other)),
        ("a public key as the secret", forged(Algorithm::HS256, "rs", &public)),
    ]
}

async fn bad_credentials(target: &Target) {
    let now = TokioRuntime::new().unix_ms() / 1_000;
    let good = token("ed", &claims_with(json!({ "exp": now + 600 })));
    let shown = |token: &str| request("/", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(status(target.address, &shown(&good)).await, Some(101));
    for (what, token) in bad_tokens() {
        assert_eq!(status(target.address, &shown(&token)).await, Some(401), "{what}");
        let mut raw = Raw::upgraded(target.address, "").await;
        let asked = json!({ "action": "authenticate", "token": token }).to_string();
        raw.send(&frame(TEXT, asked.as_bytes())).await;
        let (_, answer) = raw.frame().await.expect("an answer, and no close");
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["code"], "AUTHENTICATION_ERROR", "{what}");
    }
    let evil = format!("Origin: https://evil.example\r\n{}", target.bearer());
    assert_eq!(status(target.address, &request("/", &evil)).await, Some(403));

    let mint = format!(
        "POST /api/ws-token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{}\r\n",
        target.bearer()
    );
    let page = http(target.address, &mint).await;
    let page: Value = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
    let once = request(&format!("/?token={}", page["token"].as_str().unwrap()), "");
    let replayed = [status(target.address, &once).await, status(target.address, &once).await];
    assert_eq!(replayed, [Some(101), Some(401)], "once");
}

/// So many connections from one address that already has all it may have.
async fn flood(target: &Target, connects: usize) {
    let mut inside = Vec::new();
    for _ in 0..PER_ADDRESS {
        let stream = TcpStream::connect(target.address).await.unwrap();
        let mut client = Client::upgrade(stream, &format!("ws://{}/", target.address)).await;
        client.enter(&target.key).await;
        // Polled, it answers pings.
        inside.push(common::spawn(async move { while client.0.next().await.is_some() {} }));
    }
    let before = target.program.status()["clients"]["turned_away_total"].as_u64().unwrap();
    let knock = request("/", "");
    assert_eq!(status(target.address, &knock).await, Some(429));
    let visitors = (0..AT_ONCE).map(|_| async {
        for _ in 0..connects / AT_ONCE {
            // More than are told at the same time are sent away without a word.
            let status = status(target.address, &knock).await;
            assert!(matches!(status, Some(429) | None), "{status:?}");
        }
    });
    join_all(visitors).await;
    assert_eq!(target.program.status()["clients"]["total"], PER_ADDRESS);
    let all = before + 1 + connects as u64;
    target.program.wait_until(|status| status["clients"]["turned_away_total"] == all).await;
    for client in inside {
        client.abort();
    }
}

/// Everything, some of it at the same time. `connects` to be refused at the end.
async fn everything(target: &Target, connects: usize) {
    tokio::join!(
        slow_or_silent(target),
        broken_framing(target),
        header_bombs(target),
        bad_credentials(target)
    );
    target.program.wait_until(|status| status["gate"]["connections"] == 0).await;
    flood(target, connects).await;
    target.program.wait_until(|status| status["gate"]["connections"] == 0).await;
}

/// What a gateway holds that serves nobody.
#[derive(Debug, PartialEq)]
struct Idle {
    tasks: Value,
    timers: Value,
    files: usize,
}

async fn idle(target: &Target) -> Idle {
    let program = &target.program;
    program
        .wait_until(|status| {
            status["gate"]["connections"] == 0
                && status["clients"]["total"] == 0
                && status["users"].as_array().is_some_and(Vec::is_empty)
        })
        .await;
    let mut status = program.status();
    // The connection over which it is asked comes and goes.
    status["tasks"].as_object_mut().unwrap().remove("admin_connection");
    let mut files = usize::MAX;
    for _ in 0..25 {
        files = files.min(program.open_files());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Idle { tasks: status["tasks"].clone(), timers: status["timers"].clone(), files }
}

#[tokio::test]
async fn hostile_clients_are_refused_and_leave_nothing_behind() {
    let target = Target::start();
    let fresh = target.program.resident_kib();
    everything(&target, 10_000).await;
    let (first, after_one) = (idle(&target).await, target.program.resident_kib());
    for _ in 0..2 {
        everything(&target, 1_000).await;
    }
    let (last, after_all) = (idle(&target).await, target.program.resident_kib());
    println!("resident: {fresh} KiB fresh, {after_one} after one round, {after_all} after three");
    assert_eq!(first, last);
    assert!(after_one <= fresh * 2, "{fresh} KiB became {after_one}");
    assert!(after_all * 10 <= after_one * 11, "{after_one} KiB became {after_all}");
    let log = target.program.log();
    let wrong = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
    assert_eq!(log.lines().find(wrong), None);
    target.program.stop();
}

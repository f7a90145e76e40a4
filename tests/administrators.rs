//! Administrators and those whom they block, remove and tell something, on real sockets.
#![expect(clippy::unwrap_used, clippy::disallowed_types, reason = "a client on real sockets")]

use std::time::Duration;

use serde_json::{Value, json};
use tickgate::auth::{KeyHash, KeyTable};
use tickgate::config::{BrokerEntry, BrokerKind, Config};
use tickgate::protocol::{AdminAnswer, AdminCommand};
use tickgate::topic::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::common::{Client, TestGateway, quiet_market};

/// Everybody's key is its name with `-key` behind it; those of roles are called as their roles.
fn keys() -> KeyTable {
    let of_role = Role::ALL.into_iter().fold(KeyTable::new(), |keys, role| {
        let name = role.as_str();
        keys.with_hash(KeyHash::of(&format!("{name}-key")), name.into(), None, role)
    });
    of_role.with_key("alice-key", "alice".into(), None).with_key("bob-key", "bob".into(), None)
}

/// A gateway that believes whoever connects from this machine where it comes from.
async fn gateway() -> TestGateway {
    gateway_with(|_| {}).await
}

async fn gateway_with(change: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::start_knowing(keys(), |config| {
        quiet_market(config);
        config.limits.trusted_proxies = vec!["127.0.0.0/8".into()];
        change(config);
    })
    .await
}

/// A client from some address, or the status that it gets instead.
async fn try_from(gateway: &TestGateway, address: &str) -> Result<Client, u16> {
    let at = gateway.addresses.websocket;
    let stream = TcpStream::connect(at).await.unwrap();
    let mut request = format!("ws://{at}/").into_client_request().unwrap();
    request.headers_mut().insert("X-Forwarded-For", address.parse().unwrap());
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(Client(socket)),
        Err(tokio_tungstenite::tungstenite::Error::Http(page)) => Err(page.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn from(gateway: &TestGateway, address: &str, key: &str) -> Client {
    let mut client = try_from(gateway, address).await.ok().unwrap();
    client.enter(&format!("{}-key", key.trim_end_matches("-key"))).await;
    client
}

async fn administer(client: &mut Client, fields: Value) -> Value {
    let mut request = json!({"action": "admin", "request_id": 7});
    request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut answer = client.ask(&request.to_string()).await;
    if answer["type"] == "notice" {
        answer = client.next().await;
    }
    assert_eq!(answer["request_id"], 7, "{answer}");
    answer
}

fn every_command() -> [Value; 8] {
    [
        json!({"command": "list_clients"}),
        json!({"command": "block", "network": "10.9.0.0/16"}),
        json!({"command": "unblock", "network": "10.9.0.0/16"}),
        json!({"command": "list_blocks"}),
        json!({"command": "remove_user", "user": "nobody"}),
        json!({"command": "close_client", "client": 99}),
        json!({"command": "broadcast", "message": "hello"}),
        json!({"command": "log_level", "level": "debug"}),
    ]
}

#[tokio::test]
async fn every_command_is_for_administrators_alone() {
    let gateway = gateway().await;
    for command in every_command() {
        let mut nobody = try_from(&gateway, "10.0.0.1").await.ok().unwrap();
        let answer = administer(&mut nobody, command.clone()).await;
        assert_eq!(answer["code"], "NOT_AUTHENTICATED", "{command}");
        for role in Role::ALL {
            let mut client = from(&gateway, "10.0.0.2", role.as_str()).await;
            let block = r#"{"action":"admin","command":"block","network":"10.9.0.0/16"}"#;
            gateway.administrator().administer(command_of(block)).await.unwrap();
            client.send(&json!({"action": "admin"}).to_string()).await;
            assert_eq!(client.next().await["code"], "INVALID_PARAMETERS");
            let answer = administer(&mut client, command.clone()).await;
            let expected = match (role, command["command"].as_str().unwrap()) {
                (Role::Admin | Role::SuperAdmin, "close_client" | "log_level") => {
                    "INVALID_PARAMETERS"
                }
                (Role::Admin | Role::SuperAdmin, _) => "success",
                (Role::Anonymous | Role::Viewer | Role::Trader | Role::Analyst, _) => "FORBIDDEN",
            };
            let said = answer["code"].as_str().or(answer["status"].as_str());
            assert_eq!(said, Some(expected), "{role}: {command}: {answer}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_blocked_network_is_closed_at_once_and_comes_back_when_it_is_unblocked() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    let mut inside = from(&gateway, "10.1.2.3", "alice-key").await;
    let mut unknown = try_from(&gateway, "10.1.2.4").await.ok().unwrap();
    let mut elsewhere = from(&gateway, "11.0.0.1", "bob-key").await;
    let block = json!({"command": "block", "network": "10.0.0.0/8", "reason": "too loud"});
    let answer = administer(&mut admin, block.clone()).await;
    let expected = json!({
        "type": "admin", "status": "success", "command": "block",
        "network": "10.0.0.0/8", "closed": 2, "request_id": 7,
    });
    assert_eq!(answer, expected);
    assert_eq!(inside.closed().await, Some(1008));
    assert_eq!(unknown.closed().await, Some(1008));
    assert_eq!(try_from(&gateway, "10.200.0.1").await.err(), Some(403));
    assert_eq!(elsewhere.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    let listed = administer(&mut admin, json!({"command": "list_blocks"})).await;
    let row = json!({"network": "10.0.0.0/8", "by": "administrator", "reason": "too loud"});
    assert_eq!((&listed["blocks"], &listed["total"]), (&json!([row]), &json!(1)));
    let unblock = json!({"command": "unblock", "network": "10.0.0.0/8"});
    assert_eq!(administer(&mut admin, unblock.clone()).await["status"], "success");
    assert_eq!(administer(&mut admin, unblock).await["code"], "INVALID_PARAMETERS");
    from(&gateway, "10.1.2.3", "alice-key").await;
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_blocks_itself_or_this_machine() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    for (network, why) in [
        ("192.0.2.0/24", "That network holds your own address; block it from elsewhere"),
        ("127.0.0.1", "That network holds loopback, which cannot be blocked"),
        ("::1", "That network holds loopback, which cannot be blocked"),
    ] {
        let answer = administer(&mut admin, json!({"command": "block", "network": network})).await;
        assert_eq!(answer["message"], why, "{network}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_is_in_its_handshake_when_it_is_blocked_does_not_get_in() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    let at = gateway.addresses.websocket;
    let mut slow = TcpStream::connect(at).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    gateway.wait_until(|status| status["tasks"]["client"] == 2).await;
    administer(&mut admin, json!({"command": "block", "network": "10.0.0.1"})).await;
    let rest = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    slow.write_all(rest.as_bytes()).await.unwrap();
    let mut page = String::new();
    slow.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_is_authenticating_when_it_is_blocked_or_removed_is_closed() {
    // Nobody answers at the broker's address, so whoever authenticates waits.
    let gateway = gateway_with(|config| {
        let broker = BrokerEntry { name: "far".into(), ..BrokerEntry::paper() };
        let address = Some("tcp://127.0.0.1:1".into());
        let remote = BrokerEntry { kind: BrokerKind::Remote, address, ..broker };
        config.brokers = vec![remote];
    })
    .await;
    let local = gateway.administrator();
    let authenticate = r#"{"action":"authenticate","api_key":"alice-key"}"#;
    for (command, code) in [
        (r#"{"action":"admin","command":"remove_user","user":"alice"}"#, 4403),
        (r#"{"action":"admin","command":"block","network":"10.0.0.1"}"#, 1008),
    ] {
        let mut client = try_from(&gateway, "10.0.0.1").await.ok().unwrap();
        client.send(authenticate).await;
        gateway.wait_until(|status| status["users"][0]["clients"] == 1).await;
        local.administer(command_of(command)).await.unwrap();
        assert_eq!(client.closed().await, Some(code));
        gateway.wait_until(|status| status["clients"]["total"] == 0).await;
    }
    assert_eq!(try_from(&gateway, "10.0.0.1").await.err(), Some(403));
    gateway.stop().await;
}

fn command_of(json: &str) -> AdminCommand {
    let incoming = tickgate::protocol::parse_request(json.as_bytes(), &Default::default());
    match incoming.body.unwrap() {
        tickgate::protocol::Request::Admin(command) => command,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_removed_user_is_closed_and_stays_out_for_its_time() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "super_admin").await;
    let mut phone = from(&gateway, "10.0.0.1", "alice-key").await;
    let mut desk = from(&gateway, "10.0.0.2", "alice-key").await;
    let remove = json!({"command": "remove_user", "user": "alice", "for_ms": 3_600_000});
    let answer = administer(&mut admin, remove).await;
    assert_eq!((&answer["closed"], &answer["for_ms"]), (&json!(2), &json!(3_600_000)));
    assert_eq!(phone.closed().await, Some(4403));
    assert_eq!(desk.closed().await, Some(4403));
    let mut again = try_from(&gateway, "10.0.0.1").await.ok().unwrap();
    let refused = again.ask(r#"{"action":"authenticate","api_key":"alice-key"}"#).await;
    assert_eq!(refused["code"], "FORBIDDEN");
    assert_eq!(refused["message"], "This user was removed by an administrator");
    let let_in = json!({"command": "remove_user", "user": "alice", "for_ms": 0});
    administer(&mut admin, let_in).await;
    again.enter("alice-key").await;
    let itself = administer(&mut admin, json!({"command": "remove_user", "user": "super_admin"}));
    assert_eq!(itself.await["message"], "You cannot remove your own user");
    gateway.stop().await;
}

#[tokio::test]
async fn a_broadcast_reaches_everyone_who_has_authenticated_and_no_one_else() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    let mut alice = from(&gateway, "10.0.0.1", "alice-key").await;
    let mut nobody = try_from(&gateway, "10.0.0.1").await.ok().unwrap();
    let message = "closing at 16:00 – \"save\" your work";
    administer_only(&mut admin, json!({"command": "broadcast", "message": message})).await;
    for client in [&mut admin, &mut alice] {
        let notice = client.next().await;
        assert_eq!((&notice["type"], &notice["message"]), (&"notice".into(), &message.into()));
        assert!(notice["timestamp"].as_u64().is_some_and(|ms| ms > 1_500_000_000_000));
    }
    assert_eq!(admin.next().await["reached"], 2);
    let pong = nobody.ask(r#"{"action":"ping"}"#).await;
    assert_eq!(pong["type"], "pong", "nothing came before it");
    gateway.stop().await;
}

async fn administer_only(client: &mut Client, mut fields: Value) {
    fields["action"] = "admin".into();
    client.send(&fields.to_string()).await;
}

#[tokio::test]
async fn clients_are_listed_with_who_and_where_they_are() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    let mut alice = from(&gateway, "10.0.0.1", "alice-key").await;
    let subscribe = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#;
    alice.ask(subscribe).await;
    let _nobody = try_from(&gateway, "10.0.0.2").await.ok().unwrap();
    gateway.wait_until(|status| status["clients"]["total"] == 3).await;
    let mut list = async |fields| {
        let answer = administer(&mut admin, fields).await;
        let rows = answer["clients"].as_array().unwrap().iter().map(|row| {
            assert!(row["since"].as_u64().is_some_and(|ms| ms > 1_500_000_000_000));
            let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            let topics = &row["topics"];
            format!("{} {} {} {topics}", text("user"), text("role"), text("address"))
        });
        (rows.collect::<Vec<_>>(), answer["total"].as_u64().unwrap())
    };
    let (rows, total) = list(json!({"command": "list_clients"})).await;
    let expected = ["admin admin 192.0.2.1 0", "alice trader 10.0.0.1 1", "- anonymous 10.0.0.2 0"];
    assert_eq!((rows, total), (expected.map(String::from).to_vec(), 3));
    let (rows, total) = list(json!({"command": "list_clients", "user": "alice"})).await;
    assert_eq!((rows.len(), total), (1, 1));
    let ten = json!({"command": "list_clients", "address": "10.0.0.0/8", "limit": 1});
    let (rows, total) = list(ten).await;
    assert_eq!((rows.len(), total), (1, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn one_client_can_be_closed_by_its_number() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    let mut alice = from(&gateway, "10.0.0.1", "alice-key").await;
    let list = json!({"command": "list_clients", "user": "alice"});
    let number = administer(&mut admin, list).await["clients"][0]["client"].clone();
    let close = json!({"command": "close_client", "client": number});
    assert_eq!(administer(&mut admin, close).await["client"], number);
    assert_eq!(alice.closed().await, Some(4403));
    gateway.stop().await;
}

#[tokio::test]
async fn requests_around_a_command_are_answered_in_their_order() {
    let gateway = gateway().await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    for round in 0..50 {
        for request in [
            r#"{"action":"ping"}"#,
            r#"{"action":"admin","command":"list_blocks"}"#,
            r#"{"action":"get_supported_brokers"}"#,
        ] {
            admin.send(request).await;
        }
        for expected in ["pong", "admin", "supported_brokers"] {
            assert_eq!(admin.next().await["type"], expected, "round {round}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_done_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let gateway = gateway_with(|config| config.audit.file = Some(file.clone())).await;
    let mut admin = from(&gateway, "192.0.2.1", "admin").await;
    administer(&mut admin, json!({"command": "block", "network": "10.0.0.0/8"})).await;
    administer(&mut admin, json!({"command": "block", "network": "192.0.2.0/24"})).await;
    let mut alice = from(&gateway, "11.0.0.1", "alice-key").await;
    for _ in 0..3 {
        administer(&mut alice, json!({"command": "unblock", "network": "10.0.0.0/8"})).await;
    }
    let local = gateway
        .administrator()
        .administer(AdminCommand::Broadcast { message: "the secret of the day".into() });
    assert_eq!(local.await, Ok(AdminAnswer::Broadcast { reached: 2 }));
    gateway.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("secret of the day"), "free text stays out");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = lines.filter(|line| line["event"] == "admin_action").map(|line| {
        let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        let words = ["by", "user", "address", "command", "target", "outcome"].map(text);
        words.join(" ")
    });
    let expected = [
        "admin admin 192.0.2.1 block 10.0.0.0/8 done",
        "admin admin 192.0.2.1 block 192.0.2.0/24 INVALID_PARAMETERS",
        "alice alice 11.0.0.1 unblock - FORBIDDEN",
        "alice alice 11.0.0.1 unblock - FORBIDDEN",
        "local - - broadcast - done",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_gateway_that_has_stopped_says_so() {
    let gateway = gateway().await;
    let administrator = gateway.administrator().clone();
    gateway.stop().await;
    let asked = administrator.administer(AdminCommand::ListBlocks);
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("in time");
    assert_eq!(answer.unwrap_err().message, "Server is shutting down");
}

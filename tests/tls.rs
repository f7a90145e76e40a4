//! TLS towards clients, over real sockets.
#![expect(
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests talk to the gateway over real sockets"
)]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tickgate::auth::KeyTable;
use tickgate::config::Config;
use tickgate::runtime::TokioRuntime;
use tickgate::server::{Certificate, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ProtocolVersion, version};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{self, Client, Publisher, TestGateway, quiet_market};
use crate::tls_support::{BOTH, Pair, connect, write_private};

type TlsClient = Client<TlsStream<TcpStream>>;

async fn client(connector: &TlsConnector, address: SocketAddr) -> TlsClient {
    let stream = connect(connector, address).await.expect("a handshake");
    Client::upgrade(stream, &format!("wss://{address}/")).await
}

/// A gateway with this certificate.
async fn gateway(pair: &Pair, change: impl FnOnce(&mut Config)) -> (TestGateway, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let gateway = TestGateway::start_with(|config| {
        pair.install(directory.path(), config);
        change(config);
    });
    (gateway.await, directory)
}

#[tokio::test]
async fn clients_are_served_over_tls_1_2_and_1_3() {
    let pair = Pair::new();
    let (gateway, _directory) = gateway(&pair, |_| {}).await;
    for (versions, expected) in [
        (&[&version::TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        for alpn in [&[][..], &[&b"http/1.1"[..]], &[b"h2", b"http/1.1"]] {
            let connector = pair.connector_for(versions, alpn);
            let stream = connect(&connector, gateway.addresses.websocket).await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(expected));
            let chosen = (!alpn.is_empty()).then_some(&b"http/1.1"[..]);
            assert_eq!(session.alpn_protocol(), chosen);
            let mut client = Client::upgrade(stream, "wss://localhost/").await;
            client.enter("alice-key").await;
            let request = r#"{"action":"subscribe","symbol":"A","exchange":"NSE","mode":1}"#;
            assert_eq!(client.ask(request).await["status"], "success");
            assert_eq!(client.next().await["type"], "market_data");
        }
    }
    gateway.stop().await;
}

/// A ClientHello that knows TLS 1.1 at most.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    // No session, one cipher suite, no compression; signatures by ECDSA, the group P-256.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn whatever_is_no_tls_of_today_is_turned_away_and_nothing_else_happens() {
    let pair = Pair::new();
    let (gateway, _directory) = gateway(&pair, |_| {}).await;
    let address = gateway.addresses.websocket;
    let mut guest = client(&pair.connector(BOTH), address).await;
    let hello = hello_of_tls_1_1();
    let long = vec![0x16; 100_000];
    let first_words: [(&[u8], Option<u8>); 4] = [
        // 70: protocol_version.
        (&hello, Some(70)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
        (b"\x00\xff nonsense", None),
        (&long, None),
    ];
    for (number, (words, alert)) in (1..).zip(first_words) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(words).await;
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
        // It may be cut off while it still speaks.
        let _ = reading.await.expect("it is not kept waiting");
        assert!(!answer.starts_with(b"HTTP"), "nothing but TLS is spoken here");
        if let Some(alert) = alert {
            assert_eq!((answer[0], answer[5], answer[6]), (21, 2, alert), "{answer:?}");
        }
        gateway.wait_until(|status| status["clients"]["turned_away_total"] == number).await;
    }
    let h2 = pair.connector_for(BOTH, &[b"h2"]);
    connect(&h2, address).await.expect_err("HTTP/2 is not spoken here");
    gateway.wait_until(|status| status["clients"]["turned_away_total"] == 5).await;
    gateway.wait_until(|status| status["gate"]["connections"] == 1).await;
    assert_eq!(guest.ask(r#"{"action":"ping"}"#).await["type"], "pong");
    gateway.stop().await;
}

#[tokio::test]
async fn half_a_handshake_gives_its_place_back() {
    let pair = Pair::new();
    let (gateway, _directory) = gateway(&pair, |config| {
        config.server.handshake_timeout_ms = 300;
        config.limits.connections_per_address_max = 5;
    })
    .await;
    let address = gateway.addresses.websocket;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The head of a record, of which the rest never comes.
        stream.write_all(&[22, 3, 1, 0, 200, 1, 0, 0]).await.unwrap();
        held.push(stream);
    }
    gateway.wait_until(|status| status["clients"]["turned_away_total"] == 5).await;
    gateway.wait_until(|status| status["gate"]["connections"] == 0).await;
    client(&pair.connector(BOTH), address).await;
    // TLS is done and HTTP does not come: the same deadline.
    let mute = connect(&pair.connector(BOTH), address).await.unwrap();
    gateway.wait_until(|status| status["clients"]["turned_away_total"] == 6).await;
    gateway.wait_until(|status| status["gate"]["connections"] == 0).await;
    drop((held, mute));
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_may_not_come_in_is_told_so_over_tls() {
    let pair = Pair::new();
    let (gateway, _directory) =
        gateway(&pair, |config| config.limits.connections_per_address_max = 1).await;
    let address = gateway.addresses.websocket;
    let _guest = client(&pair.connector(BOTH), address).await;
    let mut stream = connect(&pair.connector(BOTH), address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("it ends with close_notify");
    assert!(page.starts_with("HTTP/1.1 429 "), "{page}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_clients_and_the_others_notice_nothing() {
    let (old, new) = (Pair::new(), Pair::new());
    let (gateway, directory) = gateway(&old, quiet_market).await;
    let address = gateway.addresses.websocket;
    let mut guest = client(&old.connector(BOTH), address).await;
    guest.enter("alice-key").await;
    let request = r#"{"action":"subscribe","symbol":"TCS","exchange":"NSE","mode":1}"#;
    assert_eq!(guest.ask(request).await["status"], "success");
    let publisher = Publisher::connect(&gateway).await;
    let mut ticks = async |price: &str| {
        loop {
            publisher.send("NSE_TCS_LTP", &format!(r#"{{"ltp":{price}}}"#)).await;
            if guest.next_text().await.contains(price) {
                break;
            }
        }
    };
    ticks("101.25").await;

    new.write(directory.path());
    assert_eq!(gateway.reload_certificate(), Ok(()));
    connect(&old.connector(BOTH), address).await.expect_err("another certificate is shown now");
    client(&new.connector(BOTH), address).await;
    ticks("102.50").await;

    // The new certificate with the old key.
    write_private(&directory.path().join("key.pem"), &old.key);
    let bad = gateway.reload_certificate().unwrap_err();
    assert!(bad.contains("is not the key of the certificate in"), "{bad}");
    client(&new.connector(BOTH), address).await;
    std::fs::remove_file(directory.path().join("certificate.pem")).unwrap();
    let bad = gateway.reload_certificate().unwrap_err();
    assert!(bad.contains("there is no such file"), "{bad}");
    client(&new.connector(BOTH), address).await;
    ticks("103.75").await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_slow_reader_is_owed_arrives_up_to_the_close_frame() {
    let pair = Pair::new();
    let (gateway, _directory) = gateway(&pair, |config| {
        config.outbox.control_bytes_max = 64 * 1_048_576;
        config.server.close_timeout_ms = 30_000;
        config.server.drain_timeout_ms = 30_000;
    })
    .await;
    let mut client = client(&pair.connector(BOTH), gateway.addresses.websocket).await;
    client.enter("alice-key").await;
    // Each is answered with a line for each symbol, some 100 kB.
    let symbol = r#"{"symbol":"NOBODY","exchange":"NSE","mode":1}"#;
    let symbols = [symbol; 1_000].join(",");
    for number in 0..120 {
        let request =
            format!(r#"{{"action":"unsubscribe","request_id":{number},"symbols":[{symbols}]}}"#);
        client.send(&request).await;
    }
    gateway
        .wait_until(|status| status["shards"][0]["outbox_bytes"].as_u64() > Some(1_000_000))
        .await;
    let stopping = common::spawn(gateway.stop());
    // Requests that were not read yet are not answered; what was answered comes whole.
    let mut answers = 0;
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), client.0.next()).await;
        match message.expect("in time").expect("no end before the close").expect("a good frame") {
            Message::Text(text) => {
                let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(answer["request_id"], answers);
                answers += 1;
            }
            Message::Close(frame) => {
                assert_eq!(frame.map(|frame| frame.code.into()), Some(1012));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(answers > 10, "only {answers} answers waited");
    drop(client);
    stopping.await.unwrap();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (pair, other) = (Pair::new(), Pair::new());
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".into();
    config.admin.listen = String::new();
    config.bus.bind = vec!["tcp://127.0.0.1:0".into()];
    pair.install(directory.path(), &mut config);
    let (certificate, key) = pair.write(directory.path());
    let told = async |config: &Config| {
        let started = Gateway::start(TokioRuntime::new(), config.clone(), KeyTable::new()).await;
        let told = started.err().expect("it does not start").to_string();
        assert_eq!(Certificate::read(&config.server).unwrap_err().to_string(), told);
        told.replace(directory.path().to_str().unwrap(), "DIR")
    };
    let mut story = Vec::new();

    write_private(&key, &other.key);
    story.push(told(&config).await);
    write_private(&key, "");
    story.push(told(&config).await);
    write_private(&key, &pair.certificate);
    story.push(told(&config).await);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(&key, mode).unwrap();
        story.push(told(&config).await);
    }
    write_private(&key, &pair.key);
    for text in ["", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", &pair.key] {
        std::fs::write(&certificate, text).unwrap();
        story.push(told(&config).await);
    }
    std::fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    story.push(told(&config).await);
    std::fs::remove_file(&certificate).unwrap();
    story.push(told(&config).await);
    insta::assert_snapshot!(story.join("\n"));
}

#[test]
fn a_certificate_says_until_when_it_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    assert!(Certificate::read(&config.server).unwrap().is_none(), "none is named");
    Pair::expiring(2030).install(directory.path(), &mut config);
    let certificate = Certificate::read(&config.server).unwrap().expect("one is named");
    let new_year = 1_893_456_000_000;
    assert_eq!(certificate.expires_unix_ms(), new_year);
    let day = 86_400_000;
    assert!(!certificate.expires_soon(new_year - 14 * day));
    assert!(certificate.expires_soon(new_year - 14 * day + 1));
    assert!(certificate.expires_soon(new_year + day));
}

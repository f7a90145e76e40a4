//! What end-to-end tests share: a gateway on free loopback ports, and a client.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests talk to the gateway over real sockets, from tasks of their own"
)]

pub mod agreeing;
pub mod knock;
pub mod ledger;
pub mod malformed;
pub mod program;
pub mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use serde_json::value::RawValue;
use tickgate::auth::{Credentials, KeyTable};
use tickgate::config::{BrokerEntry, Config};
use tickgate::runtime::TokioRuntime;
use tickgate::server::{Addresses, Administrator, Gateway};
use tickgate::zmtp::{Message, Options, Pub};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How long anything in a test may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway in this process.
pub struct TestGateway {
    gateway: Gateway,
    pub runtime: TokioRuntime,
    pub addresses: Addresses,
}

impl TestGateway {
    /// Paper broker, users `alice` and `bob` with the keys `alice-key` and `bob-key`.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let keys = KeyTable::new().with_key("alice-key", "alice".into(), None).with_key(
            "bob-key",
            "bob".into(),
            None,
        );
        Self::start_knowing(keys, change).await
    }

    pub async fn start_knowing(
        credentials: impl Into<Credentials>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".into();
        config.admin.listen = "127.0.0.1:0".into();
        config.bus.bind = vec!["tcp://127.0.0.1:0".into()];
        change(&mut config);
        ledger::log();
        if config.audit.file.is_none() {
            config.audit.file = ledger::audit_file();
        }
        let runtime = TokioRuntime::new();
        let gateway = Gateway::start(runtime.clone(), config, credentials).await.unwrap();
        let addresses = gateway.addresses().clone();
        Self { gateway, runtime, addresses }
    }

    /// Has the certificate read again.
    pub fn reload_certificate(&self) -> Result<(), String> {
        self.gateway.reload_certificate().map(drop).map_err(|bad| bad.to_string())
    }

    /// What an administrator on this machine can have done.
    pub fn administrator(&self) -> &Administrator {
        self.gateway.administrator()
    }

    pub async fn stop(self) {
        if let Some(admin) = self.addresses.admin {
            for (name, path) in [("metrics", "/metrics"), ("status", "/status")] {
                let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
                ledger::said(name, &http(admin, &request).await);
            }
        }
        self.gateway.stop().await;
    }

    /// A connection that is accepted and then says nothing.
    pub async fn silent(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses.websocket).await.unwrap();
        self.wait_until(|status| status["tasks"]["client"] == 1).await;
        stream
    }

    /// The page `/status`, as an operator reads it.
    pub async fn status(&self) -> Value {
        let request = "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let page = http(self.addresses.admin.unwrap(), request).await;
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {page}"))
    }

    /// Waits until the status page shows something.
    pub async fn wait_until(&self, condition: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !condition(&self.status().await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("still waiting: {:#}", self.status().await);
        }
    }
}

/// Reads an object. A field that no [`Value`] can hold (1e999 is JSON, and is echoed) is its text.
fn parse(text: &str) -> Value {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
    let read = |raw: &RawValue| {
        serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()))
    };
    fields.iter().map(|(name, raw)| (name.clone(), read(raw))).collect()
}

/// Sends a request as it stands and reads the page until its end.
pub async fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut page)).await.unwrap().unwrap();
    page
}

/// A paper broker that sends each topic's first tick and then as good as nothing.
pub fn quiet_market(config: &mut Config) {
    let mut paper = BrokerEntry::paper();
    paper.ticks_per_second = Some(0.01);
    config.brokers = vec![paper];
}

/// A publisher on the bus, by way of our own PUB.
pub struct Publisher(Pub);

impl Publisher {
    /// Returns when the gateway's subscription has arrived.
    pub async fn connect(gateway: &TestGateway) -> Self {
        let address = gateway.addresses.bus[0].to_string();
        let publisher = Pub::connect(&gateway.runtime, Options::default(), 10_000, &address);
        let publisher = Self(publisher);
        let before = gateway.status().await["feed"]["messages_total"].clone();
        let waiting = async {
            while gateway.status().await["feed"]["messages_total"] == before {
                publisher.send("NSE_NOBODY_LTP", "{}").await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a connection to the bus");
        publisher
    }

    pub async fn send(&self, topic: &str, payload: &str) {
        let parts = vec![Bytes::from(topic.to_owned()), Bytes::from(payload.to_owned())];
        self.0.publish(Message::from(parts));
    }
}

/// Starts a task of the test's own.
pub fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// A WebSocket client.
pub struct Client<S = TcpStream>(pub WebSocketStream<S>);

impl Client {
    pub async fn connect(gateway: &TestGateway) -> Self {
        Self::connect_to(gateway, "/").await
    }

    /// Connects to a channel.
    pub async fn connect_to(gateway: &TestGateway, path: &str) -> Self {
        let address = gateway.addresses.websocket;
        let stream = TcpStream::connect(address).await.unwrap();
        Self::upgrade(stream, &format!("ws://{address}{path}")).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a connection that is there already.
    pub async fn upgrade(stream: S, url: &str) -> Self {
        let config = WebSocketConfig::default().read_buffer_size(4_096);
        let upgrade = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        Self(upgrade.await.unwrap().0)
    }

    /// Authenticates.
    pub async fn enter(&mut self, key: &str) {
        let request = format!(r#"{{"action":"authenticate","api_key":"{key}"}}"#);
        let answer = self.ask(&request).await;
        assert_eq!(answer["status"], "success", "{answer}");
    }

    /// Whether nothing arrives for a while.
    pub async fn is_quiet(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.0.next()).await.is_err()
    }

    pub async fn send(&mut self, text: &str) {
        ledger::request(text);
        self.0.send(WsMessage::text(text)).await.unwrap();
    }

    /// Sends a message that the gateway may not be reading any more.
    pub async fn try_send(&mut self, text: &str) -> Result<(), String> {
        let sending = self.0.send(WsMessage::text(text));
        match tokio::time::timeout(Duration::from_secs(1), sending).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("the socket is full".to_owned()),
        }
    }

    /// The next message as JSON.
    pub async fn next(&mut self) -> Value {
        parse(&self.next_text().await)
    }

    /// Sends a request and returns the next message, whatever it is.
    pub async fn next_after(&mut self, request: &str) -> Value {
        self.send(request).await;
        self.next().await
    }

    /// The next message as it was sent.
    pub async fn next_text(&mut self) -> String {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match message.expect("a message").expect("a good frame") {
                WsMessage::Text(text) => {
                    if text.contains(r#""error""#) {
                        ledger::said("refusals", &text);
                    }
                    return text.to_string();
                }
                WsMessage::Ping(_) | WsMessage::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Sends a request and waits for its answer, ticks aside.
    pub async fn ask(&mut self, request: &str) -> Value {
        self.send(request).await;
        loop {
            let message = self.next().await;
            if message["type"] != "market_data" {
                return message;
            }
        }
    }

    /// Reads until the connection is closed; the close code, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time") {
                Some(Ok(WsMessage::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

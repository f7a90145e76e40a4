//! What end-to-end tests share: a gateway on free loopback ports, and a client.
#![expect(clippy::disallowed_types, reason = "tests talk to the gateway over real sockets")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tickgate::config::Config;
use tickgate::runtime::TokioRuntime;
use tickgate::server::auth::KeyTable;
use tickgate::server::{Addresses, Gateway};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

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
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".into();
        config.admin.listen = "127.0.0.1:0".into();
        config.bus.bind = vec!["tcp://127.0.0.1:0".into()];
        change(&mut config);
        let keys = KeyTable::new().with_key("alice-key", "alice".into(), None).with_key(
            "bob-key",
            "bob".into(),
            None,
        );
        let runtime = TokioRuntime::new();
        let gateway = Gateway::start(runtime.clone(), config, keys).await.unwrap();
        let addresses = gateway.addresses().clone();
        Self { gateway, runtime, addresses }
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
    }
}

/// A WebSocket client.
pub struct Client(pub WebSocketStream<TcpStream>);

impl Client {
    pub async fn connect(gateway: &TestGateway) -> Self {
        let address = gateway.addresses.websocket;
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/");
        Self(tokio_tungstenite::client_async(url, stream).await.unwrap().0)
    }

    pub async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message as JSON.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            match message.expect("a message").expect("a good frame") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
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
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

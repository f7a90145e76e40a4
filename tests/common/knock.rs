//! Upgrade requests, written by hand.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{TestGateway, ledger};

pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the gateway says to an upgrade request with these headers, for this target.
pub async fn knock(gateway: &TestGateway, target: &str, headers: &str) -> Page {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n");
    Page::of(gateway.addresses.websocket, &request).await
}

/// An HTTP answer; what follows an upgrade is the first frame.
pub struct Page {
    pub head: String,
    pub body: Vec<u8>,
}

impl Page {
    /// Reads the head, and what there is behind it within a moment.
    pub async fn of(address: SocketAddr, request: &str) -> Self {
        ledger::upgrade(request);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let (head, body) = (bytes[..end].to_vec(), bytes[end + 4..].to_vec());
                let upgraded = head.starts_with(b"HTTP/1.1 101");
                let wanted = if upgraded { is_frame(&body) } else { false };
                if wanted {
                    return Self { head: String::from_utf8(head).unwrap(), body };
                }
            }
            let mut more = [0; 4096];
            let read = stream.read(&mut more);
            match tokio::time::timeout(Duration::from_secs(5), read).await.expect("in time") {
                Ok(0) | Err(_) => {
                    let end = end.expect("a head");
                    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                    return Self { head, body: bytes[end + 4..].to_vec() };
                }
                Ok(read) => bytes.extend_from_slice(&more[..read]),
            }
        }
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.head))
    }

    /// The first message behind the upgrade.
    pub fn first(&self) -> Value {
        let payload = if self.body[1] < 126 { &self.body[2..] } else { &self.body[4..] };
        let mut values = serde_json::Deserializer::from_slice(payload).into_iter();
        values.next().unwrap().unwrap()
    }
}

/// Whether a whole frame is there.
fn is_frame(bytes: &[u8]) -> bool {
    match bytes {
        [_, 126, high, low, rest @ ..] => {
            rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        [_, length, rest @ ..] => rest.len() >= usize::from(*length),
        _ => false,
    }
}

/// The status of the answer to an upgrade request, and the connection: what follows is not awaited.
pub async fn knock_status(gateway: &TestGateway, target: &str, headers: &str) -> (u16, TcpStream) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n");
    ledger::upgrade(&request);
    let mut stream = TcpStream::connect(gateway.addresses.websocket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let reading = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.expect("in time").unwrap();
    (std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap(), stream)
}

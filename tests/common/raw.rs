//! A connection of which every byte is the test's own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a WebSocket client asks for, behind the request line and `Host`.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: its first byte (FIN, reserved bits, opcode) and its payload, masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The head of a client's frame that says to be so long.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..=125 => head.push(0x80 | length as u8),
        126..=65_535 => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend(MASK);
    head
}

/// A connection, and what has come over it that nobody has looked at.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// One that is through the upgrade, with these headers besides those that it takes.
    pub async fn upgraded(address: SocketAddr, headers: &str) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(request("/", headers).as_bytes()).await;
        let head = raw.head().await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Sends as much of this as the other side takes.
    pub async fn send(&mut self, bytes: &[u8]) {
        // Whoever is refused may find the connection gone while it still speaks.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Whether the other side has ended the connection; what it has said is kept.
    pub async fn is_over(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.more()).await, Ok(false))
    }

    /// The head of an HTTP answer; `None` if the connection ends without one.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.more_in_time().await {
                return None;
            }
        }
    }

    /// The next frame: its first byte and its payload. `None` if the connection ends without one.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let sizes = match *self.unread.as_slice() {
                [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
                [_, length @ 0..126, ..] => Some((2, usize::from(length))),
                [_, 127, a, b, c, d, e, f, g, h, ..] => {
                    Some((10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize))
                }
                _ => None,
            };
            if let Some((head, length)) = sizes
                && self.unread.len() >= head + length
            {
                let frame: Vec<u8> = self.unread.drain(..head + length).collect();
                return Some((frame[0], frame[head..].to_vec()));
            }
            if !self.more_in_time().await {
                return None;
            }
        }
    }

    /// Reads until the connection is closed; the close code, if there was one.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Some((0x88, said)) => {
                    return said.first_chunk().map(|code| u16::from_be_bytes(*code));
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    async fn more_in_time(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.more()).await.expect("an answer in time")
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        match self.stream.read(&mut bytes).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.unread.extend_from_slice(&bytes[..read]);
                true
            }
        }
    }
}

/// An upgrade request.
pub fn request(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n")
}

/// The status with which a request is answered; `None` if it is not.
pub async fn status(address: SocketAddr, request: &str) -> Option<u16> {
    let mut raw = Raw::connect(address).await;
    raw.send(request.as_bytes()).await;
    let head = raw.head().await?;
    Some(head.split(' ').nth(1).unwrap().parse().unwrap())
}

//! A peer that does exactly what a test tells it to.

use bytes::Bytes;
use tickgate::runtime::{Listener, Runtime};
use tickgate::zmtp::Message;
use tickgate::zmtp::codec::{
    Command, Decoder, GREETING, GREETING_BYTES, Item, Limits, encode_command, encode_message,
    encode_ready,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::memory::{Bound, Memory, Stream};

pub struct Raw {
    pub stream: Stream,
    decoder: Decoder,
}

impl Raw {
    pub fn new(stream: Stream) -> Self {
        let limits =
            Limits { frame_bytes_max: 16 << 20, parts_max: 1_000, message_bytes_max: 16 << 20 };
        Self { stream, decoder: Decoder::new(limits) }
    }

    /// Connects and says nothing.
    pub async fn connect(network: &Memory, addr: impl ToString) -> Self {
        Self::new(network.connect(&addr.to_string()).await.expect("somebody listens"))
    }

    /// Waits to be connected to, and says nothing.
    pub async fn accept(listener: &mut Bound) -> Self {
        Self::new(listener.accept().await.expect("network is up").0)
    }

    /// Does the handshake of ZMTP 3.`minor`.
    pub async fn greet(mut self, socket_type: &str, minor: u8) -> Self {
        let mut hello = GREETING.to_vec();
        hello[11] = minor;
        encode_ready(socket_type, &mut hello);
        self.write(&hello).await;
        while self.decoder.buffered().len() < GREETING_BYTES {
            assert!(self.fill().await, "closed instead of a greeting");
        }
        self.decoder.skip(GREETING_BYTES);
        let Some(Item::Command(ready)) = self.next().await else { panic!("not READY") };
        assert!(matches!(Command::parse(ready), Ok(Command::Ready(_))));
        self
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("still connected");
    }

    pub async fn send(&mut self, parts: &[&[u8]]) {
        let mut out = Vec::new();
        encode_message(&message(parts), &mut out);
        self.write(&out).await;
    }

    pub async fn command(&mut self, name: &str, body: &[u8]) {
        let mut out = Vec::new();
        encode_command(name, body, &mut out);
        self.write(&out).await;
    }

    /// The next message or command; none once the connection is closed.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.decoder.next_item().expect("we send good frames") {
                return Some(item);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next message; commands are passed over.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            match self.next().await? {
                Item::Message(message) => return Some(message),
                Item::Command(_) => {}
            }
        }
    }

    /// Reads until the connection is closed. Returns the commands that came.
    pub async fn closed(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(item) = self.next().await {
            if let Item::Command(body) = item {
                commands.push(Command::parse(body).expect("we send good commands"));
            }
        }
        commands
    }

    async fn fill(&mut self) -> bool {
        let count = self.stream.read_buf(self.decoder.read_buffer()).await.unwrap_or(0);
        self.decoder.filled(count);
        count > 0
    }
}

pub fn message(parts: &[&[u8]]) -> Message {
    Message::from_parts(parts.iter().map(|part| Bytes::copy_from_slice(part)))
}

//! A connection whose handshake is done.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::command::{Command, Ready};
use super::decoder::{Decoder, Item, Limits};
use super::fault::{Fault, ProtocolError};
use super::options::Options;
use super::wire::{GREETING, GREETING_BYTES, encode_command, encode_ready, parse_greeting};

/// Bytes of a command during the handshake.
const HANDSHAKE_FRAME_BYTES_MAX: usize = 8 << 10;

/// Kinds of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketType {
    Pub,
    Sub,
    Dealer,
    Router,
}

impl SocketType {
    const fn name(self) -> &'static str {
        match self {
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
        }
    }

    /// Whether a peer of this type makes sense (RFC 37, "Socket Type").
    fn fits(self, peer: &str) -> bool {
        let fitting: &[&str] = match self {
            Self::Pub => &["SUB", "XSUB"],
            Self::Sub => &["PUB", "XPUB"],
            Self::Dealer => &["REP", "DEALER", "ROUTER"],
            Self::Router => &["REQ", "DEALER", "ROUTER"],
        };
        fitting.contains(&peer)
    }
}

/// A connection to a peer of a fitting type.
#[derive(Debug)]
pub(super) struct Link<S> {
    pub(super) stream: S,
    pub(super) decoder: Decoder,
    /// Whether the peer knows PING.
    pub(super) heartbeats: bool,
    /// What the peer calls itself.
    pub(super) identity: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link<S> {
    /// Does the handshake on what `connecting` yields, all within the handshake timeout.
    pub(super) async fn open(
        connecting: impl Future<Output = std::io::Result<S>> + Send,
        own: SocketType,
        options: &Options,
    ) -> Result<Self, Fault> {
        let opening = async {
            let mut stream = connecting.await?;
            let mut decoder = Decoder::new(handshake_limits(options));
            match greet(&mut stream, &mut decoder, own).await {
                Ok((minor, ready)) => {
                    decoder.set_limits(Limits::from(options));
                    let identity = ready.identity;
                    Ok(Self { stream, decoder, heartbeats: minor >= 1, identity })
                }
                Err(fault) => {
                    if let Fault::Protocol(error) = &fault {
                        tell(&mut stream, error).await;
                    }
                    Err(fault)
                }
            }
        };
        timeout(options.handshake_timeout, opening).await.unwrap_or(Err(Fault::HandshakeTimeout))
    }
}

const fn handshake_limits(options: &Options) -> Limits {
    let frame_bytes_max = if options.frame_bytes_max < HANDSHAKE_FRAME_BYTES_MAX {
        options.frame_bytes_max
    } else {
        HANDSHAKE_FRAME_BYTES_MAX
    };
    Limits { frame_bytes_max, parts_max: 0, message_bytes_max: 0 }
}

/// Exchanges greetings, then READY.
async fn greet<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    own: SocketType,
) -> Result<(u8, Ready), Fault> {
    stream.write_all(&GREETING).await?;
    let greeting = loop {
        if let Some(greeting) = parse_greeting(decoder.buffered())? {
            break greeting;
        }
        fill(stream, decoder).await?;
    };
    decoder.skip(GREETING_BYTES);

    let mut ready = Vec::new();
    encode_ready(own.name(), &mut ready);
    stream.write_all(&ready).await?;
    let body = loop {
        match decoder.next_item() {
            Ok(Some(Item::Command(body))) => break body,
            // No message may come before READY: the limits of the handshake allow none.
            Ok(Some(Item::Message(_))) | Err(ProtocolError::TooManyParts { .. }) => {
                return Err(ProtocolError::NotReady.into());
            }
            Ok(None) => fill(stream, decoder).await?,
            Err(error) => return Err(error.into()),
        }
    };
    match Command::parse(body)? {
        Command::Ready(ready) if own.fits(&ready.socket_type) => Ok((greeting.minor, ready)),
        Command::Ready(ready) => Err(ProtocolError::SocketType(ready.socket_type).into()),
        Command::Error(reason) => Err(ProtocolError::Reported(reason).into()),
        Command::Ping { .. }
        | Command::Pong
        | Command::Subscribe(_)
        | Command::Cancel(_)
        | Command::Unknown => Err(ProtocolError::NotReady.into()),
    }
}

async fn fill<S: AsyncRead + Send + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
) -> Result<(), Fault> {
    match stream.read_buf(decoder.read_buffer()).await? {
        0 => Err(Fault::Closed),
        count => {
            decoder.filled(count);
            Ok(())
        }
    }
}

/// Says why, so that the other side's log does. It may be gone already.
async fn tell<S: AsyncWrite + Send + Unpin>(stream: &mut S, error: &ProtocolError) {
    // Answering an ERROR, or whoever does not speak ZMTP, helps nobody.
    let ProtocolError::SocketType(_) = error else { return };
    let reason = "Invalid socket combination";
    let mut body = vec![u8::try_from(reason.len()).unwrap_or(u8::MAX)];
    body.extend_from_slice(reason.as_bytes());
    let mut out = Vec::new();
    encode_command("ERROR", &body, &mut out);
    let _gone = stream.write_all(&out).await;
}

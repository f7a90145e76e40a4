//! What can go wrong with a socket and with a peer.

use std::io;

/// A socket could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct StartError {
    /// Which address, `host:port`.
    pub address: String,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// A peer broke a rule of ZMTP or one of our limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first bytes are not those of a ZMTP peer.
    #[error("not a ZMTP peer")]
    NotZmtp,
    /// The peer speaks ZMTP 2 or older.
    #[error("peer speaks ZMTP {0}, at least 3 is needed")]
    OldVersion(u8),
    /// The peer wants to authenticate or encrypt.
    #[error("peer wants a security mechanism other than NULL")]
    Mechanism,
    /// Something other than READY came first.
    #[error("expected READY")]
    NotReady,
    /// E.g. a PUB that connected to a PUB.
    #[error("peer is a {0} socket, which does not fit")]
    SocketType(String),
    /// A bit that has no meaning is set, or a command announces more frames.
    #[error("frame with bad flags {0:#04x}")]
    Flags(u8),
    /// A frame is longer than allowed. Nothing was allocated for it.
    #[error("frame of {claimed} bytes exceeds the limit of {limit}")]
    FrameTooLong {
        /// What the peer announced.
        claimed: u64,
        /// What is allowed.
        limit: usize,
    },
    /// The frames of a message are longer than allowed together.
    #[error("message exceeds the limit of {limit} bytes")]
    MessageTooLong {
        /// What is allowed.
        limit: usize,
    },
    /// A message has more parts than allowed.
    #[error("message exceeds the limit of {limit} parts")]
    TooManyParts {
        /// What is allowed.
        limit: usize,
    },
    /// A command that cannot be read.
    #[error("malformed {0} command")]
    Malformed(&'static str),
    /// A command that has no place here.
    #[error("unexpected {0} command")]
    Unexpected(&'static str),
    /// A subscriber holds more subscriptions than allowed.
    #[error("too many subscriptions")]
    TooManySubscriptions,
    /// The peer sent ERROR.
    #[error("peer reports an error: {0}")]
    Reported(String),
}

/// Why a connection ended, or never came to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("closed by the peer")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no connection and handshake in time")]
    HandshakeTimeout,
    #[error("heartbeat lost")]
    HeartbeatLost,
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// Nobody listens any more to what the connection brings.
    #[error("no longer needed")]
    Released,
}

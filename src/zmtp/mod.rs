//! ZMTP 3.1 (<https://rfc.zeromq.org/spec/37/>), NULL mechanism, over any [`Runtime`].
//!
//! Four sockets: [`Sub`] and [`Pub`] for ticks, [`Dealer`] and [`Router`] for the control
//! protocol. Each is a handle that owns its tasks: dropping it ends them and closes their
//! sockets. Underneath lies a codec without input or output ([`codec`]).
//!
//! A peer is never trusted: frames, parts, messages, subscriptions and peers are bounded before
//! anything is allocated for them, and a peer that breaks a rule loses its own connection only.
//!
//! The worst that [`PEERS_MAX`] hostile peers can make a socket hold is about twice
//! `message_bytes_max` each, and they have to send that much to get there.
//!
//! Messages share the memory of the read that brought them: a kept part keeps the whole read
//! alive (4 to 64 KiB, or one large frame). Copy what outlives the next few messages.
//!
//! Absent on purpose: other transports than TCP, security mechanisms (bind to loopback or a
//! private network), ZMTP 2 and older, REQ/REP, PUSH/PULL.
//!
//! [`Runtime`]: crate::runtime::Runtime

mod command;
mod connector;
mod counters;
mod dealer;
mod decoder;
mod endpoint;
mod fault;
mod filter;
mod link;
mod listener;
mod message;
mod options;
mod publisher;
mod pump;
mod router;
mod sub;
mod wanted;
mod wire;

pub use dealer::{Dealer, DealerEvent, NotConnected, QUEUE_MESSAGES_MAX};
pub use endpoint::{BadEndpoint, parse_endpoint};
pub use fault::StartError;
pub use filter::{PREFIX_BYTES_MAX, PREFIXES_MAX};
pub use listener::PEERS_MAX;
pub use message::Message;
pub use options::Options;
pub use publisher::{Pub, PubStats};
pub use router::{PeerId, Router, RouterEvent, SendError};
pub use sub::{Sub, SubStats, SubStatsHandle};
pub use wanted::Wanted;

/// Bytes to frames and back, without input or output; for benches, fuzzing and fake peers.
pub mod codec {
    pub use super::command::{Command, Ready};
    pub use super::decoder::{Decoder, Item, Limits};
    pub use super::fault::ProtocolError;
    pub use super::wire::{
        GREETING, GREETING_BYTES, Greeting, encode_command, encode_message, encode_ready,
        encode_subscription, encoded_len, parse_greeting,
    };
}

//! What the clients of a server speak.

use super::client::Greeting;
use super::{nats, wire};

/// Topics that a client asks for in one request.
const TOPICS_PER_REQUEST: usize = 500;

/// A protocol that the load knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Ours, and the bus is ZeroMQ.
    #[default]
    Tickgate,
    /// That of NATS: over WebSockets for clients, over TCP for the publisher.
    Nats,
}

impl Dialect {
    /// What a client says once it is upgraded; how many answers that has.
    pub(super) fn greet(self, out: &mut Vec<u8>, greeting: &Greeting, topics: &[u32]) -> usize {
        match self {
            Self::Tickgate => {
                wire::authenticate(out, &greeting.key);
                let requests = topics.chunks(TOPICS_PER_REQUEST);
                let answers = 1 + requests.len();
                for topics in requests {
                    wire::request(out, "subscribe", topics, 0);
                }
                answers
            }
            Self::Nats => {
                wire::binary(out, &nats::hello(topics));
                1
            }
        }
    }

    /// Asks for a topic (`subscribe`) or for it no longer. There is one answer.
    pub(super) fn ask(self, out: &mut Vec<u8>, subscribe: bool, topic: u32, id: u64) {
        match self {
            Self::Tickgate => {
                let action = if subscribe { "subscribe" } else { "unsubscribe" };
                wire::request(out, action, &[topic], id);
            }
            Self::Nats => wire::binary(out, &nats::ask(subscribe, topic)),
        }
    }
}

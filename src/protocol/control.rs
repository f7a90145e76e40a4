//! The control protocol between a gateway and an adapter host, version 1.
//!
//! An adapter host is a process, in any language, that talks to one broker on behalf of a
//! gateway. The gateway tells it over ZeroMQ which topics to publish; the ticks themselves go
//! over the bus, a ZeroMQ PUB that connects to the gateway's SUB socket.
//!
//! # Transport
//!
//! The host binds a ROUTER, the gateway connects a DEALER. One host may serve several gateways.
//! Every message is one part: a JSON object in UTF-8 of at most [`MESSAGE_BYTES_MAX`] bytes with
//! a `type`. Either side ignores fields and types that it does not know, so that both can grow;
//! it drops and counts what is malformed. Names (`user`, `exchange`, `symbol`, `gateway`,
//! `instance`, `name`) have 1 to [`NAME_BYTES_MAX`] bytes; of a `message` the first
//! [`TEXT_BYTES_MAX`] bytes are kept.
//!
//! # From gateway to host
//!
//! ```json
//! {"type":"hello","version":1,"gateway":"5f0c9a1be2d34476","n":1}
//! {"type":"request","id":17,"op":"connect","user":"alice","session":3,"deadline_ms":15000}
//! {"type":"request","id":18,"op":"subscribe","user":"alice","session":3,"exchange":"NSE","symbol":"RELIANCE","mode":3,"depth":5,"deadline_ms":8000}
//! {"type":"request","id":19,"op":"unsubscribe","user":"alice","session":3,"exchange":"NSE","symbol":"RELIANCE","mode":3,"deadline_ms":8000}
//! {"type":"request","id":20,"op":"unsubscribe_all","user":"alice","session":3,"deadline_ms":8000}
//! {"type":"request","id":21,"op":"disconnect","user":"alice","session":3,"deadline_ms":15000}
//! {"type":"ping","n":4}
//! ```
//!
//! * `hello` opens a fresh start: the host closes every session that it holds for this gateway
//!   and answers `welcome` with the same `n`. `gateway` is random for each life of the gateway.
//!   A gateway may say hello again at any time; only the `welcome` to its latest hello counts.
//! * `request` asks for one thing. `id` is never used twice in a gateway's life. `mode` is 1
//!   (LTP), 2 (Quote) or 3 (Depth). After `deadline_ms` nobody waits for the answer any more.
//! * `connection` says on which of the user's connections the session is, from 0; without it, on
//!   0. Only a gateway that is told to use several (`connections_per_user`) says another.
//! * `"more":true` in a subscribe: another one of the same session follows at once. A host whose
//!   broker takes lists may gather them until one comes without, and call the broker once; each
//!   is still answered by itself. Only a gateway that is told so (`batch_max`) says it.
//! * `ping` is answered with a `pong` that has the same `n`. It is ignored before a `hello`.
//!
//! # From host to gateway
//!
//! ```json
//! {"type":"welcome","version":1,"name":"zerodha-host","instance":"8a1d22e07c54b9f3","n":1}
//! {"type":"answer","id":17,"status":"success"}
//! {"type":"answer","id":18,"status":"success","depth":5}
//! {"type":"answer","id":18,"status":"error","code":"REFUSED","message":"unknown symbol"}
//! {"type":"event","event":"session_lost","user":"alice","session":3,"message":"token expired"}
//! {"type":"pong","n":4}
//! ```
//!
//! * `welcome`: `instance` is random for each life of the host process. A welcome that nobody
//!   asked for means that the host has forgotten everything.
//! * `answer`: exactly one for each request, in any order. `depth` says how many levels of the
//!   book are really sent. `code` is one of
//!   `REFUSED` (unknown symbol, capacity: final until something changes),
//!   `INIT_FAILED` (bad or stale credentials),
//!   `NOT_CONNECTED` (no such session, or the broker cannot be reached) and
//!   `TIMEOUT` (the broker did not answer); anything else counts as `REFUSED`.
//! * `event` with `session_lost`: that session ended without being asked to. Its subscriptions
//!   are gone; the gateway opens a new one if it wants to.
//!
//! # Rules for the host
//!
//! 1. A session belongs to a user's connection, which has at most one. `connect` opens it under
//!    the number `session` and replaces an older one there. `disconnect` closes the connection's
//!    session if it has that number or an older one, and succeeds if there is none: a gateway that
//!    was refused a close, and then a connect, must be able to get rid of what is still open. Any
//!    other request that names another session than the current one is answered
//!    `NOT_CONNECTED`.
//! 2. Requests of one (session, topic) take effect in the order of arrival; `connect`,
//!    `disconnect` and `unsubscribe_all` wait for the connection's earlier requests and hold back
//!    later ones. Apart from that no request may wait for another.
//! 3. Requests are idempotent: subscribing twice or unsubscribing what is not subscribed
//!    succeeds.
//! 4. Pings are answered while requests are being worked on: a gateway that hears nothing for
//!    its heartbeat timeout (10 s by default) takes the host for dead, gives up all its sessions
//!    and says hello until it is welcomed again.
//! 5. When a gateway goes away without a word (no ping for a minute), its sessions are closed.
//!
//! # A complete host in Python
//!
//! Rules 2 and 5 are left to the reader: this one serves one request after the other.
//!
//! ```python
//! import json, secrets, zmq
//!
//! INSTANCE = secrets.token_hex(8)
//! ROUTER = zmq.Context.instance().socket(zmq.ROUTER)
//! ROUTER.bind("tcp://127.0.0.1:5600")
//! greeted = {}    # peer -> id of its gateway
//! sessions = {}   # (user, connection) -> (peer, session number, set of topics)
//!
//! def send(peer, **message):
//!     ROUTER.send_multipart([peer, json.dumps(message).encode()])
//!
//! def close(line):
//!     peer, number, topics = sessions.pop(line)
//!     for topic in topics:
//!         broker_unsubscribe(line, *topic)        # yours
//!     broker_disconnect(line)                     # yours
//!
//! def hello(peer, message):
//!     gateway = message["gateway"]
//!     for old in [p for p, g in greeted.items() if p == peer or g == gateway]:
//!         for line in [at for at, held in sessions.items() if held[0] == old]:
//!             close(line)
//!         del greeted[old]
//!     greeted[peer] = gateway
//!     send(peer, type="welcome", version=1, name="my-host", instance=INSTANCE, n=message["n"])
//!
//! def serve(peer, message):
//!     op, number = message["op"], message["session"]
//!     line = (message["user"], message.get("connection", 0))
//!     held = sessions.get(line)
//!     current = held is not None and held[:2] == (peer, number)
//!     if op == "connect":
//!         if not current:
//!             if held:
//!                 close(line)
//!             broker_connect(line)                # yours; raises if it fails
//!             sessions[line] = (peer, number, set())
//!     elif op == "disconnect":
//!         if held and held[0] == peer and held[1] <= number:
//!             close(line)
//!     elif not current:
//!         return {"status": "error", "code": "NOT_CONNECTED", "message": "no such session"}
//!     elif op == "unsubscribe_all":
//!         for topic in held[2]:
//!             broker_unsubscribe(line, *topic)
//!         held[2].clear()
//!     else:
//!         topic = (message["exchange"], message["symbol"], message["mode"])
//!         if op == "subscribe" and topic not in held[2]:
//!             broker_subscribe(line, *topic)      # yours; raises if it fails
//!             held[2].add(topic)
//!         elif op == "unsubscribe" and topic in held[2]:
//!             broker_unsubscribe(line, *topic)
//!             held[2].discard(topic)
//!     return {"status": "success"}
//!
//! while True:
//!     peer, body = ROUTER.recv_multipart()
//!     message = json.loads(body)
//!     if message["type"] == "hello":
//!         hello(peer, message)
//!     elif peer in greeted and message["type"] == "ping":
//!         send(peer, type="pong", n=message["n"])
//!     elif message["type"] == "request":
//!         try:
//!             answer = serve(peer, message) if peer in greeted else {
//!                 "status": "error", "code": "NOT_CONNECTED", "message": "say hello first"}
//!         except Exception as error:
//!             answer = {"status": "error", "code": "REFUSED", "message": str(error)}
//!         send(peer, type="answer", id=message["id"], **answer)
//! ```

mod decode;
mod encode;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::topic::{Topic, UserId};

pub use decode::{decode_from_host, decode_to_host};

/// The version of the protocol that this code speaks.
pub const VERSION: u32 = 1;
/// Bytes of one message; a longer one is malformed.
pub const MESSAGE_BYTES_MAX: usize = 65_536;
/// Bytes of a name; a longer (or empty) one makes the message malformed.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of a text for people; a longer one is cut.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// What a gateway says to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToHost {
    /// A fresh start.
    Hello(Hello),
    /// Something to do.
    Request(Request),
    /// A sign of life that wants one back.
    Ping {
        /// Comes back in the pong.
        n: u64,
    },
}

/// A gateway introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the protocol that the gateway speaks.
    pub version: u32,
    /// Random for each life of the gateway.
    pub gateway: String,
    /// Comes back in the welcome. Higher in each hello of one gateway.
    pub n: u64,
}

/// A gateway wants something done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the request in its answer. Never reused within a gateway's life.
    pub id: u64,
    /// On whose behalf.
    pub user: UserId,
    /// On which of the user's connections, from 0.
    pub connection: u32,
    /// In which of the user's sessions, as the gateway numbers them.
    pub session: u64,
    /// What to do.
    pub op: Op,
    /// How long the gateway waits for the answer.
    pub deadline_ms: u64,
    /// Another subscribe of the same session follows at once.
    pub more: bool,
}

/// What a gateway can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Open the session.
    Connect,
    /// Close the session.
    Disconnect,
    /// Publish this topic.
    Subscribe {
        /// What to publish.
        topic: Topic,
        /// Levels of the order book that are wanted.
        depth: u32,
    },
    /// Stop publishing this topic.
    Unsubscribe {
        /// What to stop.
        topic: Topic,
    },
    /// Stop publishing everything, keep the session.
    UnsubscribeAll,
}

/// What a host says to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// The reply to a hello.
    Welcome(Welcome),
    /// The reply to a request.
    Answer(Answer),
    /// Something happened.
    Event(Event),
    /// The reply to a ping.
    Pong {
        /// That of the ping.
        n: u64,
    },
}

/// A host introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Version of the protocol that the host speaks.
    pub version: u32,
    /// What the host calls itself, for the log.
    pub name: String,
    /// Random for each life of the host process.
    pub instance: String,
    /// That of the hello. A welcome without one replies to the latest.
    pub n: Option<u64>,
}

/// How a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which request.
    pub id: u64,
    /// On success, the levels of the book that are really sent, if the host says so.
    pub result: Result<Option<u32>, Failure>,
}

/// Why a host did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub code: FailureCode,
    /// For people.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The broker refused.
    Refused,
    /// Bad or stale credentials.
    InitFailed,
    /// No such session, or the broker cannot be reached.
    NotConnected,
    /// The broker did not answer.
    Timeout,
}

/// What a host tells unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session ended without being asked to.
    SessionLost {
        /// Whose.
        user: UserId,
        /// Which one, as the gateway numbers them.
        session: u64,
        /// For the log.
        message: String,
    },
}

/// A message that cannot be understood. Count it and drop it; the conversation goes on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{problem}")]
pub struct Malformed {
    /// The request that it tried to make, if that much was readable: answer it with an error.
    pub request_id: Option<u64>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("{bytes} bytes exceed the limit of {MESSAGE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not a JSON object with the fields of its type.
    #[error("{0}")]
    Json(String),
    /// A field has a value that makes no sense.
    #[error("bad {0}")]
    Field(&'static str),
}

impl Welcome {
    /// Whether this code can talk to the host.
    #[must_use]
    pub const fn is_compatible(&self) -> bool {
        self.version == VERSION
    }
}

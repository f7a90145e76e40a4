//! One client of the load: what it has sent, what it waits for, what it has counted.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;

use mio::net::TcpStream;
use serde_json::Value;
use socket2::SockRef;

use super::tally::Tally;
use super::wire::{self, Kind};
use super::workload::stamp;

/// Topics that a client asks for in one request.
const TOPICS_PER_REQUEST: usize = 500;

/// How a tick begins that was there before its subscriber.
const SNAPSHOT_START: &[u8] = br#"{"type":"market_data","snapshot":"#;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Upgrading,
    /// Upgraded; so many answers are to come before it is ready.
    Preparing(usize),
    Ready,
}

/// What all clients are told.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub host: String,
    pub path: String,
    pub key: String,
}

/// One connection and its subscriptions.
#[derive(Debug)]
pub(super) struct Client {
    pub stream: TcpStream,
    pub state: State,
    pub began_ns: u64,
    topics: Vec<u32>,
    /// The number that is to come next, for each of `topics`. `None`: any.
    next: Vec<Option<u32>>,
    /// What was read of a frame that is not whole.
    rest: Vec<u8>,
    out: Vec<u8>,
    /// A request on which it waits, and since when.
    pub asked: Option<(u64, u64)>,
    trimmed: Option<Trimmed>,
}

/// How a client counts that looks at nothing: its ticks are all equally long.
#[derive(Clone, Copy, Debug, Default)]
struct Trimmed {
    /// Bytes of a tick's frame; 0 until the first has come.
    frame: u64,
    /// Bytes read of a tick that is not whole.
    begun: u64,
}

/// Has the system throw away what it was to read (`recv(2)`, Linux).
const MSG_TRUNC: i32 = 0x20;

/// What a client has read may mean something to whoever looks after all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    None,
    /// It is ready from now on.
    Ready,
    /// The request with this number is answered.
    Answered(u64),
}

impl Client {
    /// A client of these topics, in ascending order. `from_start`: it counts what it misses from
    /// the first tick on.
    pub fn new(stream: TcpStream, topics: Vec<u32>, from_start: bool, now_ns: u64) -> Self {
        let next = vec![from_start.then_some(0); topics.len()];
        let (rest, out) = (Vec::new(), Vec::new());
        let state = State::Connecting;
        let (asked, trimmed) = (None, None);
        Self { stream, state, began_ns: now_ns, topics, next, rest, out, asked, trimmed }
    }

    /// Has it count the ticks of its one topic by their bytes, which the system throws away unread:
    /// as little load as there can be. It knows no lateness then, and no order.
    pub fn trim(&mut self) {
        self.trimmed.get_or_insert_default();
    }

    /// Whether it has nothing to look at any more.
    pub fn looks_at_nothing(&self) -> bool {
        self.trimmed.is_some_and(|trimmed| trimmed.frame > 0)
    }

    /// Has the system throw away what is there, and counts it. `sink` stays as it is.
    pub fn discard(&mut self, sink: &mut [MaybeUninit<u8>], tally: &mut Tally) -> io::Result<()> {
        let Some(trimmed) = &mut self.trimmed else { return Ok(()) };
        let socket = SockRef::from(&self.stream);
        loop {
            let read = match socket.recv_with_flags(sink, MSG_TRUNC) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            tally.bytes += read as u64;
            trimmed.begun += read as u64;
            let ticks = trimmed.begun / trimmed.frame;
            trimmed.begun %= trimmed.frame;
            tally.delivered += ticks;
            if let Some(Some(next)) = self.next.first_mut() {
                *next += u32::try_from(ticks).unwrap_or(u32::MAX);
            }
            if read < sink.len() {
                return Ok(());
            }
        }
    }

    /// The connection is there or has failed.
    pub fn connected(&mut self, greeting: &Greeting) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
            other => drop(other?),
        }
        self.stream.set_nodelay(true)?;
        self.out = wire::upgrade(&greeting.host, &greeting.path);
        self.state = State::Upgrading;
        self.flush()
    }

    /// Sends a request for topics, whose answer is [`Progress::Answered`] of `id`.
    pub fn ask(&mut self, action: &str, topics: &[u32], id: u64, now_ns: u64) -> io::Result<()> {
        wire::request(&mut self.out, action, topics, id);
        self.asked = Some((id, now_ns));
        self.flush()
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.shrink_to(0);
        Ok(())
    }

    /// Reads all that is there. `buffer` is scratch; `now_ns` is asked after each read.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        greeting: &Greeting,
        tally: &mut Tally,
        now_ns: impl Fn() -> u64,
    ) -> io::Result<Progress> {
        let mut progress = Progress::None;
        loop {
            let kept = self.rest.len();
            if kept + 1_024 > buffer.len() {
                return Err(io::Error::new(ErrorKind::InvalidData, "a frame is too long"));
            }
            buffer[..kept].copy_from_slice(&self.rest);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            tally.bytes += read as u64;
            let filled = kept + read;
            let (used, made) = self.take(&buffer[..filled], greeting, tally, now_ns())?;
            if made != Progress::None {
                progress = made;
            }
            self.rest.clear();
            self.rest.extend_from_slice(&buffer[used..filled]);
            if let Some(trimmed) = self.trimmed.as_mut().filter(|trimmed| trimmed.frame > 0) {
                trimmed.begun = self.rest.len() as u64;
                self.rest = Vec::new();
            }
            if filled < buffer.len() {
                break;
            }
        }
        self.rest.shrink_to(4_096);
        self.flush()?;
        Ok(progress)
    }

    /// Takes whole frames off `bytes`; says how many bytes that were.
    fn take(
        &mut self,
        bytes: &[u8],
        greeting: &Greeting,
        tally: &mut Tally,
        now_ns: u64,
    ) -> io::Result<(usize, Progress)> {
        let mut used = 0;
        let mut progress = Progress::None;
        if self.state == State::Upgrading {
            let Some(head) = wire::http_head(bytes) else { return Ok((0, progress)) };
            if !head.starts_with(b"HTTP/1.1 101") {
                let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
                return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
            }
            used = head.len();
            wire::authenticate(&mut self.out, &greeting.key);
            let mut requests = 1;
            for topics in self.topics.chunks(TOPICS_PER_REQUEST) {
                wire::request(&mut self.out, "subscribe", topics, 0);
                requests += 1;
            }
            self.state = State::Preparing(requests);
        }
        let broken = |_| io::Error::new(ErrorKind::InvalidData, "that is no WebSocket frame");
        while let Some((kind, payload, length)) = wire::frame(&bytes[used..]).map_err(broken)? {
            used += length;
            match kind {
                Kind::Message => match stamp(payload) {
                    Some(stamp) => {
                        self.count(stamp.topic, stamp.sequence, tally);
                        if let Some(trimmed) = &mut self.trimmed {
                            trimmed.frame = length as u64;
                        }
                        // How old a snapshot is says nothing of how fast it came.
                        if !payload.starts_with(SNAPSHOT_START) {
                            tally.latency.record(now_ns.saturating_sub(stamp.due_ns));
                        }
                    }
                    None => {
                        let made = self.answer(payload, tally, now_ns)?;
                        if made != Progress::None {
                            progress = made;
                        }
                    }
                },
                Kind::Ping => wire::pong(&mut self.out, payload),
                Kind::Close => return Err(closed(payload)),
                Kind::Other => {}
            }
        }
        Ok((used, progress))
    }

    fn count(&mut self, topic: u32, sequence: u32, tally: &mut Tally) {
        tally.delivered += 1;
        let at = if self.topics.len() == 1 {
            (self.topics[0] == topic).then_some(0)
        } else {
            self.topics.binary_search(&topic).ok()
        };
        let Some(at) = at else {
            tally.foreign += 1;
            return;
        };
        let expected = self.next[at].unwrap_or(sequence);
        if sequence < expected {
            tally.misordered += 1;
            return;
        }
        tally.skipped += u64::from(sequence - expected);
        self.next[at] = Some(sequence + 1);
    }

    /// What it has not read of all that was published, by topic.
    pub fn missing(&self, published: &[u32]) -> u64 {
        let missing = |(topic, next): (&u32, &Option<u32>)| {
            let published = published[*topic as usize];
            u64::from(published.saturating_sub(next.unwrap_or(published)))
        };
        self.topics.iter().zip(&self.next).map(missing).sum()
    }

    fn answer(&mut self, payload: &[u8], tally: &mut Tally, now_ns: u64) -> io::Result<Progress> {
        let Ok(answer) = serde_json::from_slice::<Value>(payload) else {
            tally.foreign += 1;
            return Ok(Progress::None);
        };
        match (answer["type"].as_str(), answer["status"].as_str()) {
            (Some("auth" | "subscribe" | "unsubscribe"), Some("success")) => {}
            (Some("market_data"), _) => {
                // The broker's own, whom nobody asked.
                tally.foreign += 1;
                return Ok(Progress::None);
            }
            _ => {
                let answer: String = answer.to_string().chars().take(300).collect();
                return Err(io::Error::other(format!("the gateway says {answer}")));
            }
        }
        if let State::Preparing(answers) = self.state {
            let ready = answers == 1;
            self.state = if ready { State::Ready } else { State::Preparing(answers - 1) };
            return Ok(if ready { Progress::Ready } else { Progress::None });
        }
        let Some((id, since_ns)) = self.asked.take() else { return Ok(Progress::None) };
        if answer["type"].as_str() == Some("subscribe") {
            tally.answers.record(now_ns.saturating_sub(since_ns));
        }
        Ok(Progress::Answered(id))
    }
}

fn closed(payload: &[u8]) -> io::Error {
    let code = payload.first_chunk::<2>().map_or(0, |code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    io::Error::other(format!("closed with {code} {reason}"))
}

//! One client of the load: what it has sent, what it waits for, what it has counted.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use serde_json::Value;

use super::dialect::Dialect;
use super::nats::{Said, Stream};
use super::tally::{Reader, Tally};
use super::trimmed::Trimmed;
use super::wire::{self, Broken, Kind};
use super::workload::stamp;
use crate::protocol::frame::skipped;

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
    pub dialect: Dialect,
}

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    id: u64,
    since_ns: u64,
    subscribe: bool,
}

/// One connection and its subscriptions.
#[derive(Debug)]
pub(super) struct Client {
    pub stream: TcpStream,
    pub state: State,
    pub began_ns: u64,
    pub reader: Reader,
    /// What was read of a frame that is not whole.
    rest: Vec<u8>,
    operations: Stream,
    out: Vec<u8>,
    /// A request on which it waits.
    pub asked: Option<Question>,
    /// Whether it is to look at nothing; how, from its first tick on.
    pub trim: bool,
    pub trimmed: Option<Trimmed>,
}

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
        let (rest, operations, out) = (Vec::new(), Stream::default(), Vec::new());
        let (state, began_ns, reader) = (State::Connecting, now_ns, Reader { topics, next });
        let (asked, trim, trimmed) = (None, false, None);
        Self { stream, state, began_ns, reader, rest, operations, out, asked, trim, trimmed }
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

    /// Asks for a topic (`subscribe`) or for it no longer. The answer is [`Progress::Answered`] of
    /// `id`.
    pub fn ask(
        &mut self,
        dialect: Dialect,
        subscribe: bool,
        topic: u32,
        id: u64,
        since_ns: u64,
    ) -> io::Result<()> {
        dialect.ask(&mut self.out, subscribe, topic, id);
        self.asked = Some(Question { id, since_ns, subscribe });
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
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
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
            if let Some(trimmed) = &mut self.trimmed {
                trimmed.begun = std::mem::take(&mut self.rest).len() as u64;
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
            let answers = greeting.dialect.greet(&mut self.out, greeting, &self.reader.topics);
            self.state = State::Preparing(answers);
        }
        let (more, made) = match greeting.dialect {
            Dialect::Tickgate => self.take_frames(&bytes[used..], tally, now_ns)?,
            Dialect::Nats => self.take_operations(&bytes[used..], tally, now_ns)?,
        };
        if made != Progress::None {
            progress = made;
        }
        Ok((used + more, progress))
    }

    fn take_frames(
        &mut self,
        bytes: &[u8],
        tally: &mut Tally,
        now_ns: u64,
    ) -> io::Result<(usize, Progress)> {
        let (mut used, mut progress) = (0, Progress::None);
        while let Some((kind, payload, length)) = wire::frame(&bytes[used..])? {
            let whole = &bytes[used..used + length];
            used += length;
            match kind {
                Kind::Message => match stamp(payload) {
                    Some(stamp) => {
                        let gap = self.count(stamp.topic, stamp.sequence, tally);
                        if gap > 0 && skipped(whole) != gap {
                            tally.untold += 1;
                        }
                        if self.trim {
                            self.trimmed = Some(Trimmed { frame: length as u64, begun: 0 });
                        }
                        // How old a snapshot is says nothing of how fast it came.
                        if tally.due.contains(&stamp.due_ns) && !payload.starts_with(SNAPSHOT_START)
                        {
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

    fn take_operations(
        &mut self,
        bytes: &[u8],
        tally: &mut Tally,
        now_ns: u64,
    ) -> io::Result<(usize, Progress)> {
        let (mut used, mut progress) = (0, Progress::None);
        loop {
            let left = &bytes[used..];
            if self.operations.frame_left == 0 {
                let Some((kind, header, length)) = wire::header(left)? else { break };
                if kind == Kind::Message {
                    used += header;
                    self.operations.frame_left = length;
                    continue;
                }
                let Some((kind, payload, length)) = wire::frame(left)? else { break };
                used += length;
                match kind {
                    Kind::Ping => wire::pong(&mut self.out, payload),
                    Kind::Close => return Err(closed(payload)),
                    Kind::Message | Kind::Other => {}
                }
                continue;
            }
            if left.is_empty() {
                break;
            }
            let whole = usize::try_from(self.operations.frame_left).unwrap_or(usize::MAX);
            let piece = &left[..left.len().min(whole)];
            used += piece.len();
            let mut operations = std::mem::take(&mut self.operations);
            operations.frame_left -= piece.len() as u64;
            operations.feed(piece, |said| {
                let made = self.hear(said, tally, now_ns)?;
                if made != Progress::None {
                    progress = made;
                }
                Ok::<(), io::Error>(())
            })?;
            self.operations = operations;
        }
        Ok((used, progress))
    }

    /// Takes one operation of NATS.
    fn hear(&mut self, said: Said<'_>, tally: &mut Tally, now_ns: u64) -> io::Result<Progress> {
        match said {
            Said::Message(payload) => {
                let stamp = stamp(payload).ok_or(Broken)?;
                self.count(stamp.topic, stamp.sequence, tally);
                if tally.due.contains(&stamp.due_ns) {
                    tally.latency.record(now_ns.saturating_sub(stamp.due_ns));
                }
            }
            Said::Ping => wire::binary(&mut self.out, b"PONG\r\n"),
            Said::Pong => return Ok(self.answered(tally, now_ns)),
            Said::Refusal(words) => {
                let words = String::from_utf8_lossy(words);
                return Err(io::Error::other(format!("the server says {words}")));
            }
            Said::Other => {}
        }
        Ok(Progress::None)
    }

    /// Counts a tick; says how many of its topic were left out right before it.
    fn count(&mut self, topic: u32, sequence: u32, tally: &mut Tally) -> u64 {
        tally.delivered += 1;
        let Reader { topics, next } = &mut self.reader;
        let at = match topics[..] {
            [only] => (only == topic).then_some(0),
            _ => topics.binary_search(&topic).ok(),
        };
        let Some(at) = at else {
            tally.foreign += 1;
            return 0;
        };
        let expected = next[at].unwrap_or(sequence);
        if sequence < expected {
            tally.misordered += 1;
            return 0;
        }
        let gap = u64::from(sequence - expected);
        tally.skipped += gap;
        next[at] = Some(sequence + 1);
        gap
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
        Ok(self.answered(tally, now_ns))
    }

    /// What it asked first of all that has no answer yet has one.
    fn answered(&mut self, tally: &mut Tally, now_ns: u64) -> Progress {
        if let State::Preparing(answers) = self.state {
            let ready = answers == 1;
            self.state = if ready { State::Ready } else { State::Preparing(answers - 1) };
            return if ready { Progress::Ready } else { Progress::None };
        }
        let Some(Question { id, since_ns, subscribe }) = self.asked.take() else {
            return Progress::None;
        };
        if subscribe {
            tally.answers.record(now_ns.saturating_sub(since_ns));
        }
        Progress::Answered(id)
    }
}

fn closed(payload: &[u8]) -> io::Error {
    let code = payload.first_chunk::<2>().map_or(0, |code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    io::Error::other(format!("closed with {code} {reason}"))
}

#[cfg(test)]
mod tests;

//! The client protocol of NATS, as far as a load generator needs it.
//!
//! It is a stream of operations, each with a line of its own. WebSocket frames cut it where they
//! like, and may be longer than what is read at once.

use std::fmt::Write as _;

use super::wire::Broken;
use super::workload::bus_topic;

/// Bytes of a line; `INFO` is the longest.
const LINE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of a message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// One operation of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// What was published.
    Message(&'a [u8]),
    /// It wants a `PONG`.
    Ping,
    /// It has done all that it was asked before the `PING`.
    Pong,
    /// What it does not like, in its words.
    Refusal(&'a [u8]),
    /// What changes nothing.
    Other,
}

/// The first operation of `bytes`, and how many bytes it has. `None`: there is more to come.
///
/// # Errors
///
/// Fails if that is no operation.
pub(super) fn operation(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, Broken> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > LINE_BYTES_MAX { Err(Broken) } else { Ok(None) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(Broken)?;
    let begin = end + 1;
    let said = match line {
        b"PING" => Said::Ping,
        b"PONG" => Said::Pong,
        b"+OK" => Said::Other,
        _ => {
            if let Some(message) = line.strip_prefix(b"MSG ") {
                let end = begin + message_bytes(message)?;
                let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
                if tail != b"\r\n" {
                    return Err(Broken);
                }
                return Ok(Some((Said::Message(&bytes[begin..end]), end + 2)));
            }
            if line.starts_with(b"INFO ") {
                Said::Other
            } else {
                Said::Refusal(line.strip_prefix(b"-ERR ").ok_or(Broken)?)
            }
        }
    };
    Ok(Some((said, begin)))
}

/// The last word behind `MSG`.
fn message_bytes(words: &[u8]) -> Result<usize, Broken> {
    let last = words.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    if last.is_empty() || last.len() > 7 {
        return Err(Broken);
    }
    let add = |number: usize, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + usize::from(digit))
    };
    let bytes = last.iter().try_fold(0, add).ok_or(Broken)?;
    if bytes > MESSAGE_BYTES_MAX { Err(Broken) } else { Ok(bytes) }
}

/// Operations out of pieces. Keeps what is not whole.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Bytes of the present frame that are still to come.
    pub frame_left: u64,
    rest: Vec<u8>,
}

impl Stream {
    /// Hands each operation that is whole with this piece to `each`.
    ///
    /// # Errors
    ///
    /// Fails if there is something else between them, or if `each` does.
    pub fn feed<E: From<Broken>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Said<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut joined = std::mem::take(&mut self.rest);
        let bytes = if joined.is_empty() {
            piece
        } else {
            joined.extend_from_slice(piece);
            &joined[..]
        };
        let mut used = 0;
        while let Some((said, length)) = operation(&bytes[used..])? {
            used += length;
            each(said)?;
        }
        self.rest = bytes[used..].to_vec();
        Ok(())
    }
}

/// What a client says first; a `PONG` is the answer to all of it.
pub(super) fn hello(topics: &[u32]) -> Vec<u8> {
    let mut text = connect().to_owned();
    for topic in topics {
        subscribe(&mut text, *topic);
    }
    text.push_str("PING\r\n");
    text.into_bytes()
}

/// Introduces a client or a publisher.
pub(super) const fn connect() -> &'static str {
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"tickgate\",\"version\":\"1\",\
     \"protocol\":1,\"echo\":false}\r\n"
}

/// Asks for a topic, or for it no longer; a `PONG` is the answer.
pub(super) fn ask(wanted: bool, topic: u32) -> Vec<u8> {
    let mut text = String::new();
    if wanted {
        subscribe(&mut text, topic);
    } else {
        let _ = write!(text, "UNSUB {}\r\n", number(topic));
    }
    text.push_str("PING\r\n");
    text.into_bytes()
}

fn subscribe(text: &mut String, topic: u32) {
    let _ = write!(text, "SUB {} {}\r\n", bus_topic(topic), number(topic));
}

/// By what a client tells its subscriptions apart.
fn number(topic: u32) -> u64 {
    u64::from(topic) + 1
}

/// Publishes.
pub(super) fn publish(out: &mut Vec<u8>, topic: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(topic);
    out.push(b' ');
    out.extend_from_slice(payload.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &[u8] =
        b"INFO {\"server_id\":\"x\"}\r\nPING\r\nMSG NSE_BENCH0_LTP 1 5\r\na\r\nbc\r\n\
        MSG a.b 2 reply 0\r\n\r\n+OK\r\nPONG\r\n-ERR 'Slow Consumer'\r\n";

    fn all(stream: &mut Stream, piece: &[u8], said: &mut Vec<String>) -> Result<(), Broken> {
        stream.feed(piece, |one| {
            said.push(match one {
                Said::Message(payload) => format!("message {}", payload.escape_ascii()),
                Said::Refusal(words) => format!("refusal {}", words.escape_ascii()),
                other => format!("{other:?}"),
            });
            Ok(())
        })
    }

    #[test]
    fn operations_are_found_wherever_they_are_cut() {
        let expected = [
            "Other",
            "Ping",
            "message a\\r\\nbc",
            "message ",
            "Other",
            "Pong",
            "refusal \\'Slow Consumer\\'",
        ];
        for size in 1..=SAID.len() {
            let (mut stream, mut said) = (Stream::default(), Vec::new());
            for piece in SAID.chunks(size) {
                all(&mut stream, piece, &mut said).unwrap();
            }
            assert_eq!(said, expected, "in pieces of {size}");
            assert!(stream.rest.is_empty());
        }
    }

    #[test]
    fn what_is_no_operation_is_refused() {
        for bad in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"PING\n",
            b"MSG a 1\r\n",
            b"MSG a 1 x\r\n",
            b"MSG a 1 99999999\r\n",
            b"MSG a 1 2000000\r\n",
            b"MSG a 1 2\r\nabc\r\n",
            b"MSG \r\n",
            &[b'x'; LINE_BYTES_MAX + 1],
        ] {
            let shown = bad[..bad.len().min(40)].escape_ascii().to_string();
            let refused = operation(bad).is_err();
            assert!(refused || shown.starts_with("MSG a 1\\r"), "{shown}");
        }
        assert_eq!(operation(b"MSG a 1 2\r\nab"), Ok(None));
    }

    #[test]
    fn what_is_said_is_what_a_server_understands() {
        assert!(
            hello(&[0, 7]).ends_with(b"SUB NSE_BENCH0_LTP 1\r\nSUB NSE_BENCH7_LTP 8\r\nPING\r\n")
        );
        assert_eq!(ask(false, 7), b"UNSUB 8\r\nPING\r\n");
        assert_eq!(ask(true, 0), b"SUB NSE_BENCH0_LTP 1\r\nPING\r\n");
        let mut out = Vec::new();
        publish(&mut out, b"NSE_BENCH0_LTP", b"{}");
        assert_eq!(out, b"PUB NSE_BENCH0_LTP 2\r\n{}\r\n");
    }
}

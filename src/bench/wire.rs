//! The client's side of a WebSocket, as far as a load generator needs it.

use serde_json::json;

use super::workload::symbol;

/// Bytes of a server's frame header at most: a server does not mask.
const HEADER_BYTES_MAX: usize = 10;

/// Bytes of a frame that is believed; more is a server gone wrong.
const FRAME_BYTES_MAX: u64 = 64 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Ping,
    Close,
    Other,
}

/// The server breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl From<Broken> for std::io::Error {
    fn from(_: Broken) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, "the server breaks the protocol")
    }
}

/// The kind of a frame, its payload, and the bytes of it all.
type Whole<'a> = (Kind, &'a [u8], usize);

/// The first frame of `bytes`. `None`: there is more to come.
///
/// # Errors
///
/// Fails if that is no frame.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<Whole<'_>>, Broken> {
    let Some((kind, header, length)) = header(bytes)? else { return Ok(None) };
    let end = header + usize::try_from(length).map_err(|_| Broken)?;
    Ok(bytes.get(header..end).map(|payload| (kind, payload, end)))
}

/// The kind of the first frame of `bytes`, the bytes of its header and those of its payload.
/// `None`: there is more of the header to come.
///
/// # Errors
///
/// Fails if that is no frame.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(Kind, usize, u64)>, Broken> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let (header, length) = match second {
        0..=125 => (2, u64::from(second)),
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..HEADER_BYTES_MAX).and_then(|at| at.first_chunk::<8>()) {
            Some(length) => (HEADER_BYTES_MAX, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        128.. => return Err(Broken),
    };
    if length > FRAME_BYTES_MAX {
        return Err(Broken);
    }
    let kind = match first & 0x0f {
        0..=2 => Kind::Message,
        8 => Kind::Close,
        9 => Kind::Ping,
        _ => Kind::Other,
    };
    Ok(Some((kind, header, length)))
}

/// Asks for a WebSocket.
pub(super) fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGlja2dhdGUgYmVuY2ggMQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The bytes of an HTTP answer's head. `None`: there is more to come.
pub(super) fn http_head(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some(&bytes[..end])
}

/// A text frame of a client. The mask is zero: it protects proxies, of which there are none.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    masked(out, 0x81, text.as_bytes());
}

/// A binary frame of a client.
pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    masked(out, 0x82, bytes);
}

/// The answer to a ping.
pub(super) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    masked(out, 0x8a, payload);
}

fn masked(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Shows a credential.
pub(super) fn authenticate(out: &mut Vec<u8>, key: &str) {
    text(out, &json!({ "action": "authenticate", "api_key": key }).to_string());
}

/// Asks (`subscribe`) for these topics or (`unsubscribe`) no longer. The answers carry `id`.
pub(super) fn request(out: &mut Vec<u8>, action: &str, topics: &[u32], id: u64) {
    let entry = |topic: &u32| json!({ "symbol": symbol(*topic), "exchange": "NSE" });
    let symbols: Vec<_> = topics.iter().map(entry).collect();
    let request = json!({ "action": action, "mode": 1, "symbols": symbols, "request_id": id });
    text(out, &request.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{close_frame, text_frame};

    #[test]
    fn frames_of_every_length_are_found_whole_and_in_pieces() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let whole = text_frame(&vec![b'x'; length]);
            assert_eq!(
                frame(&whole),
                Ok(Some((Kind::Message, &vec![b'x'; length][..], whole.len())))
            );
            for cut in [0, 1, 2, 3, whole.len() - 1] {
                let piece = &whole[..cut.min(whole.len() - 1)];
                assert_eq!(frame(piece), Ok(None), "{length} cut at {cut}");
            }
        }
        let close = close_frame(1013, "late");
        assert!(matches!(frame(&close), Ok(Some((Kind::Close, _, 8)))));
    }

    #[test]
    fn a_server_that_masks_or_claims_too_much_is_broken() {
        assert_eq!(frame(&[0x81, 0x80, 0, 0, 0, 0]), Err(Broken));
        assert_eq!(frame(&[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0]), Err(Broken));
    }

    #[test]
    fn an_http_head_ends_with_an_empty_line() {
        assert_eq!(http_head(b"HTTP/1.1 101 x\r\nA: b\r\n"), None);
        assert_eq!(http_head(b"HTTP/1.1 101 x\r\n\r\nmore"), Some(&b"HTTP/1.1 101 x\r\n\r\n"[..]));
    }
}

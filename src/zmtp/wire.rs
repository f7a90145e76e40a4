//! The bytes of ZMTP 3.1: greeting, frames, and how they are written.

use bytes::Bytes;

use super::fault::ProtocolError;
use super::message::Message;

/// More frames of the same message follow.
pub(super) const MORE: u8 = 0x01;
/// The length takes eight bytes instead of one.
pub(super) const LONG: u8 = 0x02;
/// The frame is a command.
pub(super) const COMMAND: u8 = 0x04;

/// Length of a greeting.
pub const GREETING_BYTES: usize = 64;

/// What this end says first: ZMTP 3.1, NULL mechanism.
pub const GREETING: [u8; GREETING_BYTES] = {
    let mut greeting = [0; GREETING_BYTES];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    greeting[12] = b'N';
    greeting[13] = b'U';
    greeting[14] = b'L';
    greeting[15] = b'L';
    greeting
};

/// What a peer's greeting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Second number of the peer's version: 0 for ZMTP 3.0, which knows no PING.
    pub minor: u8,
}

/// Reads a greeting from the beginning of `bytes`; `None` if more bytes are needed.
///
/// # Errors
///
/// Fails as soon as the bytes cannot become the greeting of a ZMTP 3 peer with NULL mechanism.
pub fn parse_greeting(bytes: &[u8]) -> Result<Option<Greeting>, ProtocolError> {
    // Old peers send a frame length first; the two bits are what tells them apart.
    if bytes.first().is_some_and(|&byte| byte != 0xff)
        || bytes.get(9).is_some_and(|byte| byte & 1 == 0)
    {
        return Err(ProtocolError::NotZmtp);
    }
    if let Some(&major) = bytes.get(10)
        && major < 3
    {
        return Err(ProtocolError::OldVersion(major));
    }
    let Some(greeting) = bytes.first_chunk::<GREETING_BYTES>() else { return Ok(None) };
    if greeting[12..32] != GREETING[12..32] {
        return Err(ProtocolError::Mechanism);
    }
    // A later major version has to speak 3.1 with us.
    let minor = if greeting[10] > 3 { 1 } else { greeting[11] };
    Ok(Some(Greeting { minor }))
}

/// Appends the frames of a message.
pub fn encode_message(message: &Message, out: &mut Vec<u8>) {
    let parts = message.parts();
    for (index, part) in parts.iter().enumerate() {
        let more = if index + 1 < parts.len() { MORE } else { 0 };
        put_frame(out, more, &[part]);
    }
}

/// Bytes that [`encode_message`] will append.
#[must_use]
pub fn encoded_len(message: &Message) -> usize {
    message.parts().iter().map(|part| part.len() + if part.len() > 255 { 9 } else { 2 }).sum()
}

/// Appends a command. `name` is at most 255 bytes.
pub fn encode_command(name: &str, body: &[u8], out: &mut Vec<u8>) {
    let name_len = u8::try_from(name.len()).expect("command names are short");
    put_frame(out, COMMAND, &[&[name_len], name.as_bytes(), body]);
}

/// Appends a READY command that says what kind of socket this is.
pub fn encode_ready(socket_type: &str, out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(32);
    put_property(&mut body, "Socket-Type", socket_type.as_bytes());
    // Sockets that can be addressed say who they are; the empty name leaves it to the peer.
    if matches!(socket_type, "DEALER" | "ROUTER" | "REQ") {
        put_property(&mut body, "Identity", b"");
    }
    encode_command("READY", &body, out);
}

/// Appends a subscription (or its end) as the data frame that every ZMTP 3 publisher takes.
pub fn encode_subscription(subscribe: bool, prefix: &[u8], out: &mut Vec<u8>) {
    put_frame(out, 0, &[&[u8::from(subscribe)], prefix]);
}

/// The frames of a message, to be shared by many peers.
pub(super) fn encode_shared(message: &Message) -> Bytes {
    let mut out = Vec::with_capacity(encoded_len(message));
    encode_message(message, &mut out);
    out.into()
}

fn put_frame(out: &mut Vec<u8>, flags: u8, pieces: &[&[u8]]) {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    if let Ok(short) = u8::try_from(len) {
        out.extend_from_slice(&[flags, short]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

fn put_property(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(u8::try_from(name.len()).expect("property names are short"));
    out.extend_from_slice(name.as_bytes());
    let value_len = u32::try_from(value.len()).expect("property values are short");
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(value);
}

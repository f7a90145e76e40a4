//! Commands: what peers tell each other besides messages.

use bytes::{Buf, Bytes};

use super::fault::ProtocolError;

/// Longest context of a PING (RFC 37).
const PING_CONTEXT_BYTES_MAX: usize = 16;
/// How much of a peer's ERROR is repeated in logs.
const REASON_CHARS_MAX: usize = 100;

/// A command, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The peer's properties; ends the handshake.
    Ready(Ready),
    /// The peer gives up, for this reason.
    Error(String),
    /// To be answered with a PONG of the same context.
    Ping {
        /// At most 16 bytes.
        context: Bytes,
    },
    /// The answer to a PING.
    Pong,
    /// The peer wants messages whose first part begins with this.
    Subscribe(Bytes),
    /// The peer no longer wants them.
    Cancel(Bytes),
    /// A command of a later version, or of a socket type that is not spoken here.
    Unknown,
}

/// What a READY command says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// E.g. `PUB`.
    pub socket_type: String,
    /// The name that the peer gives itself, at most 255 bytes; often empty.
    pub identity: Bytes,
}

/// One `name = value` of a READY command.
struct Property {
    name: Bytes,
    value: Bytes,
}

impl Command {
    /// Reads the body of a command frame.
    ///
    /// # Errors
    ///
    /// Fails if the command is cut short or breaks a limit. Unknown commands are no error: later
    /// versions add some.
    pub fn parse(mut body: Bytes) -> Result<Self, ProtocolError> {
        let malformed = ProtocolError::Malformed("nameless");
        let name_len = usize::from(*body.first().ok_or_else(|| malformed.clone())?);
        body.advance(1);
        if name_len == 0 || body.len() < name_len {
            return Err(malformed);
        }
        let name = body.split_to(name_len);
        match &name[..] {
            b"READY" => Ready::parse(body).map(Self::Ready),
            b"ERROR" => parse_error(&body).map(Self::Error),
            b"PING" => parse_ping(body).map(|context| Self::Ping { context }),
            b"PONG" => Ok(Self::Pong),
            b"SUBSCRIBE" => Ok(Self::Subscribe(body)),
            b"CANCEL" => Ok(Self::Cancel(body)),
            _ => Ok(Self::Unknown),
        }
    }
}

impl Ready {
    fn parse(mut body: Bytes) -> Result<Self, ProtocolError> {
        let mut ready = Self::default();
        while !body.is_empty() {
            let Property { name, value } = Property::take(&mut body)?;
            if name.eq_ignore_ascii_case(b"Socket-Type") {
                ready.socket_type = printable(&value);
            } else if name.eq_ignore_ascii_case(b"Identity") {
                if value.len() > 255 {
                    return Err(ProtocolError::Malformed("READY"));
                }
                ready.identity = Bytes::copy_from_slice(&value);
            }
        }
        Ok(ready)
    }
}

impl Property {
    fn take(body: &mut Bytes) -> Result<Self, ProtocolError> {
        let malformed = || ProtocolError::Malformed("READY");
        let name_len = usize::from(body.try_get_u8().map_err(|_| malformed())?);
        if name_len == 0 || body.len() < name_len {
            return Err(malformed());
        }
        let name = body.split_to(name_len);
        let value_len = body.try_get_u32().map_err(|_| malformed())?;
        let value_len = usize::try_from(value_len).map_err(|_| malformed())?;
        if body.len() < value_len {
            return Err(malformed());
        }
        Ok(Self { name, value: body.split_to(value_len) })
    }
}

fn parse_ping(mut body: Bytes) -> Result<Bytes, ProtocolError> {
    // The time to live: how long the peer's silence means nothing. Our own timeout is shorter
    // or longer by our own choice.
    if body.try_get_u16().is_err() || body.len() > PING_CONTEXT_BYTES_MAX {
        return Err(ProtocolError::Malformed("PING"));
    }
    Ok(body)
}

fn parse_error(body: &Bytes) -> Result<String, ProtocolError> {
    let malformed = ProtocolError::Malformed("ERROR");
    let (&len, reason) = body.split_first().ok_or_else(|| malformed.clone())?;
    reason.get(..usize::from(len)).map(printable).ok_or(malformed)
}

/// A peer's words, safe to log.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(REASON_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

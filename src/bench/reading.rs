//! How clients of a load read.

/// Bytes around a payload in a frame, generously.
const ENVELOPE_BYTES: usize = 200;

/// How clients of a load read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Each tick, and what it says.
    Each,
    /// Bytes alone, which takes little of the machine. Needs one topic.
    Bytes,
    /// Nothing while it is measured, in rounds of so many ticks that wait in the system. Then
    /// clients take nothing of the machine. Needs one topic.
    Later(u64),
}

impl Reading {
    /// Bytes that the system has to keep for each client, if that is more than usual.
    pub(super) fn receive_bytes(self, payload_bytes: usize) -> Option<usize> {
        let Self::Later(ticks) = self else { return None };
        // Half of a buffer is for what the system itself keeps of each packet.
        let ticks = usize::try_from(ticks).unwrap_or(usize::MAX);
        Some(ticks.saturating_mul(2 * (payload_bytes + ENVELOPE_BYTES)))
    }
}

//! What the books of a host hold.

use super::super::{Line, SessionId};

/// A connection that said hello.
#[derive(Debug)]
pub(super) struct Gateway {
    pub id: String,
    pub heard_ms: u64,
    pub in_flight: usize,
}

/// Who opened the session of a connection: numbers of different gateways may collide, so the
/// broker sees the host's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<P> {
    pub peer: P,
    pub theirs: u64,
    pub ours: SessionId,
}

/// What an answer means for the session that the connection has now, if it is still that one.
#[derive(Debug)]
pub(super) enum Outcome<P> {
    /// A connect that fails leaves an older session as it was.
    Opens(Line, SessionId, Option<Owner<P>>),
    /// A disconnect that fails, or is never answered, can be asked for again.
    Closes(Line, SessionId),
}

/// A command that the broker has not answered.
#[derive(Debug)]
pub(super) struct Pending<P> {
    pub peer: P,
    pub id: u64,
    pub forget_ms: u64,
    pub outcome: Option<Outcome<P>>,
}

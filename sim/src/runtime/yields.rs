//! Yield points inside the streams.
//!
//! A read or write that can be done at once does not give way to other tasks. Real sockets do so
//! now and then, and a bug between two such operations shows only then.

use std::sync::{Arc, Mutex};
use std::task::Context;

use super::fault_book::lock;
use crate::rng::Stream;

/// Where the streams of one host get their decisions from.
#[derive(Clone, Debug, Default)]
pub(super) struct Yields(Option<Arc<Source>>);

#[derive(Debug)]
struct Source {
    seed: u64,
    host: String,
    share: f64,
    streams: Mutex<u64>,
}

/// The decisions of one stream.
#[derive(Debug)]
pub(super) struct YieldPoints(Option<Decisions>);

#[derive(Debug)]
struct Decisions {
    stream: Stream,
    share: f64,
    /// The last operation gave way; this one does not.
    gave_way: bool,
}

impl Yields {
    pub fn new(seed: u64, host: &str, share: f64) -> Self {
        if share <= 0.0 {
            return Self(None);
        }
        let host = host.to_owned();
        Self(Some(Arc::new(Source { seed, host, share, streams: Mutex::new(0) })))
    }

    /// The decisions of the next stream.
    pub fn next(&self) -> YieldPoints {
        let Some(source) = &self.0 else { return YieldPoints(None) };
        let mut streams = lock(&source.streams);
        *streams += 1;
        let entity = format!("{}/{streams}", source.host);
        YieldPoints(Some(Decisions {
            stream: Stream::fork(source.seed, "yields", &entity),
            share: source.share,
            gave_way: false,
        }))
    }
}

impl YieldPoints {
    /// Whether the operation has to wait for its next turn; the task is woken for it.
    pub fn give_way(&mut self, cx: &Context<'_>) -> bool {
        let Some(decisions) = &mut self.0 else { return false };
        decisions.gave_way = !decisions.gave_way && decisions.stream.chance(decisions.share);
        if decisions.gave_way {
            cx.waker().wake_by_ref();
        }
        decisions.gave_way
    }
}

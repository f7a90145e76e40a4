//! The leak fence: what would escape the seed ends the program, with a backtrace that names it.
//!
//! Lints refuse real time, entropy, threads and hash maps in our own code. They do not read that
//! of dependencies, and a lint can be told to expect what it finds. So the C library's clocks,
//! entropy and threads are interposed in every program that links this crate, on Linux with
//! glibc: see `interposed`.
//!
//! On the thread of a simulation the fence is closed while a task runs. Around the tasks, where
//! schedulers and networks do their work, it is open: clocks then stand still and entropy comes
//! from the seed, so that nothing real gets in there either. On other threads nothing changes.
//!
//! Hash keys and `rand::rng` are another matter. A thread draws entropy for them once, or once in
//! 64 KiB, and tokio and WebSocket clients are the first who need it. So here it is drawn from the
//! seed, before anything plays: the order of a hash map and the numbers of that generator are the
//! same wherever a seed is played. Whoever depends on them is found by another salt.

#![cfg_attr(
    not(all(target_os = "linux", target_env = "gnu", not(fuzzing))),
    expect(dead_code, reason = "nothing is interposed there")
)]

#[cfg(all(target_os = "linux", target_env = "gnu", not(fuzzing)))]
mod callers;
#[cfg(all(target_os = "linux", target_env = "gnu", not(fuzzing)))]
mod interposed;
#[cfg(all(target_os = "linux", target_env = "gnu", not(fuzzing)))]
mod report;

use std::cell::{Cell, RefCell};
use std::hash::RandomState;

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What this thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fence {
    /// It plays no simulation.
    Absent,
    /// Whatever asks gets an answer that follows from the seed.
    Open,
    /// As open, and whoever asks is known from then on.
    Learning,
    /// Whatever asks ends the program.
    Closed,
}

thread_local! {
    static FENCE: Cell<Fence> = const { Cell::new(Fence::Absent) };
    static STORY: RefCell<Story> = const { RefCell::new(Story::NONE) };
}

/// What this thread plays.
struct Story {
    seed: u64,
    about: String,
    /// What entropy depends on, besides the seed.
    salt: u64,
    /// How often entropy was asked for.
    drawn: u64,
}

impl Story {
    const NONE: Self = Self { seed: 0, about: String::new(), salt: 0, drawn: 0 };
}

/// The fence of this thread is as it was before, once this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard(Fence);

impl Drop for Guard {
    fn drop(&mut self) {
        FENCE.set(self.0);
    }
}

/// From here on, this thread plays a seed of a story. The fence is open until it is [`close`]d.
///
/// `salt` changes the order of hash maps, and the masks of WebSocket clients. Nothing may depend on
/// either.
///
/// # Panics
///
/// Panics if the C library's functions are not interposed where they should be.
pub fn raise(seed: u64, salt: u64, about: &str) -> Guard {
    STORY.set(Story { seed, salt, about: about.to_owned(), drawn: 0 });
    let guard = Guard(FENCE.replace(Fence::Open));
    // The first of a thread to need hash keys draws them for all others; likewise `rand::rng`,
    // which these keys come from.
    let _ = (RandomState::new(), generate_key());
    #[cfg(all(target_os = "linux", target_env = "gnu", not(fuzzing)))]
    {
        assert!(time_stands_still(), "the leak fence is not linked into this program");
        callers::know_hyper();
    }
    guard
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(fuzzing)))]
#[expect(clippy::disallowed_methods, reason = "to see whether it is what the fence makes of it")]
fn time_stands_still() -> bool {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.is_ok_and(|since| since.as_millis() == u128::from(crate::runtime::EPOCH_UNIX_MS))
}

/// Closes the fence if this thread plays a simulation.
pub fn close() -> Guard {
    enter(Fence::Closed)
}

/// Opens the fence for what cannot do without, and says why. Do not hold it across an `await`.
pub fn allow(_reason: &'static str) -> Guard {
    enter(Fence::Open)
}

fn enter(fence: Fence) -> Guard {
    let before = FENCE.get();
    if before != Fence::Absent {
        FENCE.set(fence);
    }
    Guard(before)
}

/// A future that is polled behind the closed fence.
pub async fn closed<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let _closed = close();
        future.as_mut().poll(cx)
    })
    .await
}

/// Eight bytes instead of real entropy.
fn seeded() -> [u8; 8] {
    STORY.with_borrow_mut(|story| {
        story.drawn += 1;
        let number = [story.salt, story.drawn].map(u64::to_le_bytes);
        xxh3_64_with_seed(number.as_flattened(), story.seed).to_le_bytes()
    })
}

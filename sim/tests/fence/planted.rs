//! Leaks, and who commits them.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "planted leaks")]

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use rand::rand_core::TryRng as _;
use tickgate_sim::fence;
use tickgate_sim::history::Event;
use tickgate_sim::invariant::{Held, Invariant};

/// Something that a simulation must not do.
pub struct Plant {
    /// Its function.
    pub name: &'static str,
    pub act: fn() -> Result<(), String>,
    /// What the fence says.
    pub said: &'static str,
}

const CLOCK: &str = "a simulation reads a real clock";
const ENTROPY: &str = "a simulation draws real entropy";
const THREAD: &str = "a simulation starts a thread";

pub const PLANTS: &[Plant] = &[
    Plant { name: "monotonic_clock", act: monotonic_clock, said: CLOCK },
    Plant { name: "calendar", act: calendar, said: CLOCK },
    Plant { name: "system_rng", act: system_rng, said: ENTROPY },
    Plant { name: "raw_system_call", act: raw_system_call, said: ENTROPY },
    Plant { name: "blocking_task", act: blocking_task, said: THREAD },
    Plant { name: "plain_thread", act: plain_thread, said: THREAD },
    Plant { name: "after_an_allowed_look", act: after_an_allowed_look, said: CLOCK },
];

fn monotonic_clock() -> Result<(), String> {
    let _ = Instant::now();
    Ok(())
}

fn calendar() -> Result<(), String> {
    let _ = SystemTime::now();
    Ok(())
}

fn system_rng() -> Result<(), String> {
    rand::rngs::SysRng.try_next_u64().map(drop).map_err(|error| error.to_string())
}

fn raw_system_call() -> Result<(), String> {
    let mut buffer = [0_u8; 8];
    #[expect(unsafe_code, reason = "what a dependency might do")]
    // SAFETY: the buffer is as long as it says.
    let drawn = unsafe { libc::syscall(libc::SYS_getrandom, buffer.as_mut_ptr(), 8_usize, 0_u32) };
    if drawn == 8 { Ok(()) } else { Err(format!("{drawn} bytes")) }
}

fn blocking_task() -> Result<(), String> {
    drop(tokio::task::spawn_blocking(|| ()));
    Ok(())
}

fn plain_thread() -> Result<(), String> {
    std::thread::spawn(|| ()).join().map_err(|_| "it panicked".into())
}

fn after_an_allowed_look() -> Result<(), String> {
    {
        let _open = fence::allow("a test");
        let _ = Instant::now();
    }
    let _ = Instant::now();
    Ok(())
}

/// What the calendar shows.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

/// Fails with it.
pub fn order_of_a_hash_map() -> Result<(), String> {
    let map: HashMap<u32, ()> = (0..32).map(|number| (number, ())).collect();
    Err(map.keys().map(u32::to_string).collect::<Vec<_>>().join(" "))
}

/// Fails with it.
pub fn number_of_the_thread() -> Result<(), String> {
    Err(rand::rng().random::<u64>().to_string())
}

/// Is content until the end.
pub struct Discontent;

impl Invariant for Discontent {
    fn name(&self) -> &'static str {
        "discontent"
    }

    fn observe(&mut self, _: &Event, _: &Held<'_>) -> Result<(), String> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        Err("it is over".into())
    }
}

/// Does it once, at the first event, on the thread of the simulation.
pub struct Planted(Option<Box<dyn FnOnce() -> Result<(), String> + Send>>);

impl Planted {
    pub fn new(act: impl FnOnce() -> Result<(), String> + Send + 'static) -> Self {
        Self(Some(Box::new(act)))
    }
}

impl Invariant for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }

    fn observe(&mut self, _: &Event, _: &Held<'_>) -> Result<(), String> {
        self.0.take().map_or(Ok(()), |act| act())
    }
}

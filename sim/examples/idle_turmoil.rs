//! What turmoil's network costs where nothing happens: the floor under a seed on it.
//!
//! Six hosts, as in a standard storm, which wait for ever, go through as many milliseconds as a
//! standard storm takes. `idle_turmoil 10` plays ten such worlds; measure the program.

use std::process::ExitCode;
use std::time::Duration;

/// Gateway, broker, feed, operator and two groups of clients.
const HOSTS: usize = 6;
/// Milliseconds of a standard storm, with its beginning and its end.
const STEPS: usize = 2_600;

fn main() -> ExitCode {
    let argument = |at, otherwise| match std::env::args().nth(at) {
        Some(text) => text.parse().ok(),
        None => Some(otherwise),
    };
    let (Some(worlds), Some(hosts)) = (argument(1, 10), argument(2, HOSTS)) else {
        eprintln!("usage: idle_turmoil [WORLDS] [HOSTS]");
        return ExitCode::from(2);
    };
    for seed in 0..worlds {
        if let Err(error) = idle(seed as u64, hosts) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn idle(seed: u64, hosts: usize) -> turmoil::Result {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(1))
        .simulation_duration(Duration::MAX)
        .build();
    for host in 0..hosts {
        sim.host(format!("host-{host}"), std::future::pending);
    }
    for _ in 0..STEPS {
        sim.step()?;
    }
    Ok(())
}

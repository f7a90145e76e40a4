//! The deterministic simulator of tickgate.
//!
//! It runs the gateway's own server code under a simulated network with scripted brokers,
//! publishers and clients. A [`scenario`] and a seed expand into a [`plan`]; a [`world`] plays the
//! plan; what everybody saw goes into a [`history`]; [`invariant`]s judge it; the result is a
//! [`verdict`].
//!
//! One seed decides everything: the same scenario and seed give the same trace, byte for byte, in
//! any process on any machine.

#[cfg(not(tokio_unstable))]
compile_error!(
    "tickgate-sim needs `--cfg tokio_unstable`: without it a panic in a spawned task does not \
     fail a simulation, and `select!` does not follow the seed. The workspace sets it in \
     .cargo/config.toml, but a RUSTFLAGS in the environment replaces that setting: unset it, or \
     add `--cfg tokio_unstable` to it"
);

pub mod actors;
pub mod broker_host;
pub mod bugs;
pub mod cli;
pub mod client_name;
pub mod coverage;
pub mod expect;
pub mod fault;
pub mod fence;
pub mod fuzzing;
pub mod history;
pub mod invariant;
pub mod log_capture;
pub mod model;
pub mod mutants;
pub mod plan;
pub mod playable;
pub mod report;
pub mod rng;
pub mod runtime;
pub mod scenario;
pub mod shrink;
pub mod story;
pub mod topic_name;
pub mod verdict;
pub mod walk;
pub mod world;

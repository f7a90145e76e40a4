//! tickgate: a market-data gateway. Ticks come in on ZeroMQ, go out to WebSocket clients; one
//! broker subscription is shared by all who want it.
//!
//! The map is in ARCHITECTURE.md. In short: `engine` decides and is pure, `server` waits and
//! moves bytes, `runtime` is the seam to the world, and the simulator runs `server` unchanged.

pub mod audit;
pub mod auth;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod broker;
pub mod cli;
pub mod config;
pub mod engine;
pub mod marks;
pub mod protocol;
pub mod recording;
pub mod runtime;
pub mod server;
pub mod topic;
pub mod zmtp;

//! Those who surround the gateway: clients, an adapter host, a publisher, an operator.
//!
//! Each plays its part of the plan and reports to the [`Stage`] what it sees. None of them judges.

pub mod broker;
pub mod client;
pub mod feed;
pub mod http;
pub mod operator;
mod stage;

pub use stage::{ClientState, Stage};

/// Where the gateway listens for clients, as `host:port`.
pub const WEBSOCKET_ADDR: &str = "gateway:8765";
/// Where the gateway listens for publishers, as `host:port`.
pub const BUS_ADDR: &str = "gateway:5555";
/// Where the gateway serves its operator, as `host:port`.
pub const ADMIN_ADDR: &str = "gateway:8766";

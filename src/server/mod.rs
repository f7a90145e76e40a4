//! The shells: tasks that wait, translate and hand over, and decide nothing.
//!
//! [`Gateway::start`] binds the sockets and starts the tasks: the door, one for each client, the
//! hub, the shards, the feed, one for each broker, the admin port. All of them run on any
//! [`Runtime`](crate::runtime::Runtime): real sockets in production, a seeded network in
//! simulation.

pub mod admin;
mod administrator;
mod broadcast;
mod broker;
mod client;
mod credential;
mod door;
mod failure;
mod feed;
mod forwarded;
mod gateway;
mod heartbeat;
mod hub;
pub mod metrics;
mod parts;
mod shard;
mod sockets;
mod source;
mod stats_file;
pub mod status;
mod tls;
mod turned_away;
mod turns;
mod upgrade;

pub use administrator::{Administrator, LogControl};
pub use failure::Failure;
pub use gateway::{Addresses, Gateway, StartError};
pub use tls::{BadCertificate, Certificate, MaybeTls};

//! The async shells: they wait, translate and hand over, and decide nothing.

pub mod admin;
pub mod auth;
pub mod metrics;
pub mod status;

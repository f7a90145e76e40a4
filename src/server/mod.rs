//! Under construction.

pub mod admin;
pub mod metrics;
pub mod status;

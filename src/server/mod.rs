//! Under construction.

pub mod auth;

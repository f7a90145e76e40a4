//! Under construction.

pub mod control;

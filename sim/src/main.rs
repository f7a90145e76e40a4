//! The simulator's program.

fn main() {}

//! Recordings, and bodies of their blocks.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::recording(bytes));

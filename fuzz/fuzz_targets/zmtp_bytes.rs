//! Streams of ZMTP peers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::zmtp_bytes(bytes));

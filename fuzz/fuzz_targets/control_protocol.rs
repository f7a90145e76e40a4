//! Messages of the broker control protocol.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::control_protocol(bytes));

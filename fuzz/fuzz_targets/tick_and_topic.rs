//! Topics and payloads of the bus.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::tick_and_topic(bytes));

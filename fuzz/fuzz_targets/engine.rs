//! Bytes decide the events of a walk; the engine is compared with the reference model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::engine(bytes));

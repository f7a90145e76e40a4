//! Messages of clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tickgate_sim::fuzzing::client_request(bytes));

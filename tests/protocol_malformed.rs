//! Every malformed request of the table gets its documented answer, as far as the parser decides.

use tickgate::protocol::{Incoming, ParseLimits, Reject, Request, parse_request};

use crate::common::malformed::{self, By, Case, Expected, State};

#[test]
fn the_table_is_large_enough_and_its_names_are_unique() {
    let cases = malformed::cases();
    let mut names: Vec<&str> = cases.iter().map(|case| &*case.name).collect();
    names.sort_unstable();
    names.dedup();

    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 100, "{}", cases.len());
    assert!(cases.iter().filter(|case| case.state == State::Before).count() >= 15);
}

#[test]
fn every_malformed_request_gets_its_documented_answer() {
    for case in malformed::cases().iter().filter(|case| case.by == By::Parser) {
        let incoming = parse_request(&payload(case), &ParseLimits::default());
        check(case, &incoming);
    }
}

#[test]
fn what_the_engine_decides_is_readable() {
    for case in malformed::cases().iter().filter(|case| case.by == By::Engine) {
        let incoming = parse_request(&payload(case), &ParseLimits::default());

        assert!(incoming.body.is_ok(), "{}: {:?}", case.name, incoming.body);
        assert_eq!(request_id(&incoming), case.request_id, "{}", case.name);
    }
}

#[test]
fn a_case_is_written_as_masked_frames() {
    let cases = malformed::cases();
    let wire = |name: &str| cases.iter().find(|case| case.name == name).unwrap().wire();

    assert_eq!(wire("empty text frame"), [0x81, 0x80, 0x37, 0xfa, 0x21, 0x3d]);
    assert_eq!(wire("null")[..2], [0x81, 0x84]);
    assert_eq!(wire("null")[6..], [b'n' ^ 0x37, b'u' ^ 0xfa, b'l' ^ 0x21, b'l' ^ 0x3d]);
    assert_eq!(wire("a frame without a mask")[..3], [0x81, 17, b'{']);
    assert_eq!(wire("a frame that claims 2^40 bytes")[..10], [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(wire("a message of 65537 bytes")[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1]);
}

/// What the parser gets to see: the payload of the data frames, joined.
fn payload(case: &Case) -> Vec<u8> {
    let data = case.frames.iter().filter(|frame| frame.opcode < 8);
    data.flat_map(|frame| frame.payload.clone()).collect()
}

fn check(case: &Case, incoming: &Incoming) {
    let name = &case.name;
    match &case.expected {
        Expected::Error(code) => {
            let reject = incoming.body.as_ref().expect_err(name);
            check_reject(case, reject, code);
        }
        Expected::Row(code) => {
            let rejects = failed_rows(incoming.body.as_ref().expect(name));
            check_reject(case, rejects.first().expect(name), code);
        }
        Expected::Answer(kind) => {
            assert_eq!(kind, "pong", "{name}");
            assert!(matches!(incoming.body, Ok(Request::Ping { .. })), "{name}: {incoming:?}");
        }
        Expected::Nothing | Expected::Close(_) => panic!("{name}: the parser answers everything"),
    }
    assert_eq!(request_id(incoming), case.request_id, "{name}");
}

fn check_reject(case: &Case, reject: &Reject, code: &str) {
    assert_eq!(reject.code.as_str(), code, "{}", case.name);
    if let Some(message) = &case.message {
        assert_eq!(&reject.message, message, "{}", case.name);
    }
    assert!(reject.message.len() < 300, "{}", case.name);
}

fn failed_rows(request: &Request) -> Vec<Reject> {
    match request {
        Request::Subscribe(rows) => {
            rows.iter().filter_map(|row| row.as_ref().err()).map(|bad| bad.reject.clone()).collect()
        }
        Request::Unsubscribe(rows) => {
            rows.iter().filter_map(|row| row.as_ref().err()).map(|bad| bad.reject.clone()).collect()
        }
        other => panic!("no rows in {other:?}"),
    }
}

fn request_id(incoming: &Incoming) -> Option<String> {
    incoming.request_id.as_ref().map(|id| id.get().to_owned())
}

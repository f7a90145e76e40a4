//! What a client makes of what it reads.

use std::net::TcpListener;

use super::*;
use crate::bench::workload::{Stamp, payload};
use crate::protocol::frame::{close_frame, text_frame};

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A client of topics 3 and 7 that has asked for its upgrade.
fn client() -> Client {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(nobody.local_addr().unwrap()).unwrap();
    let mut client = Client::new(stream, vec![3, 7], true, 0);
    client.state = State::Upgrading;
    client
}

fn greeting(dialect: Dialect) -> Greeting {
    Greeting { host: "h".into(), path: "/".into(), key: "k".into(), dialect }
}

fn tick(topic: u32, sequence: u32, due_ns: u64) -> Vec<u8> {
    payload(Stamp { topic, sequence, due_ns }, 200)
}

fn message(topic: u32, sequence: u32, due_ns: u64) -> Vec<u8> {
    let tick = String::from_utf8(tick(topic, sequence, due_ns)).unwrap();
    text_frame(format!(r#"{{"type":"market_data","data":{tick}}}"#).as_bytes()).to_vec()
}

/// Reads at 1,000 ns.
fn take(client: &mut Client, tally: &mut Tally, dialect: Dialect, bytes: &[u8]) -> Progress {
    let (used, progress) = client.take(bytes, &greeting(dialect), tally, 1_000).unwrap();
    assert_eq!(used, bytes.len());
    progress
}

#[test]
fn ticks_are_counted_by_topic_and_late_if_they_were_due_in_the_measured_time() {
    let (mut client, mut tally) = (client(), Tally::of(500..900));
    let answers = [
        UPGRADED,
        &text_frame(br#"{"type":"auth","status":"success"}"#),
        &text_frame(br#"{"type":"subscribe","status":"success"}"#),
    ];
    assert_eq!(
        take(&mut client, &mut tally, Dialect::Tickgate, &answers.concat()),
        Progress::Ready
    );
    let ticks = [
        // Due before: it counts, but nobody asks how late it is.
        message(3, 0, 499),
        message(7, 0, 500),
        // Two are left out, one comes twice, one is nobody's.
        message(3, 3, 899),
        message(3, 3, 900),
        message(5, 0, 600),
    ];

    take(&mut client, &mut tally, Dialect::Tickgate, &ticks.concat());

    let Tally { delivered, skipped, misordered, foreign, .. } = tally;
    assert_eq!((delivered, skipped, misordered, foreign), (5, 2, 1, 1));
    assert_eq!(tally.latency.max(), 500);
    assert_eq!(tally.latency.quantile(0.1), 101);
    // Of topic 3, two were published behind the last that was read; of topic 7, none.
    assert_eq!(client.reader.missing(&[9, 9, 9, 6, 9, 9, 9, 1]), 2);
}

#[test]
fn operations_of_nats_span_frames_and_reads() {
    let mut said = b"INFO {}\r\nPING\r\nPONG\r\n".to_vec();
    for (topic, sequence) in [(3, 0), (7, 0), (3, 1)] {
        let tick = tick(topic, sequence, 600);
        said.extend_from_slice(format!("MSG NSE_BENCH{topic}_LTP 1 {}\r\n", tick.len()).as_bytes());
        said.extend_from_slice(&tick);
        said.extend_from_slice(b"\r\n");
    }
    for (frame_bytes, read_bytes) in [(1, 1), (7, 3), (100, 64), (10_000, 10_000), (300, 1_000)] {
        let (mut client, mut tally) = (client(), Tally::of(0..u64::MAX));
        let mut bytes = UPGRADED.to_vec();
        for piece in said.chunks(frame_bytes) {
            bytes.extend_from_slice(&text_frame(piece));
        }
        let mut rest = Vec::new();
        let mut progress = Vec::new();
        for read in bytes.chunks(read_bytes) {
            rest.extend_from_slice(read);
            let greeting = greeting(Dialect::Nats);
            let (used, made) = client.take(&rest, &greeting, &mut tally, 1_000).unwrap();
            rest.drain(..used);
            progress.push(made);
        }
        assert!(rest.is_empty());
        assert_eq!((tally.delivered, tally.skipped, tally.foreign), (3, 0, 0));
        assert_eq!(progress.iter().filter(|made| **made == Progress::Ready).count(), 1);
        let said = String::from_utf8_lossy(&client.out).into_owned();
        assert!(said.contains("SUB NSE_BENCH7_LTP 8\r\nPING\r\n"), "{said}");
        assert!(said.contains("PONG\r\n"), "{said}");
    }
}

#[test]
fn what_a_server_does_not_like_ends_the_connection() {
    for (dialect, said, expected) in [
        (Dialect::Tickgate, close_frame(1013, "late").to_vec(), "closed with 1013 late"),
        (Dialect::Tickgate, text_frame(br#"{"status":"error"}"#).to_vec(), "the gateway says"),
        (Dialect::Nats, text_frame(b"-ERR 'Slow Consumer'\r\n").to_vec(), "Slow Consumer"),
        (Dialect::Nats, text_frame(b"MSG x 1 2\r\nab\r\n").to_vec(), "breaks the protocol"),
        (Dialect::Nats, close_frame(1011, "x").to_vec(), "closed with 1011"),
    ] {
        let mut tally = Tally::of(0..0);
        let bytes = [UPGRADED, &said].concat();
        let result = client().take(&bytes, &greeting(dialect), &mut tally, 0);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_gap_that_the_next_tick_tells_otherwise_is_counted() {
    let (mut client, mut tally) = (client(), Tally::of(0..900));
    client.state = State::Ready;
    let told = |sequence: u32, skipped: u32| {
        let tick = String::from_utf8(tick(3, sequence, 600)).unwrap();
        let said = format!(r#"{{"type":"market_data","skipped":{skipped},"data":{tick}}}"#);
        text_frame(said.as_bytes()).to_vec()
    };
    // Two left out and told; one, and nothing said; one, and two told.
    let ticks = [message(3, 0, 600), told(3, 2), message(3, 5, 600), told(7, 2)];
    take(&mut client, &mut tally, Dialect::Tickgate, &ticks.concat());
    assert_eq!((tally.delivered, tally.skipped, tally.untold), (4, 4, 2));
}

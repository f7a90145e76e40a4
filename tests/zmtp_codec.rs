//! The codec against every way of cutting, and against what nobody should send.

use bytes::Bytes;
use proptest::prelude::*;
use tickgate::zmtp::Message;
use tickgate::zmtp::codec::{
    Command, Decoder, GREETING, GREETING_BYTES, Greeting, Item, Limits, ProtocolError,
    encode_command, encode_message, encode_ready, encode_subscription, encoded_len, parse_greeting,
};

const LIMITS: Limits =
    Limits { frame_bytes_max: 100_000, parts_max: 8, message_bytes_max: 200_000 };

/// Feeds a decoder and takes what it finds.
fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Item>, ProtocolError> {
    decoder.read_buffer().extend_from_slice(bytes);
    decoder.filled(bytes.len());
    let mut items = Vec::new();
    while let Some(item) = decoder.next_item()? {
        items.push(item);
    }
    Ok(items)
}

fn decode(bytes: &[u8]) -> Result<Vec<Item>, ProtocolError> {
    feed(&mut Decoder::new(LIMITS), bytes)
}

fn long_header(flags: u8, claimed: u64) -> Vec<u8> {
    [&[flags | 0x02][..], &claimed.to_be_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(16).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
}

/// A stream with everything in it, and what it means.
fn sample() -> (Vec<u8>, Vec<Item>) {
    let messages = [
        Message::single(""),
        Message::pair(&b"NSE_RELIANCE_LTP"[..], &b"{\"ltp\":1}"[..]),
        Message::from(vec![Bytes::new(), Bytes::from(vec![1; 255]), Bytes::from(vec![2; 256])]),
    ];
    let mut bytes = Vec::new();
    let mut items = Vec::new();
    for message in messages {
        encode_message(&message, &mut bytes);
        items.push(Item::Message(message));
        encode_command("PING", b"\x00\x00context", &mut bytes);
        items.push(Item::Command(Bytes::from_static(b"\x04PING\x00\x00context")));
    }
    (bytes, items)
}

#[test]
fn the_handshake_is_these_bytes() {
    let mut out = GREETING.to_vec();
    for socket_type in ["SUB", "PUB", "DEALER", "ROUTER"] {
        encode_ready(socket_type, &mut out);
    }
    insta::assert_snapshot!("handshake", hex(&out));
}

#[test]
fn the_traffic_is_these_bytes() {
    let mut out = Vec::new();
    encode_subscription(true, b"NSE_", &mut out);
    encode_subscription(false, b"NSE_", &mut out);
    encode_message(&Message::pair(&b"NSE_TCS_LTP"[..], vec![b'x'; 256]), &mut out);
    encode_command("PING", &[0, 0], &mut out);
    encode_command("PONG", b"ctx", &mut out);
    insta::assert_snapshot!("traffic", hex(&out));
}

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    let (bytes, items) = sample();
    assert_eq!(decode(&bytes).as_ref(), Ok(&items));
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::new(LIMITS);
        let mut seen = feed(&mut decoder, &bytes[..cut]).expect("good");
        seen.extend(feed(&mut decoder, &bytes[cut..]).expect("good"));
        assert_eq!(seen, items, "cut at {cut}");
    }
    let mut decoder = Decoder::new(LIMITS);
    let dripped: Vec<Item> =
        bytes.iter().flat_map(|byte| feed(&mut decoder, &[*byte]).expect("good")).collect();
    assert_eq!(dripped, items, "byte by byte");
}

#[test]
fn a_greeting_is_judged_as_soon_as_it_can_be() {
    for len in 0..GREETING_BYTES {
        assert_eq!(parse_greeting(&GREETING[..len]), Ok(None));
    }
    assert_eq!(parse_greeting(&GREETING), Ok(Some(Greeting { minor: 1 })));
    let changed = |index: usize, byte: u8| {
        let mut greeting = GREETING;
        greeting[index] = byte;
        parse_greeting(&greeting)
    };
    assert_eq!(changed(8, 1), Ok(Some(Greeting { minor: 1 })), "libzmq's signature");
    assert_eq!(changed(11, 0), Ok(Some(Greeting { minor: 0 })));
    assert_eq!(changed(10, 4), Ok(Some(Greeting { minor: 1 })), "speaks 3.1 with us");
    assert_eq!(changed(10, 2), Err(ProtocolError::OldVersion(2)));
    assert_eq!(changed(16, b'X'), Err(ProtocolError::Mechanism));
    assert_eq!(changed(9, 0), Err(ProtocolError::NotZmtp));
    assert_eq!(parse_greeting(b"G"), Err(ProtocolError::NotZmtp), "at the first byte");
}

#[test]
fn a_frame_that_claims_too_much_is_refused_before_anything_is_allocated() {
    for claimed in [100_001, 1 << 36, 1 << 45, 1 << 63, u64::MAX] {
        for flags in [0x00, 0x01, 0x04] {
            let mut decoder = Decoder::new(LIMITS);
            let refused = feed(&mut decoder, &long_header(flags, claimed));
            assert_eq!(refused, Err(ProtocolError::FrameTooLong { claimed, limit: 100_000 }));
            assert!(decoder.read_buffer().capacity() <= 8 << 10);
        }
    }
    let tiny = Limits { frame_bytes_max: 10, ..LIMITS };
    let refused = feed(&mut Decoder::new(tiny), &[0x00, 11]);
    assert_eq!(refused, Err(ProtocolError::FrameTooLong { claimed: 11, limit: 10 }));
}

#[test]
fn a_frame_at_the_limit_is_taken_and_memory_follows_what_arrived() {
    let mut decoder = Decoder::new(LIMITS);
    assert_eq!(feed(&mut decoder, &long_header(0, 100_000)), Ok(vec![]));
    for arrived in 1..=100_000_usize {
        let found = feed(&mut decoder, b"x").expect("good");
        assert_eq!(found.len(), usize::from(arrived == 100_000));
        let room = decoder.read_buffer().capacity();
        assert!(room <= 2 * arrived + (8 << 10), "{room} for {arrived}");
    }
}

#[test]
fn flags_without_a_meaning_are_refused() {
    for flags in 0..=u8::MAX {
        let refused = decode(&[flags, 0, 0, 0, 0, 0, 0, 0, 0]).is_err();
        assert_eq!(refused, !matches!(flags, 0x00..=0x04 | 0x06), "{flags:#04x}");
    }
}

#[test]
fn too_many_parts_are_refused_and_so_is_too_long_a_message() {
    let parts = |count: usize| [0x01, 0].repeat(count);
    assert_eq!(decode(&[parts(7), vec![0x00, 0]].concat()).map(|items| items.len()), Ok(1));
    assert_eq!(decode(&parts(9)), Err(ProtocolError::TooManyParts { limit: 8 }));

    let part = [long_header(0x01, 100_000), vec![0; 100_000]].concat();
    let fits = [&part[..], &part, &[0x00, 0]].concat();
    assert_eq!(decode(&fits).map(|items| items.len()), Ok(1));
    let exceeds = [&part[..], &part, &[0x00, 1]].concat();
    assert_eq!(decode(&exceeds), Err(ProtocolError::MessageTooLong { limit: 200_000 }));
}

#[test]
fn the_parts_of_one_message_do_not_count_for_the_next() {
    let mut bytes = Vec::new();
    let eight = Message::from_parts((0..8).map(|_| Bytes::from(vec![0; 25_000])));
    for _ in 0..3 {
        encode_message(&eight, &mut bytes);
    }
    assert_eq!(decode(&bytes), Ok(vec![Item::Message(eight); 3]));
}

#[test]
fn commands_are_read_or_refused_but_never_misread() {
    let parse = |body: &'static [u8]| Command::parse(Bytes::from_static(body));
    let bad = |name| Err(ProtocolError::Malformed(name));
    assert_eq!(parse(b""), bad("nameless"));
    assert_eq!(parse(b"\x00"), bad("nameless"));
    assert_eq!(parse(b"\x05PING"), bad("nameless"));
    assert_eq!(parse(b"\x04PING\x00"), bad("PING"));
    assert_eq!(parse(b"\x04PING\x00\x00seventeen bytes.."), bad("PING"));
    assert_eq!(parse(b"\x04PING\xff\xff"), Ok(Command::Ping { context: Bytes::new() }));
    assert_eq!(parse(b"\x04PONGanything"), Ok(Command::Pong));
    assert_eq!(parse(b"\x04ping\x00"), Ok(Command::Unknown));
    assert_eq!(parse(b"\x09SUBSCRIBE"), Ok(Command::Subscribe(Bytes::new())));
    assert_eq!(parse(b"\x06CANCELx"), Ok(Command::Cancel(Bytes::from("x"))));
    assert_eq!(parse(b"\x05ERROR"), bad("ERROR"));
    assert_eq!(parse(b"\x05ERROR\x05no"), bad("ERROR"));
    let reason = Command::Error("no\u{fffd}way".into());
    assert_eq!(parse(b"\x05ERROR\x06no\nwayignored"), Ok(reason));
    assert_eq!(parse(b"\x05READY"), Ok(Command::Ready(tickgate::zmtp::codec::Ready::default())));
    for cut in [
        &b"\x05READY\x00"[..],
        b"\x05READY\x0bSocket",
        b"\x05READY\x0bSocket-Type",
        b"\x05READY\x0bSocket-Type\x00\x00\x00",
        b"\x05READY\x0bSocket-Type\x00\x00\x00\x04PUB",
        b"\x05READY\x0bSocket-Type\xff\xff\xff\xffPUB",
    ] {
        assert_eq!(Command::parse(Bytes::copy_from_slice(cut)), bad("READY"));
    }
}

#[test]
fn ready_tells_type_and_identity_in_any_case_and_order() {
    let body = b"\x05READY\x08identity\x00\x00\x00\x03abc\x01X\x00\x00\x00\x00\
        \x0bSOCKET-TYPE\x00\x00\x00\x06DEALER";
    let Ok(Command::Ready(ready)) = Command::parse(Bytes::from_static(body)) else {
        panic!("READY")
    };
    assert_eq!((&*ready.socket_type, &ready.identity[..]), ("DEALER", &b"abc"[..]));
    let long = [&b"\x05READY\x08Identity\x00\x00\x01\x00"[..], &[b'x'; 256]].concat();
    assert_eq!(Command::parse(long.into()), Err(ProtocolError::Malformed("READY")));
}

fn any_message() -> impl Strategy<Value = Message> {
    let part = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 250..300),
        1 => prop::collection::vec(any::<u8>(), 5_000..20_000),
    ];
    prop::collection::vec(part.prop_map(Bytes::from), 1..6).prop_map(Message::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        messages in prop::collection::vec(any_message(), 0..8),
        cuts in prop::collection::vec(1..9_000_usize, 1..10),
    ) {
        let mut bytes = Vec::new();
        for message in &messages {
            encode_message(message, &mut bytes);
        }
        prop_assert_eq!(bytes.len(), messages.iter().map(encoded_len).sum::<usize>());
        let mut decoder = Decoder::new(LIMITS);
        let mut seen = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            seen.extend(feed(&mut decoder, now).expect("good"));
            rest = later;
        }
        prop_assert_eq!(seen, messages.into_iter().map(Item::Message).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_it_panic_or_hoard(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut decoder = Decoder::new(LIMITS);
        let mut offset = 0;
        for chunk in bytes.chunks(7) {
            offset += chunk.len();
            let Ok(items) = feed(&mut decoder, chunk) else { break };
            for item in items {
                if let Item::Command(body) = item {
                    let _any = Command::parse(body);
                }
            }
            prop_assert!(decoder.read_buffer().capacity() <= 2 * offset + (8 << 10));
        }
        let _any = parse_greeting(&bytes);
    }
}

//! Whole files: written, cut, damaged and read back.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

const STARTED_NS: u64 = 1_800_000_000_123_456_789;

fn tick(at_ns: u64, topic: &str, payload: &[u8]) -> Tick {
    let topic = Bytes::copy_from_slice(topic.as_bytes());
    Tick { at_ns, topic, payload: Bytes::copy_from_slice(payload) }
}

/// A file of these blocks that ends as it should.
fn file(blocks: &[Vec<Tick>], length_ns: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), STARTED_NS).unwrap();
    let mut builder = BlockBuilder::default();
    for block in blocks {
        for tick in block {
            builder.push(tick.at_ns, &tick.topic, &tick.payload).unwrap();
        }
        if let Some(block) = builder.take() {
            writer.write(&block).unwrap();
        }
    }
    writer.finish(length_ns).unwrap();
    let counted = writer.bytes();
    let bytes = writer.into_inner();
    assert_eq!(counted, bytes.len() as u64);
    bytes
}

fn read(reader: &mut Reader<Cursor<&[u8]>>) -> (Vec<Tick>, End) {
    let mut ticks = Vec::new();
    loop {
        match reader.next_ticks().unwrap() {
            Next::Ticks(more) => ticks.extend(more),
            Next::End(end) => return (ticks, end),
        }
    }
}

fn read_all(bytes: &[u8]) -> (Vec<Tick>, End) {
    read(&mut Reader::new(Cursor::new(bytes)).unwrap())
}

/// Three blocks of a few ticks.
fn story() -> Vec<Vec<Tick>> {
    vec![
        vec![tick(0, "NSE_TCS_LTP", b"{\"ltp\":1.10}"), tick(7, "NSE_TCS_LTP", b"{}")],
        vec![tick(7, "NSE_INFY_QUOTE", b"{\"ltp\":NaN}")],
        vec![tick(1_000_000_000, "NSE_TCS_LTP", b""), tick(1_000_000_001, "\u{fffd}", &[0xff; 9])],
    ]
}

const LENGTH_NS: u64 = 2_000_000_000;

#[test]
fn what_was_written_is_read_back_with_its_times() {
    let bytes = file(&story(), LENGTH_NS);
    let mut reader = Reader::new(Cursor::new(&bytes[..])).unwrap();
    assert_eq!(reader.started_unix_ns(), STARTED_NS);
    let whole = End::Whole { length_ns: LENGTH_NS };
    assert_eq!(read(&mut reader), (story().concat(), whole));
    assert_eq!(reader.next_ticks().unwrap(), Next::End(whole), "however often it is asked");
}

#[test]
fn the_layout_is_as_documented() {
    let bytes = file(&story(), LENGTH_NS);
    assert_eq!(&bytes[..10], b"tickrec\n\x01\x00");
    assert_eq!(bytes[16..24], STARTED_NS.to_le_bytes());
    assert_eq!(&bytes[32..36], b"TICK");
    let body = u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
    let raw = zstd::bulk::decompress(&bytes[72..72 + body], RAW_BYTES_MAX).unwrap();
    assert_eq!(raw, b"\x00\x00\x0bNSE_TCS_LTP\x0c{\"ltp\":1.10}\x07\x01\x02{}");
    assert_eq!(&bytes[72 + body..76 + body], b"TICK");
    let end = bytes.len() - 40;
    assert_eq!(&bytes[end..end + 4], b"DONE");
    assert_eq!(bytes[end + 16..end + 24], 5_u64.to_le_bytes());
    assert_eq!(bytes[end + 24..end + 32], LENGTH_NS.to_le_bytes());
}

#[test]
fn a_file_that_was_cut_anywhere_is_good_up_to_its_last_whole_block() {
    let bytes = file(&story(), LENGTH_NS);
    let mut block_ends = vec![32];
    let mut good = 0;
    for (at, _) in bytes.windows(4).enumerate().filter(|(_, at)| *at == b"TICK") {
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        block_ends.push(at + 40 + body);
    }
    assert_eq!(block_ends.len(), 4);
    for length in 32..bytes.len() {
        if block_ends.get(good + 1).is_some_and(|end| *end <= length) {
            good += 1;
        }
        let (ticks, end) = read_all(&bytes[..length]);
        assert_eq!(ticks, story()[..good].concat(), "cut to {length} bytes");
        assert_eq!(end, End::Cut { at: block_ends[good] as u64 }, "cut to {length} bytes");
        assert!(end.notice().unwrap().contains("was cut off"));
    }
    for length in 0..32 {
        let bad = Reader::new(Cursor::new(&bytes[..length])).unwrap_err();
        assert!(matches!(bad, BadRecording::NotARecording), "{bad:?}");
    }
}

#[test]
fn a_damaged_byte_is_noticed_wherever_it_is() {
    let bytes = file(&story(), LENGTH_NS);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let Ok(mut reader) = Reader::new(Cursor::new(&damaged[..])) else {
            assert!(at < 32, "byte {at}");
            continue;
        };
        let (ticks, end) = read(&mut reader);
        assert!(!matches!(end, End::Whole { .. }), "byte {at}");
        assert!(story().concat().starts_with(&ticks), "byte {at}: what is read is good");
        assert!(end.notice().is_some());
    }
}

#[test]
fn seeking_leaves_out_what_was_before_and_nothing_else() {
    let bytes = file(&story(), LENGTH_NS);
    let mut reader = Reader::new(Cursor::new(&bytes[..])).unwrap();
    for from_ns in [0, 1, 7, 8, 1_000_000_001, 1_000_000_002, u64::MAX, 0] {
        reader.seek(from_ns).unwrap();
        let (ticks, end) = read(&mut reader);
        let wanted: Vec<_> =
            story().concat().into_iter().filter(|tick| tick.at_ns >= from_ns).collect();
        assert_eq!(ticks, wanted, "from {from_ns}");
        assert_eq!(end, End::Whole { length_ns: LENGTH_NS }, "from {from_ns}");
    }
}

#[test]
fn bodies_before_the_place_that_is_sought_are_not_read() {
    let mut bytes = file(&story(), LENGTH_NS);
    bytes[75] ^= 0xff;
    let mut reader = Reader::new(Cursor::new(&bytes[..])).unwrap();
    reader.seek(8).unwrap();
    assert_eq!(read(&mut reader).0, story()[2]);
}

#[test]
fn a_later_version_and_foreign_files_are_told_apart() {
    let mut bytes = file(&[], 0);
    bytes[8] = 2;
    let reason = |bytes: &[u8]| Reader::new(Cursor::new(bytes)).unwrap_err().to_string();
    assert_eq!(reason(&bytes), "it has version 2 of the format, and this program reads version 1");
    bytes[8] = 1;
    bytes[20] ^= 1;
    assert_eq!(reason(&bytes), "its first 32 bytes are damaged");
    assert!(reason(&[b' '; 64]).starts_with("it is no recording"));
}

#[test]
fn a_body_that_decompresses_to_more_than_it_says_is_refused() {
    let raw = vec![0_u8; 64 << 20];
    let body = zstd::bulk::compress(&raw, 1).unwrap();
    let head = layout::BodyHead {
        body_bytes: body.len(),
        raw_bytes: 300,
        ticks: 100,
        first_ns: 0,
        last_ns: 0,
        checksum: 0,
    };
    assert_eq!(block::decode(&head, &body), Err(Damage::Body));
}

#[test]
fn a_summary_counts_what_is_there() {
    let bytes = file(&story(), LENGTH_NS);
    let summary = Summary::of(&mut Reader::new(Cursor::new(&bytes[..])).unwrap()).unwrap();
    assert_eq!(summary.ticks, 5);
    assert_eq!(summary.topics[&b"NSE_TCS_LTP"[..]], 3);
    assert_eq!(summary.topics.len(), 3);
    assert_eq!(summary.span_ns, Some((0, 1_000_000_001)));
    assert_eq!(summary.length_ns(), LENGTH_NS);
    let cut = &bytes[..bytes.len() - 1];
    let summary = Summary::of(&mut Reader::new(Cursor::new(cut)).unwrap()).unwrap();
    assert_eq!((summary.ticks, summary.length_ns()), (5, 1_000_000_001));
}

fn ticks() -> impl Strategy<Value = Vec<Vec<Tick>>> {
    let topic = prop_oneof![Just("NSE_TCS_LTP".to_owned()), "[A-Z_]{0,20}"];
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    let one = (0..3_u64, topic, payload);
    let blocks = prop::collection::vec(prop::collection::vec(one, 0..20), 0..5);
    blocks.prop_map(|blocks| {
        let mut at_ns = 0;
        let one = |(gap_ns, topic, payload): (u64, String, Vec<u8>)| {
            at_ns += gap_ns << 20;
            tick(at_ns, &topic, &payload)
        };
        let mut one = one;
        blocks.into_iter().map(|block| block.into_iter().map(&mut one).collect()).collect()
    })
}

proptest! {
    #[test]
    fn any_ticks_come_back_as_they_were(blocks in ticks()) {
        let bytes = file(&blocks, u64::MAX);
        prop_assert_eq!(read_all(&bytes), (blocks.concat(), End::Whole { length_ns: u64::MAX }));
    }

    #[test]
    fn any_bytes_behind_a_head_end_the_reading(junk: Vec<u8>, kind in 0..3_usize) {
        let mut bytes = file(&story(), LENGTH_NS);
        bytes.truncate(bytes.len() - 40);
        bytes.extend_from_slice([&b"TICK"[..], b"DONE", b""][kind]);
        bytes.extend_from_slice(&junk);
        let (ticks, end) = read_all(&bytes);
        prop_assert_eq!(ticks, story().concat());
        prop_assert!(end.notice().is_some());
    }
}

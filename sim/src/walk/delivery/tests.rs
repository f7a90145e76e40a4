use tickgate::protocol::frame::with_skipped;

use super::*;

type Lie = fn(Mail) -> Option<Mail>;

/// What the walk says of a shard that is told something else than the model.
fn complaint(shard: Lie) -> String {
    complaint_within(50, Tamper { shard, ..Tamper::NONE })
}

fn complaint_within(seeds: u64, tamper: Tamper) -> String {
    let found = (0..seeds).find_map(|seed| walk_with(seed, Options::default(), tamper).err());
    found.expect("the walk notices it").reason
}

#[test]
fn mail_that_a_shard_does_not_get_is_missed() {
    let lost: [Lie; 5] = [
        |mail| Some(mail).filter(|mail| !matches!(mail, Mail::Tick { .. })),
        |mail| Some(mail).filter(|mail| !matches!(mail, Mail::Deliver { .. })),
        |mail| Some(mail).filter(|mail| !matches!(mail, Mail::Close(_))),
        |mail| Some(mail).filter(|mail| !matches!(mail, Mail::Detach(_))),
        |mail| Some(mail).filter(|mail| !matches!(mail, Mail::Forget(_))),
    ];
    for tamper in lost {
        complaint(tamper);
    }
}

#[test]
fn a_route_that_is_kept_after_the_unsubscribe_is_noticed() {
    complaint(|mut mail| {
        if let Mail::Deliver { change, .. } = &mut mail {
            change.remove.clear();
        }
        Some(mail)
    });
}

#[test]
fn an_answer_that_comes_without_its_route_is_noticed() {
    let said = complaint(|mut mail| {
        if let Mail::Deliver { change, .. } = &mut mail {
            change.add.clear();
        }
        Some(mail)
    });
    assert!(said.contains("holds"), "{said}");
}

#[test]
fn a_tick_that_tells_too_much_is_noticed() {
    let said = complaint(|mail| match mail {
        Mail::Tick { heard, route, number, seq, frame } => {
            let frame = with_skipped(&frame, 1);
            Some(Mail::Tick { heard, route, number, seq, frame })
        }
        other => Some(other),
    });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn ticks_that_change_places_are_noticed() {
    let said = complaint(|mail| match mail {
        Mail::Tick { heard, route, number, seq, .. } => {
            let data = format!("{{\"number\":{},\"route\":{route}}}", number ^ 1);
            let instrument = Instrument::new("NSE", "TCS");
            let (mode, data) = (Mode::Ltp, data.as_bytes());
            let frame = numbered_tick_frame(&instrument, mode, "x", Some(seq), data);
            Some(Mail::Tick { heard, route, number, seq, frame })
        }
        other => Some(other),
    });
    assert!(said.contains("instead of"), "{said}");
}

fn claims_too_much(mail: Mail) -> Option<Mail> {
    match mail {
        Mail::Tick { route, number, seq, frame, .. } => {
            Some(Mail::Tick { heard: u64::MAX, route, number, seq, frame })
        }
        other => Some(other),
    }
}

#[test]
fn a_feed_that_claims_to_have_heard_more_than_it_has_is_noticed() {
    let said = complaint_within(3_000, Tamper { shard: claims_too_much, ..Tamper::NONE });
    assert!(said.contains("instead of"), "{said}");
}

#[test]
fn a_gap_that_nobody_is_told_of_is_noticed_although_model_and_shard_agree() {
    let every_third_is_lost = |mail| match mail {
        Mail::Tick { number, .. } if number % 3 == 0 => None,
        other => Some(other),
    };
    let said = complaint_within(50, Tamper { both: every_third_is_lost, ..Tamper::NONE });
    assert!(said.contains("after number"), "{said}");
}

//! What the shape of `faults` cannot say.

use serde_saphyr::{Location, Spanned};

use super::bounds::{FAULT_MS_MAX, in_order, within};
use super::check::Problem;
use super::{Faults, Of, RangeMs, World};

/// Finds the first thing that makes no sense.
pub(super) fn check_faults(faults: &Faults, world: &World) -> Result<(), Problem> {
    let to_ms = faults.to_ms.unwrap_or(world.duration_ms);
    if faults.from_ms >= to_ms || to_ms > world.duration_ms {
        let problem = "faults begin before they end, and end with the story";
        return Err((Location::UNKNOWN, problem.into()));
    }
    connections(faults)?;
    links(faults)?;
    let happenings = [&faults.gateway_crash, &faults.feed_restart, &faults.feed_silence];
    for happening in happenings.into_iter().chain([&faults.feed_duplicates]).flatten() {
        at(happening, |value| {
            in_order(value.times, "times")?;
            lasts(value.for_ms)
        })?;
    }
    if let Some(flood) = &faults.feed_flood {
        at(flood, |value| {
            in_order(value.times, "times")?;
            lasts(value.for_ms)?;
            within(value.factor, 2, 1_000, "factor")
        })?;
    }
    if let Some(step) = &faults.clock_step {
        at(step, |value| {
            in_order(value.times, "times")?;
            if value.by_ms[0] <= value.by_ms[1] {
                return Ok(());
            }
            Err(format!("`by_ms` must be [least, most], not {:?}", value.by_ms))
        })?;
    }
    Ok(())
}

fn connections(faults: &Faults) -> Result<(), Problem> {
    if let Some(chop) = &faults.chop {
        at(chop, |value| {
            share(value.share)?;
            within(value.bytes_max, 1, 65_536, "bytes_max")
        })?;
    }
    for lasting in [&faults.coalesce, &faults.late_end, &faults.hang_connect].into_iter().flatten()
    {
        at(lasting, |value| {
            share(value.share)?;
            lasts(value.for_ms)
        })?;
    }
    if let Some(cap) = &faults.rate_cap {
        at(cap, |value| {
            share(value.share)?;
            in_order(value.bytes_per_second, "bytes_per_second")?;
            within(value.bytes_per_second[0], 100, u64::MAX, "bytes_per_second")
        })?;
    }
    if let Some(window) = &faults.window {
        at(window, |value| {
            share(value.share)?;
            in_order(value.bytes, "bytes")?;
            within(value.bytes[0], 1, u64::MAX, "bytes")
        })?;
    }
    for at_byte in [&faults.reset, &faults.half_close, &faults.corrupt].into_iter().flatten() {
        at(at_byte, |value| {
            share(value.share)?;
            in_order(value.after_bytes, "after_bytes")
        })?;
    }
    if let Some(refuse) = &faults.refuse_connect {
        at(refuse, |value| share(value.share))?;
    }
    let Some(corrupt) = &faults.corrupt else { return Ok(()) };
    at(corrupt, |value| match value.of.iter().all(|of| *of == Of::Clients) {
        true => Ok(()),
        false => Err("only connections of clients can be corrupted: \
             what broker and feed say is believed"
            .into()),
    })
}

fn links(faults: &Faults) -> Result<(), Problem> {
    for timed in [&faults.stall, &faults.hold].into_iter().flatten() {
        at(timed, |value| {
            in_order(value.times, "times")?;
            lasts(value.for_ms)
        })?;
    }
    for cut in [&faults.partition, &faults.partition_one_way].into_iter().flatten() {
        at(cut, |value| {
            in_order(value.times, "times")?;
            lasts(value.for_ms)?;
            if value.of.contains(&Of::Clients) {
                return Err("a partition is of the broker or the feed: write `of: [broker]`; \
                     what is lost on a client's link is never sent again"
                    .into());
            }
            Ok(())
        })?;
    }
    if let Some(latency) = &faults.latency {
        at(latency, |value| {
            in_order(value.times, "times")?;
            lasts(value.for_ms)?;
            in_order(value.most_ms, "most_ms")?;
            within(value.most_ms[0], 1, FAULT_MS_MAX, "most_ms")
        })?;
    }
    Ok(())
}

/// A problem with the place where the fault is defined.
fn at<T>(fault: &Spanned<T>, check: impl Fn(&T) -> Result<(), String>) -> Result<(), Problem> {
    check(&fault.value).map_err(|problem| (fault.defined, problem))
}

fn share(share: f64) -> Result<(), String> {
    within_unit(share).then_some(()).ok_or_else(|| "`share` must be from 0.0 to 1.0".into())
}

fn within_unit(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

fn lasts(for_ms: RangeMs) -> Result<(), String> {
    in_order(for_ms, "for_ms")?;
    within(for_ms[1], 0, FAULT_MS_MAX, "for_ms")
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    fn problem(faults: &str) -> String {
        let text = format!(
            "about: A story.\nworld:\n  duration_ms: 100\n  users:\n    - name: alice\n\
             faults:\n  {faults}\n"
        );
        parse("s.yaml", &text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place_and_a_reason() {
        for (faults, expected) in [
            ("to_ms: 101", "end with the story"),
            ("chop: { share: 1.5, bytes_max: 1 }", "`share` must be from 0.0 to 1.0"),
            ("chop: { share: 0.5, bytes_max: 0 }", "`bytes_max` must be from 1 to 65536"),
            ("chop: { share: 0.5 }", "the key `bytes_max` is missing"),
            ("chopp: { share: 0.5 }", "unknown key `chopp`; did you mean `chop`?"),
            ("stall: { times: [1, 1], for_m: [1, 1] }", "did you mean `for_ms`?"),
            ("stall: { times: [2, 1], for_ms: [1, 1] }", "`times` must be [least, most]"),
            ("hold: { of: [client], times: [1, 1], for_ms: [1, 1] }", "did you mean `clients`?"),
            ("corrupt: { of: [feed], share: 0.1, after_bytes: [0, 9] }", "only connections of"),
            ("partition: { times: [1, 1], for_ms: [1, 1] }", "`of: [broker]`"),
            ("feed_flood: { times: [1, 1], for_ms: [1, 1], factor: 1 }", "`factor`"),
            ("clock_step: { times: [1, 1], by_ms: [5, -5] }", "`by_ms`"),
        ] {
            let problem = problem(faults);
            assert!(problem.contains(expected), "{faults:?} gave {problem:?}");
        }
        assert!(problem("chop: { share: 2, bytes_max: 1 }").starts_with("s.yaml:7:"));
    }
}

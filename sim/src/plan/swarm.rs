//! A random part of a scenario: some bugs show only when something else does not happen.

use serde_saphyr::Spanned;

use crate::rng::Stream;
use crate::scenario::{Faults, Incidents, Scenario, Weights};

/// How likely a seed is to leave everything in, or all faults out.
const WHOLE: f64 = 0.1;

/// The part of a scenario that a seed chooses.
pub(super) fn part(scenario: &Scenario, seed: u64) -> Scenario {
    let mut part = scenario.clone();
    let mut stream = Stream::fork(seed, "swarm", "all");
    if stream.chance(WHOLE) {
        return part;
    }
    let calm = stream.chance(WHOLE);
    if let Some(storm) = &mut part.storm {
        thin_out(&mut storm.weights.value, seed);
        let Incidents {
            invalidations,
            keys_revoked,
            roles_changed,
            sessions_lost,
            losses_repeated,
            broker_deaths,
            blocks,
            removals,
            broadcasts,
        } = &mut storm.incidents;
        for (name, times) in [
            ("invalidations", invalidations),
            ("keys_revoked", keys_revoked),
            ("roles_changed", roles_changed),
            ("sessions_lost", sessions_lost),
            ("losses_repeated", losses_repeated),
            ("broker_deaths", broker_deaths),
            ("blocks", blocks),
            ("removals", removals),
            ("broadcasts", broadcasts),
        ] {
            if calm || !stays(seed, name) {
                *times = [0, 0];
            }
        }
    }
    if let Some(faults) = &mut part.faults {
        some_of(faults, calm, seed);
    }
    part
}

/// One coin for each action or fault.
fn stays(seed: u64, name: &str) -> bool {
    Stream::fork(seed, "swarm", name).chance(0.5)
}

/// Leaves some actions out, but never all.
fn thin_out(weights: &mut Weights, seed: u64) {
    let all = weights.all();
    let mut kept = all;
    for (position, weight) in kept.iter_mut().enumerate() {
        if !stays(seed, &format!("action {position}")) {
            *weight = 0;
        }
    }
    if kept.iter().any(|weight| *weight > 0) {
        *weights = Weights::of(kept);
    }
}

fn some_of(faults: &mut Faults, calm: bool, seed: u64) {
    let Faults {
        from_ms: _,
        to_ms: _,
        brokers: _,
        chop,
        coalesce,
        rate_cap,
        window,
        stall,
        reset,
        half_close,
        late_end,
        corrupt,
        refuse_connect,
        hang_connect,
        hold,
        partition,
        partition_one_way,
        latency,
        gateway_crash,
        clock_step,
        feed_restart,
        feed_silence,
        feed_duplicates,
        feed_flood,
    } = faults;
    let keep = |name: &str| !calm && stays(seed, name);
    leave_out(chop, keep("chop"));
    leave_out(coalesce, keep("coalesce"));
    leave_out(rate_cap, keep("rate_cap"));
    leave_out(window, keep("window"));
    leave_out(stall, keep("stall"));
    leave_out(reset, keep("reset"));
    leave_out(half_close, keep("half_close"));
    leave_out(late_end, keep("late_end"));
    leave_out(corrupt, keep("corrupt"));
    leave_out(refuse_connect, keep("refuse_connect"));
    leave_out(hang_connect, keep("hang_connect"));
    leave_out(hold, keep("hold"));
    leave_out(partition, keep("partition"));
    leave_out(partition_one_way, keep("partition_one_way"));
    leave_out(latency, keep("latency"));
    leave_out(gateway_crash, keep("gateway_crash"));
    leave_out(clock_step, keep("clock_step"));
    leave_out(feed_restart, keep("feed_restart"));
    leave_out(feed_silence, keep("feed_silence"));
    leave_out(feed_duplicates, keep("feed_duplicates"));
    leave_out(feed_flood, keep("feed_flood"));
}

fn leave_out<T>(fault: &mut Option<Spanned<T>>, keep: bool) {
    if !keep {
        *fault = None;
    }
}

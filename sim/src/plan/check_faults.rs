//! What the shape of a plan's faults cannot say. The limits are those of scenarios.

use super::check::rising;
use super::{ConnectionFault, Plan, TimedKind};
use crate::fault::Party;
use crate::scenario::bounds::{FAULT_MS_MAX, within};

/// Finds the first thing that makes no sense.
pub(super) fn check_faults(plan: &Plan) -> Result<(), String> {
    for struck in &plan.faults.connections {
        known(&struck.of, plan)?;
        match struck.of {
            Party::Client(_) | Party::Broker(_) | Party::Feed => {}
            Party::ClientHost(_) | Party::Gateway => {
                return Err("a connection is a client's, the broker's or the feed's".into());
            }
        }
        within(struck.number.into(), 1, u64::MAX, "number")?;
        struck.faults.iter().try_for_each(|fault| check_connection(*fault, &struck.of))?;
    }
    for timed in &plan.faults.timed {
        within(timed.for_ms, 0, FAULT_MS_MAX, "for_ms")?;
        known(&timed.what.party(), plan)?;
        check_timed(&timed.what)?;
    }
    rising(plan.faults.timed.iter().map(|timed| timed.at_ms), "faults.timed")
}

fn check_connection(fault: ConnectionFault, of: &Party) -> Result<(), String> {
    match fault {
        ConnectionFault::Chop { bytes_max } => within(bytes_max, 1, 65_536, "bytes_max"),
        ConnectionFault::RateCap { bytes_per_second } => {
            within(bytes_per_second, 100, u64::MAX, "bytes_per_second")
        }
        ConnectionFault::Window { bytes } => within(bytes, 1, u64::MAX, "bytes"),
        ConnectionFault::Coalesce { for_ms }
        | ConnectionFault::LateEnd { for_ms }
        | ConnectionFault::HangConnect { for_ms } => within(for_ms, 0, FAULT_MS_MAX, "for_ms"),
        ConnectionFault::Corrupt { .. } if !matches!(of, Party::Client(_)) => {
            Err("only connections of clients can be corrupted".into())
        }
        ConnectionFault::Corrupt { .. }
        | ConnectionFault::Reset { .. }
        | ConnectionFault::HalfClose { .. }
        | ConnectionFault::RefuseConnect => Ok(()),
    }
}

fn check_timed(what: &TimedKind) -> Result<(), String> {
    match what {
        TimedKind::Partition { of } | TimedKind::PartitionOneWay { of, .. } => match of {
            Party::Broker(_) | Party::Feed => Ok(()),
            Party::Client(_) | Party::ClientHost(_) | Party::Gateway => {
                Err("a partition is of the broker or the feed".into())
            }
        },
        TimedKind::FeedFlood { factor } => within(*factor, 2, 1_000, "factor"),
        TimedKind::Stall { .. }
        | TimedKind::Hold { .. }
        | TimedKind::Latency { .. }
        | TimedKind::GatewayCrash
        | TimedKind::ClockStep { .. }
        | TimedKind::FeedRestart
        | TimedKind::FeedSilence
        | TimedKind::FeedDuplicates => Ok(()),
    }
}

fn known(party: &Party, plan: &Plan) -> Result<(), String> {
    let there = match party {
        Party::Client(name) => plan.clients.iter().any(|client| client.name == *name),
        Party::ClientHost(number) => *number < plan.network.client_hosts,
        Party::Broker(host) => plan.brokers().any(|broker| broker.host == *host),
        Party::Feed | Party::Gateway => true,
    };
    if there { Ok(()) } else { Err(format!("`faults` strikes {party}, who is not there")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{check, draw};
    use crate::scenario::parse;

    #[test]
    fn what_was_drawn_is_good_and_what_makes_no_sense_is_refused() {
        let text = "about: A.\nworld:\n  duration_ms: 900\n  users: [{ name: alice, clients: 2, \
                    arrive_ms: [5, 9] }]\nfaults:\n  chop: { share: 1.0, bytes_max: 3 }\n  \
                    feed_flood: { times: [2, 2], for_ms: [10, 90], factor: 5 }\n";
        let plan = draw(&parse("s.yaml", text).expect("it is good"), 1);
        assert_eq!(check(&plan), Ok(()));
        let problem = |change: fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            check(&plan).expect_err("it makes no sense")
        };
        let gone = |plan: &mut Plan| plan.faults.connections[0].of = Party::Client("eve".into());
        assert!(problem(gone).contains("eve, who is not there"));
        assert!(problem(|plan| plan.faults.connections[0].number = 0).contains("`number`"));
        assert!(problem(|plan| plan.faults.timed[0].for_ms = 99_999).contains("`for_ms`"));
        assert!(problem(|plan| plan.faults.timed.reverse()).contains("in order"));
    }
}

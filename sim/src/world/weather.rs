//! What happens to links and hosts at planned moments. All of it ends with the story.

use std::time::Duration;

use turmoil::Sim;

use crate::actors::Stage;
use crate::fault::{Notice, Party, Strike};
use crate::history::{Actor, Phase, Seen};
use crate::plan::{Plan, TimedFault, TimedKind};
use crate::runtime::FaultBook;

/// Strikes and lifts the timed faults of a plan, step by step.
pub(super) struct Weather {
    book: FaultBook,
    /// What is going to begin, the next last.
    ahead: Vec<TimedFault>,
    /// What has begun, with the moment of its end in microseconds of the story.
    active: Vec<(u64, TimedFault)>,
    normal: Duration,
    healed: bool,
}

/// Takes down what the network has to say, at a moment of simulated time.
pub(super) fn note(stage: &Stage, at_us: u64, notice: Notice) {
    let seen = match notice {
        Notice::Struck(strike) => Seen::Struck(strike),
        Notice::Linked(party) => Seen::Linked(party),
    };
    stage.recorder().record(at_us, Actor::Network, seen);
}

impl Weather {
    pub fn new(plan: &Plan, book: FaultBook) -> Self {
        let ours = plan.faults.timed.iter().filter(|timed| is_ours(&timed.what));
        Self {
            book,
            ahead: ours.rev().cloned().collect(),
            active: Vec::new(),
            normal: Duration::from_millis(plan.network.latency_ms[1]),
            healed: false,
        }
    }

    /// Does what is due before the next step.
    pub fn step(&mut self, sim: &mut Sim<'_>, stage: &Stage) {
        let phase = stage.phase();
        if self.healed || phase < Phase::Play {
            return;
        }
        let now_us = u64::try_from(sim.elapsed().as_micros()).unwrap_or(u64::MAX);
        let story_us = now_us.saturating_sub(stage.story_began_us());
        let over = phase >= Phase::Settle;
        if over {
            self.healed = true;
            self.ahead.clear();
            self.book.heal();
        }
        self.book.begin(stage.story_began_us());
        let (ended, active) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|(end_us, _)| over || *end_us <= story_us);
        self.active = active;
        for (_, timed) in ended {
            self.lift(sim, &timed);
        }
        while self.ahead.last().is_some_and(|next| next.at_ms * 1_000 <= story_us) {
            let Some(timed) = self.ahead.pop() else { return };
            self.strike(sim, &timed);
            let (fault, party) = (timed.what.kind(), timed.what.party());
            let strike = Strike { fault, party, lasts_ms: timed.for_ms };
            note(stage, now_us, Notice::Struck(strike));
            self.active.push((story_us + timed.for_ms * 1_000, timed));
        }
    }

    fn strike(&self, sim: &mut Sim<'_>, timed: &TimedFault) {
        match &timed.what {
            TimedKind::Hold { of } => sim.hold(host(of), "gateway"),
            TimedKind::Partition { of } => sim.partition(host(of), "gateway"),
            TimedKind::PartitionOneWay { of, from_gateway: true } => {
                sim.partition_oneway("gateway", host(of));
            }
            TimedKind::PartitionOneWay { of, from_gateway: false } => {
                sim.partition_oneway(host(of), "gateway");
            }
            TimedKind::Latency { of, most_ms } => {
                let most = Duration::from_millis(*most_ms).max(self.normal);
                sim.set_link_max_message_latency(host(of), "gateway", most);
            }
            TimedKind::GatewayCrash => sim.crash("gateway"),
            TimedKind::ClockStep { by_ms } => self.book.step_clock(*by_ms),
            TimedKind::Stall { .. }
            | TimedKind::FeedRestart
            | TimedKind::FeedSilence
            | TimedKind::FeedDuplicates
            | TimedKind::FeedFlood { .. } => {}
        }
    }

    fn lift(&self, sim: &mut Sim<'_>, timed: &TimedFault) {
        match &timed.what {
            TimedKind::Hold { of } => sim.release(host(of), "gateway"),
            TimedKind::Partition { of } => sim.repair(host(of), "gateway"),
            TimedKind::PartitionOneWay { of, from_gateway: true } => {
                sim.repair_oneway("gateway", host(of));
            }
            TimedKind::PartitionOneWay { of, from_gateway: false } => {
                sim.repair_oneway(host(of), "gateway");
            }
            TimedKind::Latency { of, .. } => {
                sim.set_link_max_message_latency(host(of), "gateway", self.normal);
            }
            TimedKind::GatewayCrash => sim.bounce("gateway"),
            TimedKind::ClockStep { .. }
            | TimedKind::Stall { .. }
            | TimedKind::FeedRestart
            | TimedKind::FeedSilence
            | TimedKind::FeedDuplicates
            | TimedKind::FeedFlood { .. } => {}
        }
    }
}

/// Stalls are the connections' own business, and the publisher knows what it does.
const fn is_ours(what: &TimedKind) -> bool {
    match what {
        TimedKind::Hold { .. }
        | TimedKind::Partition { .. }
        | TimedKind::PartitionOneWay { .. }
        | TimedKind::Latency { .. }
        | TimedKind::GatewayCrash
        | TimedKind::ClockStep { .. } => true,
        TimedKind::Stall { .. }
        | TimedKind::FeedRestart
        | TimedKind::FeedSilence
        | TimedKind::FeedDuplicates
        | TimedKind::FeedFlood { .. } => false,
    }
}

/// The host of a party, as the network calls it.
fn host(party: &Party) -> String {
    match party {
        Party::Client(name) => name.clone(),
        Party::ClientHost(_) | Party::Broker | Party::Feed | Party::Gateway => party.to_string(),
    }
}

//! What happens to links and hosts at planned moments. All of it ends with the story.

use std::time::Duration;

use super::GATEWAY;
use crate::actors::Stage;
use crate::fault::{Notice, Party, Strike};
use crate::history::{Actor, Phase, Seen};
use crate::plan::{Plan, TimedFault, TimedKind};
use crate::runtime::FaultBook;
use crate::runtime::clock::now_us;

/// What the weather does to the world.
pub(super) trait Sky {
    /// Holds back everything between two hosts, or lets it go.
    fn hold(&mut self, a: &str, b: &str, held: bool);
    /// Cuts one way, or repairs it.
    fn cut(&mut self, from: &str, to: &str, cut: bool);
    /// Bounds the latency between two hosts.
    fn slow(&mut self, a: &str, b: &str, most: Duration);
    /// Ends everything on a host at once.
    fn crash(&mut self, host: &str);
    /// Starts a crashed host again.
    fn restart(&mut self, host: &str);
}

/// Strikes and lifts the timed faults of a plan.
pub(super) struct Weather {
    book: FaultBook,
    /// What is going to begin, the next last.
    ahead: Vec<TimedFault>,
    /// What has begun, with the moment of its end in microseconds of the story.
    active: Vec<(u64, TimedFault)>,
    normal: Duration,
    healed: bool,
}

/// Takes down what the network has to say.
pub(super) fn note(stage: &Stage, notice: Notice) {
    let seen = match notice {
        Notice::Struck(strike) => Seen::Struck(strike),
        Notice::Linked(party) => Seen::Linked(party),
    };
    stage.saw(&Actor::Network, seen);
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

    /// Does what is due.
    pub fn step(&mut self, sky: &mut dyn Sky, stage: &Stage) {
        let phase = stage.phase();
        if self.healed || phase < Phase::Play {
            return;
        }
        let story_us = now_us().saturating_sub(stage.story_began_us());
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
            self.lift(sky, &timed);
        }
        while self.ahead.last().is_some_and(|next| next.at_ms * 1_000 <= story_us) {
            let Some(timed) = self.ahead.pop() else { return };
            self.strike(sky, &timed);
            let (fault, party) = (timed.what.kind(), timed.what.party());
            let strike = Strike { fault, party, lasts_ms: timed.for_ms };
            note(stage, Notice::Struck(strike));
            self.active.push((story_us + timed.for_ms * 1_000, timed));
        }
    }

    /// How long nothing is due, if anything ever is.
    pub fn pause(&self, stage: &Stage) -> Option<Duration> {
        let begins_us = self.ahead.last().map(|timed| timed.at_ms * 1_000);
        let ends_us = self.active.iter().map(|(end_us, _)| *end_us);
        let next_us = ends_us.chain(begins_us).min()?;
        let story_us = now_us().saturating_sub(stage.story_began_us());
        Some(Duration::from_micros(next_us.saturating_sub(story_us)))
    }

    fn strike(&self, sky: &mut dyn Sky, timed: &TimedFault) {
        match &timed.what {
            TimedKind::Latency { of, most_ms } => {
                let most = Duration::from_millis(*most_ms).max(self.normal);
                sky.slow(&host(of), GATEWAY, most);
            }
            TimedKind::GatewayCrash => sky.crash(GATEWAY),
            TimedKind::ClockStep { by_ms } => self.book.step_clock(*by_ms),
            what => set_link(sky, what, true),
        }
    }

    fn lift(&self, sky: &mut dyn Sky, timed: &TimedFault) {
        match &timed.what {
            TimedKind::Latency { of, .. } => sky.slow(&host(of), GATEWAY, self.normal),
            TimedKind::GatewayCrash => sky.restart(GATEWAY),
            TimedKind::ClockStep { .. } => {}
            what => set_link(sky, what, false),
        }
    }
}

/// Interrupts a link, or restores it.
fn set_link(sky: &mut dyn Sky, what: &TimedKind, interrupted: bool) {
    match what {
        TimedKind::Hold { of } => sky.hold(&host(of), GATEWAY, interrupted),
        TimedKind::Partition { of } => {
            sky.cut(&host(of), GATEWAY, interrupted);
            sky.cut(GATEWAY, &host(of), interrupted);
        }
        TimedKind::PartitionOneWay { of, from_gateway: true } => {
            sky.cut(GATEWAY, &host(of), interrupted);
        }
        TimedKind::PartitionOneWay { of, from_gateway: false } => {
            sky.cut(&host(of), GATEWAY, interrupted);
        }
        TimedKind::Latency { .. }
        | TimedKind::GatewayCrash
        | TimedKind::ClockStep { .. }
        | TimedKind::Stall { .. }
        | TimedKind::FeedRestart
        | TimedKind::FeedSilence
        | TimedKind::FeedDuplicates
        | TimedKind::FeedFlood { .. } => {}
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
        Party::ClientHost(_) | Party::Broker(_) | Party::Feed | Party::Gateway => party.to_string(),
    }
}

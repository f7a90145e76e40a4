//! Draws what goes wrong.
//!
//! Each kind of fault and each party has a stream of its own, so that a fault or a client more or
//! less leaves all other faults as they were.

use serde_saphyr::Spanned;

use super::{ConnectionFault, FaultPlan, StruckConnection, TimedFault, TimedKind};
use crate::broker_host::BrokerHost;
use crate::fault::{Direction, Party};
use crate::rng::Stream;
use crate::scenario::{AtByte, Faults, Happening, Lasting, Of, Scenario, Timed};

/// Connections of one party that can be struck; later ones are left alone, so that everybody
/// gets through in the end.
const CONNECTIONS_STRUCK_MAX: u32 = 12;

/// Expands `faults`.
pub(super) fn faults(scenario: &Scenario, seed: u64) -> FaultPlan {
    let Some(faults) = &scenario.faults else { return FaultPlan::default() };
    let draw = Draw { scenario, faults, seed };
    let mut plan = FaultPlan::default();
    for party in draw.parties() {
        for number in 1..=CONNECTIONS_STRUCK_MAX {
            let struck = draw.connection(&party, number);
            if !struck.is_empty() {
                plan.connections.push(StruckConnection {
                    of: party.clone(),
                    number,
                    faults: struck,
                });
            }
        }
    }
    draw.timed(&mut plan.timed);
    plan.timed.sort_by_key(|timed| timed.at_ms);
    plan
}

struct Draw<'a> {
    scenario: &'a Scenario,
    faults: &'a Faults,
    seed: u64,
}

impl Draw<'_> {
    /// Everybody who connects.
    fn parties(&self) -> Vec<Party> {
        let users = self.scenario.world.users.iter().map(|users| &users.value);
        let names =
            users.flat_map(|users| (1..=users.clients).map(|n| format!("{}-{n}", users.name)));
        names.map(Party::Client).chain(self.brokers()).chain([Party::Feed]).collect()
    }

    /// The brokers that faults may strike.
    fn brokers(&self) -> impl Iterator<Item = Party> {
        let hosts = self.scenario.world.broker_hosts().into_iter().map(|(host, _)| host);
        let named = &self.faults.brokers;
        let struck = |host: &BrokerHost| {
            named.is_empty() || named.iter().any(|name| BrokerHost::named(name) == *host)
        };
        hosts.filter(struck).map(Party::Broker)
    }

    fn stream(&self, fault: &str, entity: &str) -> Stream {
        Stream::fork(self.seed, &format!("fault {fault}"), entity)
    }

    fn connection(&self, party: &Party, number: u32) -> Vec<ConnectionFault> {
        let is = |of: &[Of]| of.contains(&whose(party));
        let entity = format!("{party}/{number}");
        let mut struck = Vec::new();
        let faults = self.faults;
        if let Some(Spanned { value: chop, .. }) = &faults.chop
            && is(&chop.of)
            && self.stream("chop", &entity).chance(chop.share)
        {
            struck.push(ConnectionFault::Chop { bytes_max: chop.bytes_max });
        }
        if let Some(for_ms) = self.lasting(&faults.coalesce, "coalesce", party, &entity) {
            struck.push(ConnectionFault::Coalesce { for_ms });
        }
        if let Some(Spanned { value: cap, .. }) = &faults.rate_cap {
            let mut stream = self.stream("rate_cap", &entity);
            if is(&cap.of) && stream.chance(cap.share) {
                let [least, most] = cap.bytes_per_second;
                let bytes_per_second = stream.between(least, most);
                struck.push(ConnectionFault::RateCap { bytes_per_second });
            }
        }
        if let Some(Spanned { value: window, .. }) = &faults.window {
            let mut stream = self.stream("window", &entity);
            if is(&window.of) && stream.chance(window.share) {
                let bytes = stream.between(window.bytes[0], window.bytes[1]);
                struck.push(ConnectionFault::Window { bytes });
            }
        }
        if let Some((direction, after_bytes, _)) =
            self.at_byte(&faults.reset, "reset", party, &entity)
        {
            struck.push(ConnectionFault::Reset { direction, after_bytes });
        }
        if let Some((_, after_bytes, _)) =
            self.at_byte(&faults.half_close, "half_close", party, &entity)
        {
            struck.push(ConnectionFault::HalfClose { after_bytes });
        }
        if let Some((direction, at_byte, mut stream)) =
            self.at_byte(&faults.corrupt, "corrupt", party, &entity)
        {
            let then_bytes = stream.between(0, 600);
            struck.push(ConnectionFault::Corrupt { direction, at_byte, then_bytes });
        }
        if let Some(for_ms) = self.lasting(&faults.late_end, "late_end", party, &entity) {
            struck.push(ConnectionFault::LateEnd { for_ms });
        }
        if let Some(Spanned { value: refuse, .. }) = &faults.refuse_connect
            && is(&refuse.of)
            && self.stream("refuse_connect", &entity).chance(refuse.share)
        {
            struck.push(ConnectionFault::RefuseConnect);
        }
        if let Some(for_ms) = self.lasting(&faults.hang_connect, "hang_connect", party, &entity) {
            struck.push(ConnectionFault::HangConnect { for_ms });
        }
        struck
    }

    fn lasting(
        &self,
        fault: &Option<Spanned<Lasting>>,
        name: &str,
        party: &Party,
        entity: &str,
    ) -> Option<u64> {
        let fault = &fault.as_ref()?.value;
        let mut stream = self.stream(name, entity);
        let struck = fault.of.contains(&whose(party)) && stream.chance(fault.share);
        struck.then(|| stream.between(fault.for_ms[0], fault.for_ms[1]))
    }

    fn at_byte(
        &self,
        fault: &Option<Spanned<AtByte>>,
        name: &str,
        party: &Party,
        entity: &str,
    ) -> Option<(Direction, u64, Stream)> {
        let fault = &fault.as_ref()?.value;
        let mut stream = self.stream(name, entity);
        let struck = fault.of.contains(&whose(party)) && stream.chance(fault.share);
        struck.then(|| {
            let direction = direction(&mut stream);
            (direction, stream.between(fault.after_bytes[0], fault.after_bytes[1]), stream)
        })
    }

    fn timed(&self, out: &mut Vec<TimedFault>) {
        let faults = self.faults;
        self.on_links(&faults.hold, "hold", out, |of, _| TimedKind::Hold { of });
        self.on_links(&faults.partition, "partition", out, |of, _| TimedKind::Partition { of });
        self.on_links(&faults.partition_one_way, "partition_one_way", out, |of, stream| {
            TimedKind::PartitionOneWay { of, from_gateway: stream.chance(0.5) }
        });
        if let Some(Spanned { value: stall, .. }) = &faults.stall {
            for party in self.parties().into_iter().filter(|p| stall.of.contains(&whose(p))) {
                let mut stream = self.stream("stall", &party.to_string());
                self.times(stall.times, stall.for_ms, &mut stream, out, |stream| {
                    TimedKind::Stall { of: party.clone(), direction: direction(stream) }
                });
            }
        }
        if let Some(Spanned { value: latency, .. }) = &faults.latency {
            for link in self.links(&latency.of) {
                let mut stream = self.stream("latency", &link.to_string());
                self.times(latency.times, latency.for_ms, &mut stream, out, |stream| {
                    let most_ms = stream.between(latency.most_ms[0], latency.most_ms[1]);
                    TimedKind::Latency { of: link.clone(), most_ms }
                });
            }
        }
        self.happens(&faults.gateway_crash, "gateway_crash", out, || TimedKind::GatewayCrash);
        self.happens(&faults.feed_restart, "feed_restart", out, || TimedKind::FeedRestart);
        self.happens(&faults.feed_silence, "feed_silence", out, || TimedKind::FeedSilence);
        self.happens(&faults.feed_duplicates, "feed_duplicates", out, || TimedKind::FeedDuplicates);
        if let Some(Spanned { value: flood, .. }) = &faults.feed_flood {
            let mut stream = self.stream("feed_flood", "feed");
            self.times(flood.times, flood.for_ms, &mut stream, out, |_| TimedKind::FeedFlood {
                factor: flood.factor,
            });
        }
        if let Some(Spanned { value: step, .. }) = &faults.clock_step {
            let mut stream = self.stream("clock_step", "gateway");
            let [least, most] = step.by_ms;
            self.times(step.times, [0, 0], &mut stream, out, |stream| {
                let width = least.abs_diff(most);
                TimedKind::ClockStep {
                    by_ms: least.saturating_add_unsigned(stream.between(0, width)),
                }
            });
        }
    }

    fn on_links(
        &self,
        fault: &Option<Spanned<Timed>>,
        name: &str,
        out: &mut Vec<TimedFault>,
        what: impl Fn(Party, &mut Stream) -> TimedKind,
    ) {
        let Some(Spanned { value: fault, .. }) = fault else { return };
        for link in self.links(&fault.of) {
            let mut stream = self.stream(name, &link.to_string());
            self.times(fault.times, fault.for_ms, &mut stream, out, |stream| {
                what(link.clone(), stream)
            });
        }
    }

    fn happens(
        &self,
        fault: &Option<Spanned<Happening>>,
        name: &str,
        out: &mut Vec<TimedFault>,
        what: impl Fn() -> TimedKind,
    ) {
        let Some(Spanned { value: fault, .. }) = fault else { return };
        let mut stream = self.stream(name, "once");
        self.times(fault.times, fault.for_ms, &mut stream, out, |_| what());
    }

    /// Between which hosts and the gateway.
    fn links(&self, of: &[Of]) -> Vec<Party> {
        let hosts = (0..self.scenario.world.client_hosts).map(Party::ClientHost);
        let all = hosts.chain(self.brokers()).chain([Party::Feed]);
        all.filter(|party| of.contains(&whose(party))).collect()
    }

    /// Moments of one fault. It ends before it strikes again, and before the story does.
    fn times(
        &self,
        times: [u64; 2],
        for_ms: [u64; 2],
        stream: &mut Stream,
        out: &mut Vec<TimedFault>,
        what: impl Fn(&mut Stream) -> TimedKind,
    ) {
        let from_ms = self.faults.from_ms;
        let story_ms = self.scenario.world.duration_ms;
        let to_ms = self.faults.to_ms.unwrap_or(story_ms);
        let mut moments: Vec<(u64, u64)> = (0..stream.between(times[0], times[1]))
            .map(|_| (stream.between(from_ms, to_ms), stream.between(for_ms[0], for_ms[1])))
            .collect();
        moments.sort_unstable();
        let mut free_ms = 0;
        for (at_ms, for_ms) in moments {
            let at_ms = at_ms.max(free_ms);
            let what = what(stream);
            if at_ms >= story_ms {
                return;
            }
            let for_ms = for_ms.min(story_ms - at_ms);
            free_ms = at_ms + for_ms + 1;
            out.push(TimedFault { at_ms, for_ms, what });
        }
    }
}

const fn whose(party: &Party) -> Of {
    match party {
        Party::Client(_) | Party::ClientHost(_) => Of::Clients,
        Party::Broker(_) | Party::Gateway => Of::Broker,
        Party::Feed => Of::Feed,
    }
}

fn direction(stream: &mut Stream) -> Direction {
    if stream.chance(0.5) { Direction::Up } else { Direction::Down }
}

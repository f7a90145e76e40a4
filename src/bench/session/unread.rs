//! Rounds in which clients read nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Session, Show, ns_between};
use crate::bench::load::{LOOK_PAUSE, Order};
use crate::bench::process::CpuTimes;
use crate::bench::report::Phase;
use crate::bench::tally::{Tally, read};

impl Session {
    /// Publishes so many ticks, `window` of them on the way at a time, while clients leave them in
    /// the system; then they read them. The time ends when the last of them is published.
    ///
    /// # Errors
    ///
    /// Fails if the load or the target does.
    pub fn unread(
        &mut self,
        name: &str,
        (ticks, window): (u64, u64),
        show: Show<'_>,
    ) -> Result<Phase, String> {
        let mut publisher = self.publisher.take().ok_or("the clients are not open")?;
        let (failed, expected) = (read(&self.live.failed), publisher.expected);
        let dropped = publisher.dropped();
        self.ask(Order::LeaveUnread);
        show(name, 0, ticks);
        let own = std::process::id();
        let (gateway, load, from_ns) = (self.cpu(), CpuTimes::of(own), self.watch.ns());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let publishing =
                scope.spawn(|| publisher.in_flight(&stop, (window, LOOK_PAUSE), ticks));
            let mut result = Ok(());
            while result.is_ok() && !publishing.is_finished() {
                thread::sleep(LOOK_PAUSE);
                result = self.healthy();
            }
            stop.store(true, Ordering::Relaxed);
            let published = publishing.join().map_err(|_| "the publisher panicked".to_owned())?;
            published.map_err(|error| format!("the publisher: {error}"))?;
            result
        })?;
        // While every shard still has work: who waits for the last of them measures the slowest.
        let arrived = self.ask(Order::Arrived);
        let until_ns = arrived.iter().map(|arrived| arrived.at_ns).max().unwrap_or(from_ns);
        let gateway_ns = ns_between(gateway.as_ref(), self.cpu().as_ref());
        let load_ns = ns_between(load.as_ref(), CpuTimes::of(own).as_ref());
        let mut tally = Tally::of(0..0);
        tally.delivered = arrived.iter().map(|arrived| arrived.delivered).sum();
        let elapsed_ns = until_ns.saturating_sub(from_ns).max(1);
        let mut phase = Phase::of(name, &tally, elapsed_ns, gateway_ns, load_ns);
        let all = self.ask(|answer| Order::Arrive(ticks, answer));
        let all: u64 = all.iter().map(|arrived| arrived.delivered).sum();
        phase.expected = publisher.expected - expected;
        phase.missing = phase.expected.saturating_sub(all);
        phase.lost = Some(phase.missing);
        phase.drained = true;
        phase.not_published = publisher.dropped() - dropped;
        self.publisher = Some(publisher);
        self.noted(&mut phase, failed);
        self.healthy()?;
        Ok(phase)
    }
}

//! Recording what publishers send.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::recorder::{Recorder, Totals};
use crate::protocol::bus::{BusTopic, TopicRules, parse_topic};
use crate::topic::{Instrument, Mode};
use crate::zmtp::Sub;

/// How much is lost at most when the process dies.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Which ticks are recorded. Order updates and everything else that is somebody's own never are.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of these instruments; empty: of all.
    topics: BTreeSet<String>,
    mode: Option<Mode>,
    rules: TopicRules,
}

impl Filter {
    /// Ticks of `instruments`, of all if there are none, in one mode or in every.
    #[must_use]
    pub fn new(instruments: &[Instrument], mode: Option<Mode>) -> Self {
        let name = |Instrument { exchange, symbol }: &Instrument| format!("{exchange}_{symbol}");
        Self { topics: instruments.iter().map(name).collect(), mode, rules: TopicRules::default() }
    }

    /// Whether a message with this topic is recorded.
    #[must_use]
    pub fn takes(&self, topic: &[u8]) -> bool {
        let Ok(BusTopic::Tick { mode, .. }) = parse_topic(topic, &self.rules) else { return false };
        if self.mode.is_some_and(|wanted| wanted != mode) {
            return false;
        }
        let text = std::str::from_utf8(topic).unwrap_or_default();
        let name = text.rsplit_once('_').map_or("", |(name, _)| name);
        // A broker, whose name has no `_`, may stand in front.
        let behind = name.split_once('_').map_or("", |(_, rest)| rest);
        self.topics.is_empty() || self.topics.contains(name) || self.topics.contains(behind)
    }
}

/// Records until `stop` is ready or `count` ticks are recorded; `progress` is told once a second.
///
/// A tick's time is when its batch was taken from the socket: about when the system had it, unless
/// this process had to wait for a core.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub async fn record(
    sub: &mut Sub,
    recorder: &mut Recorder,
    filter: &Filter,
    count: Option<u64>,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(Totals),
) -> io::Result<()> {
    let mut flush = tokio::time::interval(FLUSH_INTERVAL);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        let batch = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            _ = flush.tick() => {
                recorder.flush().await?;
                progress(recorder.totals());
                continue;
            }
            batch = sub.recv() => batch,
        };
        let Some(batch) = batch else { return Ok(()) };
        let at_ns = recorder.now_ns();
        for message in batch {
            if count.is_some_and(|count| recorder.totals().ticks >= count) {
                return Ok(());
            }
            let [topic, payload] = message.parts() else { continue };
            if filter.takes(topic) {
                recorder.record(at_ns, topic, payload).await?;
            }
        }
        if count.is_some_and(|count| recorder.totals().ticks >= count) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_taken_and_what_is_somebodys_own_is_not() {
        let all = Filter::default();
        for topic in ["NSE_RELIANCE_LTP", "NSE_INDEX_NIFTY_QUOTE", "zerodha_NSE_TCS_3"] {
            assert!(all.takes(topic.as_bytes()), "{topic}");
        }
        for topic in ["ZERODHA_alice_orders", "X_a_positions", "X_a_margins", "NSE_TCS", ""] {
            assert!(!all.takes(topic.as_bytes()), "{topic}");
        }
        assert!(!all.takes(b"CACHE_INVALIDATE_ALL_alice"));
        assert!(!all.takes(b"\xff_A_LTP"));
    }

    #[test]
    fn instruments_and_modes_narrow_it() {
        let filter = Filter::new(
            &[Instrument::new("NSE", "TCS"), Instrument::new("NSE_INDEX", "NIFTY")],
            Some(Mode::Ltp),
        );
        for (topic, taken) in [
            ("NSE_TCS_LTP", true),
            ("zerodha_NSE_TCS_1", true),
            ("NSE_INDEX_NIFTY_LTP", true),
            ("NSE_TCS_QUOTE", false),
            ("NSE_TCS2_LTP", false),
            ("BSE_TCS_LTP", false),
        ] {
            assert_eq!(filter.takes(topic.as_bytes()), taken, "{topic}");
        }
    }
}

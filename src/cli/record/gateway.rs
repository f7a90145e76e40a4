//! Recording as a client of a gateway.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::MissedTickBehavior;

use super::{Broken, Progress};
use crate::cli::complain;
use crate::cli::tail::{Answers, Connection, Heard, Message, Security, Trouble, Url, parse};
use crate::recording::Recorder;
use crate::recording::bus::FLUSH_INTERVAL;
use crate::runtime::{Runtime, TokioRuntime};
use crate::topic::{Instrument, Mode};

/// So that a request stays below the 64 KiB that a gateway takes.
const SYMBOLS_PER_REQUEST: usize = 200;
const PING_AFTER_NS: u64 = 20_000_000_000;
const LOST_AFTER_NS: u64 = 60_000_000_000;
const RETRY_MIN_MS: u64 = 250;
const RETRY_MAX_MS: u64 = 5_000;

/// A client that records, and comes back whenever it loses its connection.
pub(super) struct Client<'a> {
    runtime: &'a TokioRuntime,
    url: Url,
    security: Security,
    key: String,
    instruments: Vec<Instrument>,
    mode: Mode,
    depth: u32,
    missed: Missed,
    /// A subscription was granted at some time: only then a loss is passing.
    was_served: bool,
}

/// What is not in the recording although publishers sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    /// Ticks that the gateway left out because this client lagged.
    skipped: u64,
    /// How often the connection was lost.
    losses: u64,
}

/// A tick as a gateway sends it.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    exchange: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    mode: i64,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    skipped: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> Client<'a> {
    pub(super) const fn new(
        runtime: &'a TokioRuntime,
        url: Url,
        security: Security,
        key: String,
        instruments: Vec<Instrument>,
        mode: Mode,
        depth: u32,
    ) -> Self {
        let missed = Missed { skipped: 0, losses: 0 };
        let was_served = false;
        Self { runtime, url, security, key, instruments, mode, depth, missed, was_served }
    }

    pub(super) const fn missed(&self) -> Missed {
        self.missed
    }

    /// Records until `count` ticks are recorded. Dropping it loses nothing that was recorded.
    pub(super) async fn record(
        &mut self,
        recorder: &mut Recorder,
        count: Option<u64>,
        progress: &mut Progress,
    ) -> Result<(), Broken> {
        let mut retry_ms = RETRY_MIN_MS;
        loop {
            let before = recorder.totals().ticks;
            let reason = match self.connection(recorder, count, progress).await {
                Ok(()) => return Ok(()),
                Err(Broken::Source(Trouble::Passing(reason))) if self.was_served => reason,
                Err(broken) => return Err(broken),
            };
            progress.clear();
            complain(&format!("{reason}; trying again until it is back"));
            self.missed.losses += 1;
            if recorder.totals().ticks > before {
                retry_ms = RETRY_MIN_MS;
            }
            recorder.flush().await?;
            // Half of the pause is drawn, so that clients do not come back all at once.
            let pause_ms = retry_ms / 2 + self.runtime.entropy() % (retry_ms / 2 + 1);
            retry_ms = (retry_ms * 2).min(RETRY_MAX_MS);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn connection(
        &mut self,
        recorder: &mut Recorder,
        count: Option<u64>,
        progress: &mut Progress,
    ) -> Result<(), Broken> {
        let mut connection = Connection::open(self.runtime, &self.url, &self.security).await?;
        let (user, broker) = connection.authenticate(&self.key).await?;
        let mut answers = self.subscribe(&mut connection).await?;
        progress.clear();
        complain(&format!("connected to {} as {user} on {broker}", self.url.shown()));
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard_ns, mut pinged) = (recorder.now_ns(), false);
        loop {
            let heard = tokio::select! {
                biased;
                _ = flush.tick() => None,
                heard = connection.next() => Some(heard?),
            };
            let now_ns = recorder.now_ns();
            match heard {
                Some(Heard::Text(text)) => {
                    self.message(&text, now_ns, recorder, &mut answers).await?;
                    (heard_ns, pinged) = (now_ns, false);
                }
                Some(Heard::Alive) => (heard_ns, pinged) = (now_ns, false),
                None => {
                    recorder.flush().await?;
                    progress.tell(recorder.totals());
                }
            }
            if count.is_some_and(|count| recorder.totals().ticks >= count) {
                connection.close().await;
                return Ok(());
            }
            let silent_ns = now_ns - heard_ns;
            if silent_ns >= LOST_AFTER_NS {
                return Err(Trouble::Passing("the gateway fell silent".into()).into());
            }
            if silent_ns >= PING_AFTER_NS && !std::mem::replace(&mut pinged, true) {
                connection.ping().await?;
            }
        }
    }

    async fn subscribe<S>(&self, connection: &mut Connection<S>) -> Result<Answers, Trouble>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let mut answers = Answers::default();
        for (id, chunk) in self.instruments.chunks(SYMBOLS_PER_REQUEST).enumerate() {
            let symbols: Vec<_> = chunk
                .iter()
                .map(|i| json!({"exchange": &*i.exchange, "symbol": &*i.symbol}))
                .collect();
            let request = json!({
                "action": "subscribe",
                "mode": self.mode.label(),
                "depth": self.depth,
                "symbols": symbols,
                "request_id": id,
            });
            connection.send(&request).await?;
            answers.asked();
        }
        Ok(answers)
    }

    async fn message(
        &mut self,
        text: &str,
        now_ns: u64,
        recorder: &mut Recorder,
        answers: &mut Answers,
    ) -> Result<(), Broken> {
        if let Some(frame) = tick(text) {
            self.was_served = true;
            self.missed.skipped += frame.skipped;
            // What is sent on subscribing is older than it looks.
            if let Some(mode) = Mode::from_number(frame.mode).filter(|_| !frame.snapshot) {
                let topic = format!("{}_{}_{}", frame.exchange, frame.symbol, mode.segment());
                let payload = frame.data.get();
                recorder.record(now_ns, topic.as_bytes(), payload.as_bytes()).await?;
            }
            return Ok(());
        }
        match parse(text) {
            Some(Message::Subscribed { done, failed }) => {
                self.was_served |= answers.came(done, failed, complain)?;
            }
            Some(Message::Refused { code, message }) => {
                let reason = format!("the gateway refused: {code}: {message}");
                return Err(Trouble::Passing(reason).into());
            }
            Some(
                Message::Authenticated { .. }
                | Message::OrdersSubscribed
                | Message::Tick(_)
                | Message::Order
                | Message::Other,
            )
            | None => {}
        }
        Ok(())
    }
}

/// A message, if it is a tick.
fn tick(text: &str) -> Option<Frame<'_>> {
    let frame: Frame<'_> = serde_json::from_str(text).ok()?;
    (frame.kind == "market_data").then_some(frame)
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Self::Source(trouble)
    }
}

impl Missed {
    /// What is to be told of it, and of ticks that were too large.
    pub(super) fn sentences(self, too_large: u64) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.skipped > 0 {
            sentences.push(format!(
                "{} ticks are not in it, because the gateway left them out for a client that \
                 lagged",
                self.skipped
            ));
        }
        if self.losses > 0 {
            sentences.push(format!(
                "the connection was lost {} times; what came meanwhile is not in it",
                self.losses
            ));
        }
        if too_large > 0 {
            sentences.push(format!("{too_large} ticks are not in it, because they are too large"));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_tick_is_taken_byte_for_byte() {
        let text = r#"{"type":"market_data","symbol":"M&M","exchange":"NSE","mode":2,"broker":"paper","seq":7,"skipped":3,"data":{"ltp": 1.10,"volume":1e3}}"#;
        let frame = tick(text).unwrap();
        assert_eq!(frame.data.get(), r#"{"ltp": 1.10,"volume":1e3}"#);
        assert_eq!((frame.mode, frame.skipped, frame.snapshot), (2, 3, false));
        let snapshot = text.replace("\"seq\":7", "\"snapshot\":true");
        assert!(tick(&snapshot).unwrap().snapshot);
        assert!(tick(r#"{"type":"subscribe","status":"success"}"#).is_none());
    }

    #[test]
    fn what_is_missing_is_told() {
        assert!(Missed::default().sentences(0).is_empty());
        let missed = Missed { skipped: 2, losses: 1 };
        assert_eq!(missed.sentences(3).len(), 3);
    }
}

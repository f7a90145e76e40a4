//! One connection after the other, and what is asked and shown on each.

use std::time::Duration;

use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::answers::Answers;
use super::connection::{Connection, Heard, Trouble};
use super::message::{Message, parse};
use super::{Ended, Options, View};
use crate::runtime::{Clock, Runtime};

/// So that a request stays below the 64 KiB that a gateway takes.
const SYMBOLS_PER_REQUEST: usize = 200;
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const PING_AFTER_MS: u64 = 20_000;
const LOST_AFTER_MS: u64 = 60_000;
const RETRY_MIN_MS: u64 = 250;
const RETRY_MAX_MS: u64 = 5_000;

/// A client that comes back whenever it loses its connection.
pub(super) struct Tail<'a, R> {
    runtime: &'a R,
    options: Options,
    clock: Clock,
    view: &'a mut View,
    ticks: u64,
    /// Whether a subscription ever succeeded: only then a loss is passing.
    was_served: bool,
    /// The connection is lost, and somebody was told so.
    away: bool,
    retry_ms: u64,
}

impl<'a, R: Runtime> Tail<'a, R> {
    pub(super) const fn new(
        runtime: &'a R,
        options: Options,
        clock: Clock,
        view: &'a mut View,
    ) -> Self {
        Self {
            runtime,
            options,
            clock,
            view,
            ticks: 0,
            was_served: false,
            away: false,
            retry_ms: RETRY_MIN_MS,
        }
    }

    /// Ticks shown so far.
    pub(super) const fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Connects, again and again, until as many ticks came as were wanted.
    pub(super) async fn run(&mut self) -> Result<Ended, Trouble> {
        loop {
            let reason = match self.connection().await {
                Ok(ended) => return Ok(ended),
                Err(Trouble::Passing(reason)) if self.was_served => reason,
                Err(trouble) => return Err(trouble),
            };
            // Half of the pause is drawn, so that clients do not come back all at once.
            let pause_ms = self.retry_ms / 2 + self.runtime.entropy() % (self.retry_ms / 2 + 1);
            self.retry_ms = (self.retry_ms * 2).min(RETRY_MAX_MS);
            let seconds = Duration::from_millis(pause_ms).as_secs_f64();
            self.view.retrying(&reason, seconds, std::mem::replace(&mut self.away, true));
            self.pause(pause_ms).await?;
        }
    }

    async fn pause(&mut self, pause_ms: u64) -> Result<(), Trouble> {
        let until_ms = self.clock.now_ms() + pause_ms;
        while self.clock.now_ms() < until_ms {
            self.view.redraw(self.clock.now_ms())?;
            let left = Duration::from_millis(until_ms.saturating_sub(self.clock.now_ms()));
            tokio::time::sleep(left.min(REDRAW_INTERVAL)).await;
        }
        Ok(())
    }

    async fn connection(&mut self) -> Result<Ended, Trouble> {
        let connection = Connection::open(self.runtime, &self.options.url, &self.options.security);
        let mut connection = connection.await?;
        let (user, broker) = connection.authenticate(&self.options.key).await?;
        let mut answers = self.subscribe(&mut connection).await?;
        self.away = false;
        self.view
            .notice(&format!("connected to {} as {user} on {broker}", self.options.url.shown()));

        let mut redraw = tokio::time::interval(REDRAW_INTERVAL);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut heard_ms, mut pinged_ms) = (self.clock.now_ms(), 0);
        loop {
            let heard = tokio::select! {
                biased;
                heard = connection.next() => Some(heard?),
                _ = redraw.tick() => None,
            };
            let now_ms = self.clock.now_ms();
            let silence_ms = now_ms.saturating_sub(heard_ms);
            match heard {
                Some(Heard::Text(text)) => {
                    heard_ms = now_ms;
                    if self.message(&text, &mut answers)? == Some(Ended::Counted) {
                        connection.close().await;
                        return Ok(Ended::Counted);
                    }
                }
                Some(Heard::Alive) => heard_ms = now_ms,
                None if silence_ms > LOST_AFTER_MS => {
                    let seconds = LOST_AFTER_MS / 1_000;
                    return Err(Trouble::Passing(format!("nothing was heard for {seconds} s")));
                }
                None if silence_ms > PING_AFTER_MS
                    && now_ms.saturating_sub(pinged_ms) > PING_AFTER_MS =>
                {
                    pinged_ms = now_ms;
                    connection.ping().await?;
                }
                None => {}
            }
            self.view.redraw(now_ms)?;
        }
    }

    async fn subscribe(&self, connection: &mut Connection<R::Stream>) -> Result<Answers, Trouble> {
        let mut answers = Answers::default();
        for (id, chunk) in self.options.instruments.chunks(SYMBOLS_PER_REQUEST).enumerate() {
            let symbols: Vec<_> = chunk
                .iter()
                .map(|i| json!({"exchange": &*i.exchange, "symbol": &*i.symbol}))
                .collect();
            let mut request = json!({
                "action": "subscribe",
                "mode": self.options.mode.label(),
                "depth": self.options.depth,
                "symbols": symbols,
                "request_id": id,
            });
            if let Some(interval_ms) = self.options.interval_ms {
                request["interval_ms"] = interval_ms.into();
            }
            connection.send(&request).await?;
            answers.asked();
        }
        if self.options.orders {
            connection.send(&json!({"action": "subscribe_orders"})).await?;
            answers.asked();
        }
        Ok(answers)
    }

    fn message(&mut self, text: &str, answers: &mut Answers) -> Result<Option<Ended>, Trouble> {
        match parse(text) {
            Some(Message::Tick(tick)) => {
                self.ticks += 1;
                self.served();
                self.view.tick(*tick, text, self.clock.now_ms())?;
                if self.options.count.is_some_and(|count| self.ticks >= count) {
                    return Ok(Some(Ended::Counted));
                }
            }
            Some(Message::Order) => self.view.order(text)?,
            Some(Message::Subscribed { done, failed }) => self.judge(answers, done, failed)?,
            Some(Message::OrdersSubscribed) => self.judge(answers, 1, Vec::new())?,
            Some(Message::Refused { code, message }) => {
                let reason = format!("the gateway refused: {code}: {message}");
                self.judge(answers, 0, vec![reason])?;
            }
            Some(Message::Authenticated { .. } | Message::Other) | None => {}
        }
        Ok(None)
    }

    fn judge(
        &mut self,
        answers: &mut Answers,
        done: usize,
        failed: Vec<String>,
    ) -> Result<(), Trouble> {
        if answers.came(done, failed, |reason| self.view.notice(reason))? {
            self.served();
        }
        Ok(())
    }

    const fn served(&mut self) {
        self.was_served = true;
        self.retry_ms = RETRY_MIN_MS;
    }
}

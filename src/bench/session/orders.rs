//! What the threads of clients are told and asked.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::Session;
use crate::bench::load::Order;
use crate::bench::tally::Tally;

impl Session {
    /// Has every n-th client read no more, or all again.
    pub fn stall(&self, every: usize, stalled: bool) {
        self.tell(|| Order::Stall(every, stalled));
    }

    /// Has so many clients a second close and come again.
    pub fn churn(&mut self, per_second: f64) {
        self.churn = per_second;
        self.churn_at(per_second);
    }

    pub(super) fn churn_at(&self, per_second: f64) {
        let each = per_second / self.orders.len().max(1) as f64;
        self.tell(|| Order::Churn(each));
    }

    /// Has one more client ask for a topic again and again.
    pub fn probe(&self, pause: Duration) {
        if let Some(orders) = self.orders.first() {
            // A thread that is gone is told of elsewhere.
            let _ = orders.send(Order::Probe(pause));
        }
    }

    /// Ticks that clients have not read of all that were published.
    pub(super) fn missing(&self, published: &[u32]) -> u64 {
        let ended = self.live.ended().readers.iter().map(|reader| reader.missing(published)).sum();
        let published = Arc::new(published.to_vec());
        let missing = self.ask(|answer| Order::Missing(published.clone(), answer));
        missing.into_iter().fold(ended, |sum, missing| sum + missing)
    }

    /// What was counted so far. From here on, the lateness counts of what is due then.
    pub(super) fn count(&self, due: Range<u64>) -> Tally {
        let mut all = Tally::of(0..0);
        for tally in self.ask(|answer| Order::Count(due.clone(), answer)) {
            all.add(&tally);
        }
        all
    }

    pub(super) fn tell(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            // A thread that is gone is told of elsewhere.
            let _ = orders.send(order());
        }
    }

    pub(super) fn ask<T>(&self, order: impl Fn(SyncSender<T>) -> Order) -> Vec<T> {
        let mut answers = Vec::new();
        for orders in &self.orders {
            let (sender, answer) = sync_channel(1);
            if orders.send(order(sender)).is_ok() {
                answers.push(answer);
            }
        }
        answers.into_iter().filter_map(|answer| answer.recv().ok()).collect()
    }
}

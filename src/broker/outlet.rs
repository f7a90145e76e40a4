//! A queue in front of a bounded channel, so that its owner can go on working while the reader
//! is slow.

use std::collections::VecDeque;

use tokio::sync::mpsc;

/// Items on their way into a channel. The owner stops taking work when [`Outlet::len`] passes a
/// limit of its own.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    queue: VecDeque<T>,
    sender: mpsc::Sender<T>,
}

impl<T> Outlet<T> {
    pub(super) const fn new(sender: mpsc::Sender<T>) -> Self {
        Self { queue: VecDeque::new(), sender }
    }

    /// Sends at once if there is room, else queues. Without a reader the item is dropped.
    pub(super) fn push(&mut self, item: T) {
        if !self.queue.is_empty() {
            self.queue.push_back(item);
            return;
        }
        match self.sender.try_send(item) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(item)) => self.queue.push_back(item),
        }
    }

    /// Sends what is queued; without a reader, drops it. Cancel-safe: nothing is lost.
    pub(super) async fn drain(&mut self) {
        while !self.queue.is_empty() {
            match self.sender.reserve().await {
                Ok(permit) => {
                    if let Some(item) = self.queue.pop_front() {
                        permit.send(item);
                    }
                }
                Err(mpsc::error::SendError(())) => self.queue.clear(),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn order_is_kept_when_the_reader_is_slow() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        for number in 0..4 {
            outlet.push(number);
        }
        assert_eq!(outlet.len(), 3);
        let mut read = Vec::new();
        for _ in 0..4 {
            tokio::select! {
                biased;
                () = outlet.drain(), if !outlet.is_empty() => {}
                Some(number) = receiver.recv() => read.push(number),
            }
        }
        outlet.drain().await;
        while let Ok(number) = receiver.try_recv() {
            read.push(number);
        }
        assert_eq!(read, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_reader_that_left_is_not_waited_for() {
        let (sender, receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        outlet.push(1);
        outlet.push(2);
        drop(receiver);
        outlet.drain().await;
        outlet.push(3);
        assert!(outlet.is_empty());
    }
}

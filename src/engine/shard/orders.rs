//! Whose order updates reach whom.

use bytes::Bytes;

use super::Shard;
use crate::topic::UserId;

impl Shard {
    /// Gives an order update to everyone who follows this user's.
    pub fn order(&mut self, user: &UserId, frame: &Bytes) {
        let followers: Vec<usize> = self.orders.get(user).into_iter().flatten().copied().collect();
        for slot in followers {
            self.totals.orders += 1;
            self.push_control(slot, frame.clone());
        }
    }

    pub(super) fn follow_orders(&mut self, slot: usize, user: UserId) {
        self.stop_orders(slot);
        self.orders.entry(user.clone()).or_default().insert(slot);
        self.client_mut(slot).orders = Some(user);
    }

    pub(super) fn stop_orders(&mut self, slot: usize) {
        let Some(user) = self.client_mut(slot).orders.take() else { return };
        let followers = self.orders.get_mut(&user).expect("a followed user");
        followers.swap_remove(&slot);
        if followers.is_empty() {
            self.orders.remove(&user);
        }
    }
}

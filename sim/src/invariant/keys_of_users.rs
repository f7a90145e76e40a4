//! What the key of each user gave, and when.

use std::collections::BTreeMap;

use tickgate::topic::{Role, UserId};

use crate::history::KeyChange;
use crate::plan::Plan;

/// What a key gives, or that there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub role: Option<Role>,
    /// It may hold since then, and holds since `to_us` of the one before.
    from_us: u64,
    /// It holds no longer for certain.
    pub to_us: Option<u64>,
}

/// By user, in turn.
#[derive(Debug)]
pub(super) struct KeysOfUsers(BTreeMap<UserId, Vec<Key>>);

impl KeysOfUsers {
    pub fn new(plan: &Plan) -> Self {
        let first = |user: &UserId| {
            let role = Some(plan.first_role(user));
            (user.clone(), vec![Key { role, from_us: 0, to_us: None }])
        };
        Self(plan.users.iter().map(first).collect())
    }

    /// From now on either may hold.
    pub fn changes(&mut self, at_us: u64, change: &KeyChange) {
        let keys = self.0.entry(change.user.clone()).or_default();
        if keys.last().is_none_or(|last| last.role != change.role) {
            keys.push(Key { role: change.role, from_us: at_us, to_us: None });
        }
    }

    /// The one before holds no longer. Says whether there was one.
    pub fn changed(&mut self, at_us: u64, change: &KeyChange) -> bool {
        let keys = self.0.get_mut(&change.user);
        let Some([before, _]) = keys.and_then(|keys| keys.last_chunk_mut()) else { return false };
        // If it is over already, nothing was changed.
        let ends = before.to_us.is_none();
        before.to_us.get_or_insert(at_us);
        ends
    }

    /// The keys that may have held at some moment of this time.
    pub fn between(&self, user: &UserId, from_us: u64, to_us: u64) -> impl Iterator<Item = &Key> {
        let keys = self.0.get(user).into_iter().flatten();
        keys.filter(move |key| {
            key.from_us <= to_us && key.to_us.is_none_or(|ended_us| from_us <= ended_us)
        })
    }

    /// What they gave.
    pub fn roles_between(&self, user: &UserId, from_us: u64, to_us: u64) -> Vec<Option<Role>> {
        self.between(user, from_us, to_us).map(|key| key.role).collect()
    }

    /// Whether one that held then, or later, holds no longer, or may not.
    pub fn have_changed_since(&self, user: &UserId, since_us: u64) -> bool {
        let keys = self.0.get(user).map_or(&[][..], Vec::as_slice);
        let held = |key: &Key| key.to_us.is_none_or(|to_us| to_us >= since_us);
        keys.split_last().is_some_and(|(_, before)| before.iter().any(held))
    }
}

//! When something was up with whose sessions.

use std::collections::BTreeMap;

use tickgate::topic::UserId;

/// The last moment of each user, and of all: what befalls the sessions of one user does not touch
/// what clients of another hold, while that one's own are up.
#[derive(Default)]
pub(super) struct Sessions {
    of_all_us: Option<u64>,
    of_users: BTreeMap<UserId, Moments>,
}

#[derive(Default)]
struct Moments {
    /// A command about one, or its loss.
    concerned_us: Option<u64>,
    /// A broker said that it had opened or closed one.
    replied_us: u64,
}

impl Sessions {
    /// Something is up with a session of this user.
    pub fn concerned(&mut self, user: &UserId, at_us: u64) {
        self.of_users.entry(user.clone()).or_default().concerned_us = Some(at_us);
    }

    /// Something may be up with all sessions.
    pub fn all_concerned(&mut self, at_us: u64) {
        self.of_all_us = Some(at_us);
    }

    /// A broker has said that it did what it was told of a session.
    pub fn replied(&mut self, user: &UserId, at_us: u64) {
        self.of_users.entry(user.clone()).or_default().replied_us = at_us;
    }

    /// When something was up last with the sessions of a client's user. Of nobody's: of anybody's.
    pub fn last_us(&self, user: Option<&UserId>) -> Option<u64> {
        self.of(user).filter_map(|moments| moments.concerned_us).chain(self.of_all_us).max()
    }

    /// The same, the broker's answers included.
    pub fn settled_us(&self, user: Option<&UserId>) -> u64 {
        let replied_us = self.of(user).map(|moments| moments.replied_us);
        replied_us.chain(self.last_us(user)).max().unwrap_or_default()
    }

    fn of<'a>(&'a self, user: Option<&'a UserId>) -> impl Iterator<Item = &'a Moments> {
        let is_of = move |(name, _): &(&UserId, _)| user.is_none_or(|user| user == *name);
        self.of_users.iter().filter(is_of).map(|(_, moments)| moments)
    }
}

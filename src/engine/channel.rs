//! What the engine needs to know of channels.

use crate::config::{ChannelAuth, ChannelEntry, ChannelKind, Config, RoleRules};
use crate::topic::Role;

/// Number of a channel: 0 is the built-in one, then those configured, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub usize);

impl ChannelId {
    /// The interactive channel that is there without being configured.
    pub const BUILT_IN: Self = Self(0);

    /// The channel of a path; `None`: there is none. Without any configured, every path is the
    /// built-in one's.
    #[must_use]
    pub fn of_path(channels: &[ChannelEntry], path: &str) -> Option<Self> {
        match channels.iter().position(|channel| channel.path == path) {
            Some(at) => Some(Self(at + 1)),
            None if channels.is_empty() || path == "/" => Some(Self::BUILT_IN),
            None => None,
        }
    }

    /// Its entry in the configuration; `None`: it is the built-in one.
    #[must_use]
    pub fn entry(self, channels: &[ChannelEntry]) -> Option<&ChannelEntry> {
        self.0.checked_sub(1).and_then(|at| channels.get(at))
    }

    /// Its path as it is shown.
    #[must_use]
    pub fn path(self, channels: &[ChannelEntry]) -> &str {
        self.entry(channels).map_or("/", |channel| &channel.path)
    }
}

/// What holds in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRules {
    /// Whether whoever shows no credential is anonymous there.
    pub anonymous: bool,
    /// Whether all its clients get the same, without asking for it.
    pub broadcast: bool,
    /// Topics that one client may hold; `None`: as many as anybody.
    pub subscriptions_max: Option<usize>,
    /// The fastest pace of its subscriptions, and that of those who ask for none; 0: every value.
    pub pace_ms: u64,
    /// Who may come in; empty: everybody.
    roles: Vec<Role>,
}

impl ChannelRules {
    /// The rules of every channel, by number.
    #[must_use]
    pub fn all(config: &Config) -> Vec<Self> {
        let built_in = ChannelEntry::new("/", ChannelKind::Interactive);
        std::iter::once(&built_in).chain(&config.channel).map(Self::new).collect()
    }

    fn new(entry: &ChannelEntry) -> Self {
        let most = entry.subscriptions_per_client_max;
        Self {
            anonymous: entry.auth == ChannelAuth::Anonymous,
            broadcast: entry.kind == ChannelKind::Broadcast,
            subscriptions_max: (most > 0).then_some(most),
            pace_ms: entry.pace_ms,
            roles: entry.roles.iter().filter_map(|word| word.parse().ok()).collect(),
        }
    }

    /// Whether this role may come in.
    #[must_use]
    pub fn admits(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }

    /// Topics that a client may hold there in a role: the smallest of all limits that are said.
    #[must_use]
    pub fn subscriptions_max(&self, role: &RoleRules, limit: usize) -> usize {
        let mut most = limit;
        for max in [role.subscriptions_max, self.subscriptions_max].into_iter().flatten() {
            most = most.min(max);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_admits_the_roles_that_it_names_or_all() {
        let with = |roles: &[&str]| {
            let entry = ChannelEntry::new("/a", ChannelKind::Interactive);
            let roles = roles.iter().map(ToString::to_string).collect();
            ChannelRules::new(&ChannelEntry { roles, ..entry })
        };
        let admitted = |roles: &[&str]| -> Vec<Role> {
            let rules = with(roles);
            Role::ALL.into_iter().filter(|role| rules.admits(*role)).collect()
        };
        assert_eq!(admitted(&[]), Role::ALL);
        assert_eq!(admitted(&["viewer"]), [Role::Viewer]);
    }

    #[test]
    fn a_path_leads_to_its_channel_and_any_path_to_the_only_one() {
        let entry = |path| ChannelEntry::new(path, ChannelKind::Interactive);
        assert_eq!(ChannelId::of_path(&[], "/anything"), Some(ChannelId::BUILT_IN));
        let channels = [entry("/a"), entry("/b")];
        assert_eq!(ChannelId::of_path(&channels, "/b"), Some(ChannelId(2)));
        assert_eq!(ChannelId::of_path(&channels, "/"), Some(ChannelId::BUILT_IN));
        assert_eq!(ChannelId::of_path(&channels, "/a/"), None);
        assert_eq!(ChannelId::of_path(&[entry("/")], "/"), Some(ChannelId(1)));
        assert_eq!(ChannelId(2).path(&channels), "/b");
    }
}

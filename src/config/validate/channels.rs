//! What channels must be, one by one and together.

use std::collections::BTreeMap;

use super::Findings;
use crate::config::{
    CHANNELS_MAX, ChannelAuth, ChannelEntry, ChannelKind, Config, OutboxPolicy, SHARDS_MAX,
    TopicPattern,
};
use crate::topic::{ANONYMOUS, Role};

const PATH_BYTES_MAX: usize = 64;

/// The fastest pace that there is, in milliseconds.
const PACE_MS_MIN: u64 = 10;

impl Findings {
    pub(super) fn channels(&mut self, config: &Config) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, channel) in config.channel.iter().enumerate() {
            let key = |name: &str| format!("channel.{index}.{name}");
            if let Some(why) = bad_path(&channel.path) {
                let message = format!("`{}` may not be {:?}: {why}", key("path"), channel.path);
                self.add(&[&key("path")], message);
            }
            if let Some(first) = seen.insert(&channel.path, index) {
                let path = &channel.path;
                let message = format!("`channel.{first}` and `channel.{index}` are both {path:?}");
                self.add(&[&key("path")], message);
            }
            for (name, message) in channel.out_of_range() {
                self.add(&[&key(name)], format!("`{}` {message}", key(name)));
            }
            self.channel_roles(config, channel, &key);
            match channel.kind {
                ChannelKind::Interactive => self.interactive(channel, &key),
                ChannelKind::Broadcast => self.broadcast(config, channel, &key),
            }
        }
        let count = config.channel.len();
        if count > CHANNELS_MAX {
            let message = format!("there may be {CHANNELS_MAX} [[channel]], got {count}");
            self.add(&["channel.0"], message);
        }
        let broadcasts = config.broadcasts();
        if broadcasts > 0 && config.server.shards + broadcasts > SHARDS_MAX {
            self.add(
                &["server.shards"],
                format!(
                    "`server.shards` and the broadcast channels may be {SHARDS_MAX} together, got \
                     {} and {broadcasts}",
                    config.server.shards
                ),
            );
        }
    }

    fn channel_roles(
        &mut self,
        config: &Config,
        channel: &ChannelEntry,
        key: &impl Fn(&str) -> String,
    ) {
        for word in &channel.roles {
            if word.parse::<Role>().is_err() {
                let roles = Role::ALL.map(Role::as_str).join(", ");
                let message = format!("`{}` takes {roles}, got {word:?}", key("roles"));
                self.add(&[&key("roles")], message);
            }
        }
        let allowed = &config.roles.anonymous_allow;
        if channel.auth == ChannelAuth::Anonymous && allowed.iter().any(|word| word != "ticks") {
            self.add(
                &[&key("auth"), "roles.anonymous_allow"],
                format!(
                    "`{}` lets everybody in, and `roles.anonymous_allow` lets them do more than \
                     read ticks; take \"orders\" and \"admin\" out",
                    key("auth")
                ),
            );
        }
        if channel.auth == ChannelAuth::Anonymous && !channel.admits(Role::Anonymous) {
            self.add(
                &[&key("roles"), &key("auth")],
                format!(
                    "`{}` leaves \"anonymous\" out, but `{}` lets everybody in; add it or choose \
                     another `auth`",
                    key("roles"),
                    key("auth")
                ),
            );
        }
    }

    fn interactive(&mut self, channel: &ChannelEntry, key: &impl Fn(&str) -> String) {
        for (name, given) in [
            ("topics", !channel.topics.is_empty()),
            ("broker", channel.broker.is_some()),
            ("user", channel.user.is_some()),
        ] {
            if given {
                let message = format!("`{}` is for broadcast channels alone", key(name));
                self.add(&[&key(name)], message);
            }
        }
        if (1..PACE_MS_MIN).contains(&channel.pace_ms) {
            let pace_ms = key("pace_ms");
            let message = format!(
                "`{pace_ms}` must be 0 or from {PACE_MS_MIN} to 3600000, got {}",
                channel.pace_ms
            );
            self.add(&[&pace_ms], message);
        }
    }

    fn broadcast(
        &mut self,
        config: &Config,
        channel: &ChannelEntry,
        key: &impl Fn(&str) -> String,
    ) {
        let topics = key("topics");
        for text in &channel.topics {
            if TopicPattern::parse(text).is_none() {
                self.add(
                    &[&topics],
                    format!(
                        "`{topics}` takes EXCHANGE:SYMBOL or EXCHANGE:SYMBOL:MODE, where the \
                         symbol may end in `*`, as NSE_INDEX:NIFTY or NFO:NIFTY*:Quote, got \
                         {text:?}"
                    ),
                );
            }
        }
        let patterns = channel.patterns();
        let exact = patterns.iter().filter(|it| matches!(it, TopicPattern::Exact(_))).count();
        if channel.topics.is_empty() {
            let message = format!("`{topics}` is empty, so there is nothing to broadcast");
            self.add(&[&topics, &key("kind")], message);
        } else if exact > channel.topics_max {
            let (name, max) = (key("topics_max"), channel.topics_max);
            let message = format!("`{topics}` names {exact} topics, and `{name}` is {max}");
            self.add(&[&topics, &name], message);
        }
        if exact > 0 && channel.user.is_none() {
            let user = key("user");
            let message = format!(
                "`{user}` is missing: topics without `*` are subscribed at a broker as some user"
            );
            self.add(&[&user, &topics], message);
        }
        if channel.user.as_deref() == Some(ANONYMOUS) {
            let user = key("user");
            let message =
                format!("`{user}` may not be {ANONYMOUS:?}: that is who shows no credential");
            self.add(&[&user], message);
        }
        if let Some(name) = &channel.broker
            && config.effective_brokers().iter().all(|broker| broker.name != *name)
        {
            let broker = key("broker");
            self.add(&[&broker], format!("`{broker}`: there is no broker {name:?}"));
        }
        if channel.subscriptions_per_client_max > 0 {
            let name = key("subscriptions_per_client_max");
            let message = format!("`{name}` is for interactive channels alone");
            self.add(&[&name], message);
        }
        if channel.pace_ms > 0 {
            let name = key("pace_ms");
            let message = format!(
                "`{name}` is for interactive channels alone; a broadcast has `interval_ms`"
            );
            self.add(&[&name], message);
        }
        if channel.outbox == OutboxPolicy::Conflate && channel.ticks_max > 0 {
            let name = key("ticks_max");
            let message = format!(
                "`{name}` has no meaning here: a listener that lags waits for the latest alone"
            );
            self.add(&[&name], message);
        }
    }
}

/// Why a channel cannot have this path.
fn bad_path(path: &str) -> Option<&'static str> {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    if !path.starts_with('/') {
        Some("a path begins with `/`")
    } else if path.len() > PATH_BYTES_MAX || !path.bytes().all(allowed) {
        Some("a path is at most 64 letters, digits, `/`, `-`, `_`, `.` and `~`")
    } else if path == "/api" || path.starts_with("/api/") {
        Some("what is below /api is the gateway's own")
    } else {
        None
    }
}

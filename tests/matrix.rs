//! Every cell of role, action and channel: through the hub, and the door's rules on real sockets.

use tickgate::auth::{KeyHash, KeyTable};
use tickgate::config::{Action, ChannelAuth, ChannelEntry, ChannelKind, Config};
use tickgate::engine::Request;
use tickgate::topic::{ClientId, Role};

use crate::common::TestGateway;
use crate::common::knock::knock_status;
use crate::hub_support::{Story, anonymous_channel, identity, subscribe};

const KINDS: [ChannelKind; 2] = [ChannelKind::Interactive, ChannelKind::Broadcast];
const AUTHS: [ChannelAuth; 3] = [ChannelAuth::Message, ChannelAuth::Door, ChannelAuth::Anonymous];

/// Lists of roles that a channel may have, as the configuration allows them.
fn role_rules(auth: ChannelAuth) -> Vec<Vec<Role>> {
    let mut rules = vec![vec![], vec![Role::Trader, Role::Admin], vec![Role::Viewer]];
    rules.extend(Role::ALL.map(|role| vec![role]));
    if auth == ChannelAuth::Anonymous {
        for rule in rules.iter_mut().filter(|rule| !rule.is_empty()) {
            rule.insert(0, Role::Anonymous);
        }
    }
    rules
}

fn channel(kind: ChannelKind, auth: ChannelAuth, roles: &[Role]) -> ChannelEntry {
    let roles = roles.iter().map(|role| role.as_str().to_owned()).collect();
    let topics = match kind {
        ChannelKind::Interactive => Vec::new(),
        ChannelKind::Broadcast => vec!["NSE:*".into()],
    };
    ChannelEntry { auth, roles, topics, ..ChannelEntry::new("/c", kind) }
}

/// What each request of the matrix gets, in a channel of this kind, by a role that has come in.
fn expected(kind: ChannelKind, role: Role, asked: &str) -> &'static str {
    let of_default = |action| match (action, role) {
        (Action::Ticks, _) => true,
        (Action::Orders, Role::Trader | Role::Admin | Role::SuperAdmin)
        | (Action::Admin, Role::Admin | Role::SuperAdmin) => true,
        (Action::Orders | Action::Admin, _) => false,
    };
    let broadcasts = kind == ChannelKind::Broadcast;
    match asked {
        "broker" | "brokers" => "success",
        _ if broadcasts => "FORBIDDEN",
        "orders" if !of_default(Action::Orders) => "FORBIDDEN",
        "ticks" if !of_default(Action::Ticks) => "FORBIDDEN",
        _ => "success",
    }
}

fn requests() -> [(&'static str, Request); 6] {
    [
        ("ticks", subscribe(1)),
        ("orders", Request::SubscribeOrders),
        ("no orders", Request::UnsubscribeOrders),
        ("unsubscribe all", Request::UnsubscribeAll),
        ("broker", Request::BrokerInfo),
        ("brokers", Request::SupportedBrokers),
    ]
}

#[test]
fn every_cell_of_role_action_and_channel_is_as_the_tables_say() {
    let mut cells = 0;
    for kind in KINDS {
        for auth in AUTHS {
            for rule in role_rules(auth) {
                let entry = channel(kind, auth, &rule);
                let config = Config { channel: vec![entry], ..Config::default() };
                assert_eq!(config.validate(), Ok(()), "{kind:?} {auth:?} {rule:?}");
                for role in Role::ALL {
                    let at = format!("{kind:?} {auth:?} {rule:?} {role}");
                    let mut story = Story::new(|old| *old = config.clone());
                    story.open_in(1, 1);
                    let admitted = rule.is_empty() || rule.contains(&role);
                    let entered = story.ask(1, Request::Authenticate(Ok(identity(role, None))));
                    assert_eq!(entered, if admitted { "success" } else { "FORBIDDEN" }, "{at}");
                    for (asked, request) in requests() {
                        let expected = match (admitted, auth, asked) {
                            (true, _, _) => expected(kind, role, asked),
                            // Nobody knows who it is: it may stay what it was.
                            (false, ChannelAuth::Anonymous, _) => {
                                expected(kind, Role::Anonymous, asked)
                            }
                            (false, _, "brokers") => "success",
                            (false, _, "broker") => "NOT_AUTHENTICATED",
                            (false, _, _) if kind == ChannelKind::Broadcast => "FORBIDDEN",
                            (false, _, _) => "NOT_AUTHENTICATED",
                        };
                        assert_eq!(story.ask(1, request), expected, "{at}: {asked}");
                        cells += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cells, 2 * 3 * 9 * 6 * 6);
}

#[test]
fn an_anonymous_client_holds_three_topics_and_hears_no_orders() {
    let mut story = Story::new(anonymous_channel);
    story.open_in(1, 1);
    assert_eq!(story.answers, [], "nothing is said unasked");
    for symbol in 0..3 {
        assert_eq!(story.ask(1, subscribe(symbol)), "success", "#{symbol}");
    }
    assert_eq!(story.ask(1, subscribe(3)), "LIMIT_EXCEEDED");
    assert_eq!(story.ask(1, Request::SubscribeOrders), "FORBIDDEN");
    story.now_ms = 10_000_000;
    story.tell(tickgate::engine::Event::Timer);
    assert_eq!(story.closes, [], "nobody asks it to authenticate");
}

#[test]
fn whoever_need_not_authenticate_may_be_silent() {
    let mut story = Story::new(anonymous_channel);
    let own = ClientId::own(1);
    story.open_in(1, 0);
    story.open_in(2, 1);
    story.open(own.0);
    story.now_ms = 10_000_000;
    story.tell(tickgate::engine::Event::Timer);
    assert_eq!(story.closes, [(ClientId(1), 4401)]);
}

#[test]
fn an_anonymous_client_that_authenticates_leaves_everything_behind() {
    let mut story = Story::new(anonymous_channel);
    story.open_in(1, 1);
    assert_eq!(story.ask(1, subscribe(1)), "success");
    let alice = Request::Authenticate(Ok(identity(Role::Trader, None)));
    assert_eq!(story.ask(1, alice), "success");
    assert_eq!(story.hub.snapshot(0, 100).topics.len(), 0);
    let users = story.hub.snapshot(0, 100).sessions;
    assert_eq!(users.iter().map(|row| row.user.as_str()).collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn whoever_authenticates_at_once_is_never_anonymous() {
    let mut story = Story::new(anonymous_channel);
    story.open_in(1, 1);
    story.ask(1, Request::Authenticate(Ok(identity(Role::Trader, None))));
    assert_eq!(story.commands, ["alice connect"], "no session of anonymous was ever opened");
}

#[test]
fn what_an_anonymous_client_asks_for_fails_with_the_session() {
    let mut story = Story::new(anonymous_channel);
    story.broker_refuses = true;
    story.open_in(1, 1);
    assert_eq!(story.ask(1, subscribe(1)), "BROKER_CONNECTION_ERROR");
    story.broker_refuses = false;
    assert_eq!(story.ask(1, subscribe(1)), "success", "it can try again");
    assert_eq!(story.answers.len(), 0, "each request has one answer");
}

#[test]
fn all_anonymous_clients_share_a_topic_and_no_limit_of_one_user() {
    let mut story = Story::new(|config| {
        anonymous_channel(config);
        config.limits.clients_per_user_max = 2;
        config.limits.subscriptions_per_user_max = 4;
    });
    for client in 1..=5 {
        story.open_in(client, 1);
        for symbol in 0..3 {
            assert_eq!(story.ask(client, subscribe(symbol)), "success", "{client} #{symbol}");
        }
    }
    let subscribes = story.commands.iter().filter(|command| command.contains("subscribe"));
    assert_eq!(subscribes.count(), 3, "one for each topic");
    assert_eq!(story.hub.snapshot(0, 1).authenticated, 0, "none of them has authenticated");
}

#[test]
fn nobody_becomes_the_anonymous_user_by_a_credential() {
    let mut story = Story::new(anonymous_channel);
    story.open_in(1, 0);
    let mut imposter = identity(Role::Trader, None);
    imposter.user = "anonymous".into();
    assert_eq!(story.ask(1, Request::Authenticate(Ok(imposter))), "FORBIDDEN");
}

#[test]
fn the_smallest_limit_of_topics_holds() {
    for (of_channel, of_limits, role, held) in [
        (2, 1_000, Role::Trader, 2),
        (0, 5, Role::Trader, 5),
        (7, 5, Role::Trader, 5),
        (20, 1_000, Role::Viewer, 10),
        (4, 1_000, Role::Viewer, 4),
    ] {
        let mut story = Story::new(|config| {
            let entry = ChannelEntry::new("/c", ChannelKind::Interactive);
            config.channel =
                vec![ChannelEntry { subscriptions_per_client_max: of_channel, ..entry }];
            config.limits.subscriptions_per_client_max = of_limits;
        });
        story.open_in(1, 1);
        story.ask(1, Request::Authenticate(Ok(identity(role, None))));
        for symbol in 0..held {
            assert_eq!(story.ask(1, subscribe(symbol)), "success");
        }
        assert_eq!(story.ask(1, subscribe(held)), "LIMIT_EXCEEDED", "{of_channel} {of_limits}");
    }
}

/// Every cell of the door: what a role gets that shows its key with the upgrade, and what nobody
/// gets, for each kind, auth and list of roles.
#[tokio::test]
async fn every_rule_of_the_door_holds_on_real_sockets() {
    let mut keys = KeyTable::new();
    for role in Role::ALL {
        let hash = KeyHash::of(&format!("{role}-key"));
        keys = keys.with_hash(hash, format!("a-{role}").as_str().into(), None, role);
    }
    let mut entries = Vec::new();
    for kind in KINDS {
        for auth in AUTHS {
            for rule in role_rules(auth) {
                let path = format!("/c{}", entries.len());
                let entry = channel(kind, auth, &rule);
                entries.push((ChannelEntry { path, ..entry }, rule));
            }
        }
    }
    for half in entries.chunks(27) {
        let channels: Vec<_> = half.iter().map(|(entry, _)| entry.clone()).collect();
        let gateway = TestGateway::start_knowing(keys.clone(), |config| {
            config.channel = channels;
        })
        .await;
        for (entry, rule) in half {
            for role in Role::ALL {
                let header = format!("Authorization: Bearer {role}-key\r\n");
                let admitted = rule.is_empty() || rule.contains(&role);
                let status = knock_status(&gateway, &entry.path, &header).await.0;
                assert_eq!(status, if admitted { 101 } else { 403 }, "{entry:?} {role}");
            }
            let nobody = knock_status(&gateway, &entry.path, "").await.0;
            let expected = if entry.auth == ChannelAuth::Door { 401 } else { 101 };
            assert_eq!(nobody, expected, "{entry:?} nobody");
            let wrong = "Authorization: Bearer no\r\n";
            assert_eq!(knock_status(&gateway, &entry.path, wrong).await.0, 401, "{entry:?} wrong");
        }
        gateway.stop().await;
    }
}

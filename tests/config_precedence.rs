//! Defaults, then the file, then the environment.

use std::path::PathBuf;

use tickgate::config::{BrokerKind, Config, parse};

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn nothing_at_all_is_the_default() {
    assert_eq!(parse(None, []), Ok((Config::default(), vec![])));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[server]\nlisten = \"127.0.0.1:1000\"\nshards = 3\n";
    let (config, overridden_by) = parse(
        Some(("my.toml", file)),
        variables(&[("TICKGATE_SERVER_LISTEN", "127.0.0.1:2000"), ("HOME", "/root")]),
    )
    .expect("valid");

    assert_eq!(config.server.listen, "127.0.0.1:2000");
    assert_eq!(config.server.shards, 3);
    assert_eq!(config.server.auth_timeout_ms, Config::default().server.auth_timeout_ms);
    assert_eq!(overridden_by, ["TICKGATE_SERVER_LISTEN"]);
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    // Each key gets the value it already has, with one variable for each key of the printout.
    let mut config = Config::default();
    config.auth.keys_file = Some("keys.toml".into());
    let mut pairs = Vec::new();
    for (section, table) in &toml::Table::try_from(&config).expect("serializes") {
        for (name, value) in table.as_table().into_iter().flatten() {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Array(items) => {
                    items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            pairs.push((format!("TICKGATE_{section}_{name}").to_uppercase(), text));
        }
    }
    assert!(pairs.len() > 30, "{pairs:?}");
    let names: Vec<_> = pairs.iter().map(|(name, _)| name.clone()).collect();

    let (parsed, overridden_by) = parse(None, pairs).expect("valid");
    assert_eq!(parsed, config);
    assert_eq!(overridden_by.len(), names.len());
}

#[test]
fn lists_are_split_at_commas_and_an_empty_variable_empties() {
    let (config, _) = parse(
        Some(("f", "[auth]\nkeys_file = \"k.toml\"")),
        variables(&[
            ("TICKGATE_BUS_CONNECT", "tcp://a:1, tcp://b:2,"),
            ("TICKGATE_ADMIN_LISTEN", ""),
            ("TICKGATE_AUTH_KEYS_FILE", ""),
            ("TICKGATE_LIMITS_CLIENTS_MAX", " 1_000 "),
        ]),
    )
    .expect("valid");
    assert_eq!(config.bus.connect, ["tcp://a:1", "tcp://b:2"]);
    assert_eq!(config.admin.listen, "");
    assert_eq!(config.auth.keys_file, None::<PathBuf>);
    assert_eq!(config.limits.clients_max, 1_000);
}

#[test]
fn brokers_are_changed_and_added_by_number() {
    let file = "[[brokers]]\nname = \"one\"\nkind = \"paper\"\nseed = 1\n";
    let (config, _) = parse(
        Some(("f", file)),
        variables(&[
            ("TICKGATE_BROKERS_0_SEED", "5"),
            ("TICKGATE_BROKERS_0_TICKS_PER_SECOND", "2"),
            ("TICKGATE_BROKERS_1_NAME", "two"),
            ("TICKGATE_BROKERS_1_KIND", "remote"),
            ("TICKGATE_BROKERS_1_ADDRESS", "tcp://127.0.0.1:5560"),
        ]),
    )
    .expect("valid");
    let [one, two] = &config.brokers[..] else { panic!("{:?}", config.brokers) };
    assert_eq!((one.seed, one.ticks_per_second), (Some(5), Some(2.0)));
    assert_eq!((two.name.as_str(), two.kind), ("two", BrokerKind::Remote));
}

#[test]
fn ten_and_more_brokers_are_added_in_the_order_of_their_numbers() {
    let mut pairs = Vec::new();
    for index in 0..12 {
        pairs.push((format!("TICKGATE_BROKERS_{index}_NAME"), format!("b{index}")));
        pairs.push((format!("TICKGATE_BROKERS_{index}_KIND"), "paper".into()));
    }
    let (config, _) = parse(None, pairs).expect("valid");
    let names: Vec<_> = config.brokers.iter().map(|broker| broker.name.clone()).collect();
    assert_eq!(names, (0..12).map(|index| format!("b{index}")).collect::<Vec<_>>());
}

#[test]
fn variables_of_others_with_our_prefix_are_passed_over() {
    let (config, overridden_by) = parse(
        None,
        variables(&[
            ("TICKGATE_KEY", "secret"),
            ("TICKGATE_PORT", "tcp://10.0.0.1:8765"),
            ("TICKGATE_PORT_8765_TCP", "tcp://10.0.0.1:8765"),
            ("TICKGATE_SERVICE_HOST", "10.0.0.1"),
            ("TICKGATE_SERVICE_PORT", "8765"),
        ]),
    )
    .expect("valid");
    assert_eq!(config, Config::default());
    assert!(overridden_by.is_empty());
}

#[test]
fn without_brokers_there_is_one_paper_broker() {
    let brokers = Config::default().effective_brokers();
    assert_eq!(brokers.len(), 1);
    assert_eq!((brokers[0].name.as_str(), brokers[0].kind), ("paper", BrokerKind::Paper));
}

#[test]
fn what_is_printed_is_read_back_as_the_same() {
    let mut config = Config::default();
    config.auth.keys_file = Some("keys.toml".into());
    config.brokers = config.effective_brokers();
    config.brokers[0].seed = Some(7);
    let text = toml::to_string_pretty(&config).expect("serializes");
    assert_eq!(parse(Some(("printed", &text)), []), Ok((config, vec![])));
}

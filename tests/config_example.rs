//! The example file is the reference of the configuration, so it may not drift.

use std::collections::BTreeSet;

use tickgate::config::{
    BrokerEntry, BrokerKind, ChannelEntry, ChannelKind, Config, MarketEntry, Quirks, ReplayStart,
    parse,
};

const EXAMPLE: &str = include_str!("../tickgate.example.toml");

#[test]
fn the_example_is_the_default_configuration() {
    let (config, overridden_by) =
        parse(Some(("tickgate.example.toml", EXAMPLE)), []).expect("valid");
    assert_eq!(config, Config::default());
    assert!(overridden_by.is_empty());
}

#[test]
fn the_example_shows_every_key_in_its_section() {
    let mut config = Config::default();
    config.server.tls_certificate = Some("certificate.pem".into());
    config.server.tls_key = Some("key.pem".into());
    config.auth.keys_file = Some("keys.toml".into());
    config.auth.jwt_keys_file = Some("jwks.json".into());
    config.auth.openalgo_database = Some("openalgo.db".into());
    config.admin.stats_file = Some("stats.json".into());
    config.audit.file = Some("audit.jsonl".into());
    config.auth.jwt_issuer = Some("issuer".into());
    config.auth.jwt_audience = Some("audience".into());
    config.brokers.push(BrokerEntry {
        address: Some("tcp://a:1".into()),
        seed: Some(1),
        ticks_per_second: Some(1.0),
        file: Some("market.tick".into()),
        speed: Some(1.0),
        repeat: Some(true),
        from_ms: Some(1),
        start: Some(ReplayStart::Gateway),
        start_delay_ms: Some(1),
        quirks: Quirks { calls_per_second: Some(1.0), ..Quirks::default() },
        ..BrokerEntry::paper()
    });
    config.channel.push(ChannelEntry {
        broker: Some("paper".into()),
        user: Some("indices".into()),
        ..ChannelEntry::new("/", ChannelKind::Broadcast)
    });
    config.market.push(MarketEntry {
        exchanges: vec!["NSE".into()],
        utc_offset: "+05:30".into(),
        days: vec!["mon".into()],
        open: "09:15".into(),
        close: "15:30".into(),
        holidays: Vec::new(),
        stale_after_ms: Some(1),
    });
    let mut wanted = BTreeSet::new();
    for (section, value) in &toml::Table::try_from(config).expect("serializes") {
        let entry = value.as_array().map_or(value, |entries| &entries[0]);
        for name in entry.as_table().expect("a table").keys() {
            wanted.insert(format!("{section}.{name}"));
        }
    }

    let mut section = String::new();
    let mut shown = BTreeSet::new();
    for line in EXAMPLE.lines().map(uncommented) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
        } else if let Some((name, _)) = key_and_value(line) {
            shown.insert(format!("{section}.{name}"));
        }
    }
    assert_eq!(shown, wanted);
}

#[test]
fn what_the_example_leaves_commented_out_is_valid_too() {
    let is_toml = |line: &str| line.starts_with('[') || key_and_value(line).is_some();
    let text: Vec<_> = EXAMPLE.lines().map(uncommented).filter(|line| is_toml(line)).collect();
    let (config, _) = parse(Some(("example", &text.join("\n"))), []).expect("valid");
    assert_eq!(config.auth.keys_file, Some("tickgate-keys.toml".into()));
    let brokers: Vec<_> = config.brokers.iter().map(|b| (b.name.as_str(), b.kind)).collect();
    let kinds = [
        ("paper", BrokerKind::Paper),
        ("recorded", BrokerKind::Replay),
        ("zerodha", BrokerKind::Remote),
    ];
    assert_eq!(brokers, kinds);
    let channels: Vec<_> = config.channel.iter().map(|c| (c.path.as_str(), c.kind)).collect();
    let expected =
        [("/ws/market", ChannelKind::Interactive), ("/ws/index", ChannelKind::Broadcast)];
    assert_eq!(channels, expected);
    assert_eq!(config.market.len(), 1);
}

#[test]
fn the_example_of_channels_is_valid_and_has_the_three_of_the_original() {
    const CHANNELS: &str = include_str!("../examples/channels.toml");
    let (config, _) = parse(Some(("channels.toml", CHANNELS)), []).expect("valid");
    let paths: Vec<_> = config.channel.iter().map(|channel| channel.path.as_str()).collect();
    assert_eq!(paths, ["/ws/market", "/ws/foreign", "/ws/index"]);
}

#[test]
fn every_key_is_explained_and_every_number_has_its_limits() {
    let mut section = "";
    let mut comment = String::new();
    let mut explained = BTreeSet::new();
    for line in EXAMPLE.lines() {
        if let Some((name, value)) = key_and_value(uncommented(line)) {
            if explained.insert((section, name)) {
                assert!(!comment.is_empty(), "{section}.{name} has no explanation");
                let is_number = value.parse::<f64>().is_ok();
                assert!(!is_number || comment.contains(" to "), "{section}.{name}: {comment}");
                let is_time = name.ends_with("_ms");
                assert!(
                    !is_time || comment.contains("Milliseconds"),
                    "{section}.{name}: {comment}"
                );
            }
            comment.clear();
        } else if uncommented(line).starts_with('[') {
            section = uncommented(line);
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push(' ');
        }
    }
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    line.split_once(" = ")
        .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

/// The line without a leading `# `, if it is an example that was commented out.
fn uncommented(line: &str) -> &str {
    line.strip_prefix("# ")
        .filter(|rest| rest.starts_with('[') || rest.contains(" = "))
        .unwrap_or(line)
}

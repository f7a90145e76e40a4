//! Every mistake in a configuration gets one clear sentence.

use std::fmt::Write as _;

use tickgate::config::{Config, parse};

/// Runs each file and environment and notes what comes out, for review as one snapshot.
fn story(cases: &[(&str, &[(&str, &str)])]) -> String {
    let mut story = String::new();
    for (file, variables) in cases {
        for (name, value) in *variables {
            writeln!(story, "$ {name}={value}").expect("writes");
        }
        for line in file.lines() {
            writeln!(story, "| {line}").expect("writes");
        }
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        match parse(Some(("my.toml", file)), variables) {
            Ok(_) => writeln!(story, "-> valid\n").expect("writes"),
            Err(bad) => writeln!(story, "{bad}\n").expect("writes"),
        }
    }
    story
}

const ANONYMOUS: &str = "[[channel]]\npath = \"/c\"\nkind = \"interactive\"\nauth = \"anonymous\"";

fn check(name: &str, story: String) {
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, story) });
}

#[test]
fn a_mistake_in_a_file_is_told_with_its_place_and_a_hint() {
    check(
        "file",
        story(&[
            // What is not TOML.
            ("[server\nlisten = 1", &[]),
            ("[server]\nlisten = ", &[]),
            ("[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"", &[]),
            ("[log]\n[log]", &[]),
            // Names.
            ("[sever]\nlisten = \"127.0.0.1:1\"", &[]),
            ("[redis]\nurl = \"x\"", &[]),
            ("[server]\n  lisen = \"127.0.0.1:1\"", &[]),
            ("[server]\nclients_max = 5", &[]),
            ("[server]\ncolour = 5", &[]),
            ("shards = 5", &[]),
            ("brokers = 5", &[]),
            ("[brokers]\nname = \"x\"", &[]),
            ("[[broker]]\nname = \"x\"", &[]),
            ("[[server]]\nlisten = \"x\"", &[]),
            ("server = 5", &[]),
            // Types.
            ("[server]\nlisten = 8765", &[]),
            ("[server]\nshards = \"4\"", &[]),
            ("[server]\nshards = 1.5", &[]),
            ("[server]\nauth_timeout_ms = \"15s\"", &[]),
            ("[admin]\nsocket = \"run/admin.sock\"", &[]),
            ("[log]\njson = \"yes\"", &[]),
            ("[bus]\nbind = \"tcp://127.0.0.1:5555\"", &[]),
            ("[bus]\nbind = [5555]", &[]),
            ("[log]\nlevel = 2026-11-21", &[]),
            ("[log]\nlevel = { a = 1 }", &[]),
            // Two at once, in the order in which they stand there.
            ("[server]\nshards = 999\nlisten = 5\n[admin]\nport = 1", &[]),
        ]),
    );
}

#[test]
fn a_value_out_of_its_limits_is_told_with_the_limits() {
    check(
        "limits",
        story(&[
            ("[server]\nauth_timeout_ms = 0", &[]),
            ("[server]\nauth_timeout_ms = -1", &[]),
            ("[server]\nauth_timeout_ms = 99999999999999999999999999999999999999999", &[]),
            ("[server]\nshards = 65", &[]),
            ("[limits]\nmessage_bytes_max = 10", &[]),
            ("[server]\nlisten = \"8765\"", &[]),
            ("[server]\nlisten = \"ws://127.0.0.1:8765\"", &[]),
            ("[server]\nlisten = \"127.0.0.1:99999\"", &[]),
            ("[server]\nlisten = \":8765\"", &[]),
            ("[server]\ntls_certificate = \"certificate.pem\"", &[]),
            ("[server]\ntls_key = \"key.pem\"", &[]),
            ("[server]\ntls_certificate = \"c.pem\"\ntls_key = \"\"", &[]),
            ("[admin]\nlisten = \"0.0.0.0:8766\"", &[]),
            ("[admin]\nlisten = \"127.0.0.1:8765\"", &[]),
            ("[admin]\nlisten = \"\"", &[]),
            ("[bus]\nbind = [\"127.0.0.1:5555\"]", &[]),
            ("[bus]\nbind = [\"tcp://*:5555\"]", &[]),
            ("[bus]\nbind = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:1\"]", &[]),
            ("[bus]\nconnect = [\"tcp://127.0.0.1:0\"]", &[]),
            ("[bus]\nbind = []", &[]),
            ("[bus]\nbind = []\nconnect = [\"tcp://feed:5556\"]", &[]),
            ("[bus]\nreconnect_min_ms = 9000", &[]),
            ("[bus]\nreconnect_max_ms = 10", &[]),
            ("[broker]\nretry_min_ms = 2000\nretry_max_ms = 1000", &[]),
            ("[bus]\ntwo_segment_exchanges = [\"NSE\"]", &[]),
            ("[log]\nlevel = \"inof\"", &[]),
            ("[log]\nlevel = \"\"", &[]),
            ("[log]\nlevel = \"info,tickgate::server=loud\"", &[]),
            ("[log]\nlevel = \"warn,tickgate::server=debug\"", &[]),
        ]),
    );
}

#[test]
fn a_bad_broker_is_named() {
    let broker = |lines: &str| format!("[[brokers]]\n{lines}");
    let files = [
        broker("kind = \"paper\""),
        broker("name = \"a\""),
        broker("name = \"a\"\nkind = \"papr\""),
        broker("name = \"a\"\nkind = 1"),
        broker("name = \"my_broker\"\nkind = \"paper\""),
        broker("name = \"Zerodha\"\nkind = \"paper\""),
        broker("name = \"nse\"\nkind = \"paper\""),
        broker("name = \"a b\"\nkind = \"paper\""),
        broker("name = \"a\"\nkind = \"remote\""),
        broker("name = \"a\"\nkind = \"remote\"\naddress = \"127.0.0.1:5560\""),
        broker("name = \"a\"\nkind = \"remote\"\naddress = \"tcp://h:1\"\nseed = 1"),
        broker("name = \"a\"\nkind = \"paper\"\naddress = \"tcp://h:1\""),
        broker("name = \"a\"\nkind = \"paper\"\nticks_per_second = 0"),
        broker("name = \"a\"\nkind = \"paper\"\nticks_per_second = nan"),
        broker("name = \"a\"\nkind = \"paper\"\nticks_per_second = \"fast\""),
        broker("name = \"a\"\nkind = \"paper\"\nseed = -1"),
        broker("name = \"a\"\nkind = \"paper\"\nseed = 9223372036854775808"),
        broker("name = \"a\"\nkind = \"paper\"\nadress = \"x\""),
        broker("name = \"a\"\nkind = \"paper\"\n[[brokers]]\nname = \"a\"\nkind = \"paper\""),
        broker("name = \"a\"\nkind = \"replay\""),
        broker("name = \"a\"\nkind = \"replay\"\nfile = \"x\"\nspeed = 0"),
        broker("name = \"a\"\nkind = \"replay\"\nfile = \"x\"\nloop = \"yes\""),
        broker("name = \"a\"\nkind = \"replay\"\nfile = \"x\"\nstart = \"first_subscriber\""),
        broker("name = \"a\"\nkind = \"replay\"\nfile = \"x\"\nstart_delay_ms = 3600001"),
        broker("name = \"a\"\nkind = \"replay\"\nfile = \"x\"\nseed = 1"),
        broker("name = \"a\"\nkind = \"paper\"\nfile = \"x\""),
        "brokers = [1]".into(),
    ];
    let cases: Vec<_> = files.iter().map(|file| (file.as_str(), &[][..])).collect();
    check("brokers", story(&cases));
}

#[test]
fn a_bad_channel_is_named() {
    let channel = |lines: &str| format!("[[channel]]\npath = \"/c\"\n{lines}");
    let interactive = |lines: &str| channel(&format!("kind = \"interactive\"\n{lines}"));
    let broadcast = |lines: &str| channel(&format!("kind = \"broadcast\"\n{lines}"));
    let path = |path: &str| format!("[[channel]]\npath = {path:?}\nkind = \"interactive\"");
    let files = [
        "[[channel]]\nkind = \"interactive\"".into(),
        channel(""),
        channel("kind = \"broadcats\""),
        path(""),
        path("ws"),
        path("/ws?x=1"),
        path("/api/ws-token"),
        format!("{}\n{}", path("/a"), path("/a")),
        interactive("auth = \"dor\""),
        interactive("roles = [\"traders\"]"),
        interactive("auth = \"anonymous\"\nroles = [\"viewer\"]"),
        interactive("clients_max = 0"),
        interactive("outbox = \"drop\""),
        interactive("topics = [\"NSE:TCS\"]\nuser = \"u\"\nbroker = \"paper\""),
        interactive("paths = 1"),
        broadcast(""),
        broadcast("topics = [\"NSE\", \"*:TCS\"]"),
        broadcast("topics = [\"NSE:TCS\"]"),
        broadcast("topics = [\"NSE:*\"]\nbroker = \"zerodha\""),
        broadcast("topics = [\"NSE:*\"]\ninterval_ms = 1\ntopics_max = 0"),
        broadcast("topics = [\"NSE:A\", \"NSE:B\"]\nuser = \"u\"\ntopics_max = 1"),
        broadcast("topics = [\"NSE:*\"]\nticks_max = 5\nsubscriptions_per_client_max = 5"),
        interactive("pace_ms = 9"),
        interactive("pace_ms = 3600001"),
        interactive("pace_ms = 250"),
        broadcast("topics = [\"NSE:*\"]\npace_ms = 250"),
        broadcast("topics = [\"NSE:*\"]\n[server]\nshards = 64"),
        broadcast("topics = [\"NSE:*\"]"),
        "channel = 5".into(),
        "[channel]\npath = \"/\"".into(),
        "[[channels]]\npath = \"/\"".into(),
    ];
    let mut cases: Vec<_> = files.iter().map(|file| (file.as_str(), &[][..])).collect();
    let variables = [("TICKGATE_CHANNEL_0_PATH", "/c"), ("TICKGATE_CHANNEL_0_KIND", "interactive")];
    cases.push(("", &variables));
    cases.push(("", &[("TICKGATE_CHANNEL_1_PATH", "/c")]));
    cases.push(("", &[("TICKGATE_CHANNEL_0_PTH", "/c")]));
    check("channels", story(&cases));
}

#[test]
fn a_mistake_in_a_variable_is_told_with_its_name() {
    check(
        "variables",
        story(&[
            ("", &[("TICKGATE_SERVER_LISEN", "127.0.0.1:1")]),
            ("", &[("TICKGATE_LISTEN", "127.0.0.1:1")]),
            ("", &[("TICKGATE_NONSENSE_ALTOGETHER", "1")]),
            ("", &[("TICKGATE_KEYS", "1")]),
            ("", &[("TICKGATE_SERVER_SHARDS", "four")]),
            ("", &[("TICKGATE_SERVER_SHARDS", "")]),
            ("", &[("TICKGATE_SERVER_SHARDS", "300")]),
            ("", &[("TICKGATE_LOG_JSON", "1")]),
            ("", &[("TICKGATE_BROKERS_0_NAME", "a")]),
            ("", &[("TICKGATE_BROKERS_0_NAM", "a")]),
            ("", &[("TICKGATE_BROKERS_1_NAME", "a")]),
            ("", &[("TICKGATE_BROKERS_NAME", "a")]),
            // Told at the place of the value that is likelier wrong.
            ("[bus]\nreconnect_max_ms = 50", &[("TICKGATE_BUS_RECONNECT_MIN_MS", "60")]),
        ]),
    );
}

#[test]
fn strangers_are_let_in_only_with_keys_of_their_own() {
    let open = "[server]\nlisten = \"0.0.0.0:8765\"";
    let with_keys = format!("{open}\n[auth]\nkeys_file = \"k.toml\"");
    check(
        "exposure",
        story(&[
            (open, &[]),
            ("[auth]\ndemo_key = false", &[]),
            (&with_keys, &[]),
            (&format!("{with_keys}\ndemo_key = true"), &[]),
            (&format!("{with_keys}\ndemo_key = false"), &[]),
            // A channel where nobody need say who it is gives nobody else a way in.
            (&format!("{open}\n{ANONYMOUS}"), &[]),
            (&format!("[auth]\ndemo_key = false\n{ANONYMOUS}"), &[]),
            (&format!("{with_keys}\n{ANONYMOUS}"), &[]),
        ]),
    );
}

#[test]
fn a_configuration_made_in_code_is_checked_as_well() {
    assert_eq!(Config::default().validate(), Ok(()));
    let mut config = Config::default();
    config.server.shards = 999;
    config.admin.listen = "10.0.0.1:80".into();
    let bad = config.validate().expect_err("two problems");
    check("in_code", bad.to_string());
}

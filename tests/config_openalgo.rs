//! The environment of an OpenAlgo installation as a configuration: what becomes of each variable,
//! who wins, and how what is wrong is told.

use std::collections::BTreeMap;
use std::path::Path;

use tickgate::config::{BadConfig, Became, BrokerKind, Config, Installation, parse_in};

const ROOT: &str = "/srv/openalgo";

/// As OpenAlgo's `.sample.env` writes them.
const DOTENV: &str = "\
# WebSocket\n\
WEBSOCKET_HOST='127.0.0.1'\n\
WEBSOCKET_PORT='8770'\n\
WEBSOCKET_URL='ws://127.0.0.1:8770'\n\
ZMQ_HOST='127.0.0.1'\n\
ZMQ_PORT='5560' # the bus\n\
WS_AUTH_GRACE_SECONDS=30\n\
WS_PING_INTERVAL=25\n\
WS_PING_TIMEOUT=10\n\
WS_STALE_TICK_WARN_SECONDS=60\n\
MAX_SYMBOLS_PER_WEBSOCKET=1000\n\
DATABASE_URL = 'sqlite:///db/openalgo.db'\n\
API_KEY_PEPPER = 'a-pepper-of-the-tests-with-32-chars!'\n\
REDIRECT_URL = 'http://127.0.0.1:5000/zerodha/callback'\n\
VALID_BROKERS = 'fivepaisa,zerodha, angel'\n\
LOG_LEVEL = 'WARNING'\n";

type Read = Result<(Config, Vec<String>, Installation), BadConfig>;

fn read(dotenv: &str, file: &str, variables: &[(&str, &str)]) -> Read {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    parse_in(Path::new(ROOT), Some(dotenv), Some(("my.toml", file)), &variables)
}

fn good(dotenv: &str, file: &str, variables: &[(&str, &str)]) -> (Config, Installation) {
    let (config, _, installation) =
        read(dotenv, file, variables).unwrap_or_else(|bad| panic!("{bad}"));
    (config, installation)
}

fn told(dotenv: &str, file: &str, variables: &[(&str, &str)]) -> String {
    read(dotenv, file, variables).expect_err("something is wrong").to_string()
}

/// What became of a variable.
fn became<'a>(installation: &'a Installation, variable: &str) -> &'a Became {
    let setting = installation.settings.iter().find(|setting| setting.variable == variable);
    &setting.unwrap_or_else(|| panic!("nothing is said of {variable}")).became
}

#[test]
fn what_the_proxy_reads_is_a_configuration() {
    let (config, installation) = good(DOTENV, "", &[]);
    assert_eq!(config.server.listen, "127.0.0.1:8770");
    assert_eq!(config.bus.bind, ["tcp://127.0.0.1:5560"]);
    assert_eq!(config.server.auth_timeout_ms, 30_000);
    assert_eq!(config.server.ping_interval_ms, 25_000);
    assert_eq!(config.server.silence_timeout_ms, 35_000);
    assert_eq!(config.feed.stale_after_ms, 60_000);
    assert_eq!(config.log.level, "warn");
    let path = |name: &str| Some(Path::new(ROOT).join(name));
    assert_eq!(config.auth.openalgo_database, path("db/openalgo.db"));
    assert_eq!(config.admin.stats_file, path("log/ws_proxy_stats.json"));
    assert!(!config.auth.demo_key, "OpenAlgo has none");
    let [broker] = &config.brokers[..] else { panic!("{:?}", config.brokers) };
    assert_eq!((broker.name.as_str(), broker.kind), ("zerodha", BrokerKind::Remote));
    assert_eq!(broker.address.as_deref(), Some("tcp://127.0.0.1:5600"));
    assert_eq!(config.broker.supported, ["fivepaisa", "zerodha", "angel"]);

    assert_eq!(became(&installation, "WEBSOCKET_PORT"), &Became::Key("server.listen"));
    assert_eq!(became(&installation, "WEBSOCKET_HOST"), &Became::Key("server.listen"));
    assert_eq!(became(&installation, "REDIRECT_URL"), &Became::Key("brokers"));
    assert_eq!(became(&installation, "VALID_BROKERS"), &Became::Key("broker.supported"));
    assert_eq!(became(&installation, "DATABASE_URL"), &Became::Key("auth.openalgo_database"));
    for unused in ["WEBSOCKET_URL", "MAX_SYMBOLS_PER_WEBSOCKET"] {
        assert!(matches!(became(&installation, unused), Became::Noted(_)), "{unused}");
    }
}

#[test]
fn the_pepper_is_there_for_the_keys_and_shown_to_nobody() {
    let (config, installation) = good(DOTENV, "", &[]);
    let pepper = installation.secret("API_KEY_PEPPER").expect("the pepper");
    assert_eq!(pepper, "a-pepper-of-the-tests-with-32-chars!");
    assert_eq!(installation.secret("PATH"), None);
    let shown = format!("{installation:?} {config:?}");
    assert!(!shown.contains(&pepper), "{shown}");
}

#[test]
fn an_installation_that_says_nothing_has_the_defaults_of_openalgo() {
    let dotenv = "API_KEY_PEPPER=a-pepper-of-the-tests-with-32-chars!\nVALID_BROKERS=dhan\n";
    let (config, installation) = good(dotenv, "", &[]);
    let default = Config::default();
    assert_eq!(config.server, default.server);
    assert_eq!(config.bus, default.bus);
    assert_eq!(config.log, default.log);
    let database = config.auth.openalgo_database.expect("a database");
    assert_eq!(database, Path::new(ROOT).join("db/openalgo.db"));
    assert_eq!(config.brokers[0].name, "dhan", "the only one");
    let defaults = installation.settings.iter().filter(|setting| setting.place.is_none());
    let defaults: Vec<_> = defaults.map(|setting| setting.variable.as_str()).collect();
    assert_eq!(defaults, ["DATABASE_URL", "WS_PROXY_STATS_FILE"]);

    let (config, _) = good(&format!("{dotenv}WS_PING_TIMEOUT=5\n"), "", &[]);
    assert_eq!(
        (config.server.ping_interval_ms, config.server.silence_timeout_ms),
        (20_000, 25_000)
    );
    let (config, _) = good(&format!("{dotenv}WEBSOCKET_HOST=0.0.0.0\n"), "", &[]);
    assert_eq!(config.server.listen, "0.0.0.0:8765");
    assert_eq!(config.limits.clients_per_user_max, 5, "as for any listener beyond loopback");
    let absolute = format!("{dotenv}DATABASE_URL=sqlite:////data/o.db\nWS_PROXY_STATS_FILE=/x/s\n");
    let (config, _) = good(&absolute, "", &[]);
    assert_eq!(config.auth.openalgo_database.as_deref(), Some(Path::new("/data/o.db")));
    assert_eq!(config.admin.stats_file.as_deref(), Some(Path::new("/x/s")));
}

#[test]
fn the_environment_wins_over_the_file_of_the_installation_and_our_own_over_both() {
    let (config, installation) = good(DOTENV, "", &[("WEBSOCKET_PORT", "8771"), ("ZMQ_PORT", "")]);
    assert_eq!(config.server.listen, "127.0.0.1:8771");
    assert_eq!(config.bus.bind, ["tcp://127.0.0.1:5555"], "an empty variable is the default");
    assert_eq!(became(&installation, "WEBSOCKET_PORT"), &Became::Key("server.listen"));

    let file = "server.listen = \"127.0.0.1:9000\"\nauth.demo_key = true\n\
        [[brokers]]\nname = \"angel\"\nkind = \"paper\"\n";
    let own = [("TICKGATE_SERVER_PING_INTERVAL_MS", "1000"), ("WEBSOCKET_PORT", "8771")];
    let (config, installation) = good(DOTENV, file, &own);
    assert_eq!(config.server.listen, "127.0.0.1:9000");
    assert_eq!(config.server.ping_interval_ms, 1_000);
    assert!(config.auth.demo_key);
    assert_eq!((config.brokers.len(), config.brokers[0].kind), (1, BrokerKind::Paper));
    for (variable, key) in [
        ("WEBSOCKET_HOST", "server.listen"),
        ("WEBSOCKET_PORT", "server.listen"),
        ("WS_PING_INTERVAL", "server.ping_interval_ms"),
        ("REDIRECT_URL", "brokers"),
    ] {
        assert_eq!(became(&installation, variable), &Became::Overridden(key), "{variable}");
    }
    assert_eq!(became(&installation, "ZMQ_PORT"), &Became::Key("bus.bind"));
}

#[test]
fn what_is_wrong_is_told_with_the_variable_and_where_it_is_set() {
    let rest = "API_KEY_PEPPER=x\nVALID_BROKERS=dhan\n";
    for (dotenv, variables, sentence) in [
        (
            "\n WEBSOCKET_PORT = 'abc'\n",
            &[][..],
            "/srv/openalgo/.env:2:2: WEBSOCKET_PORT must be a port, 1 to 65535, got `abc`",
        ),
        (
            "",
            &[("ZMQ_PORT", "70000")],
            "ZMQ_PORT: ZMQ_PORT must be a port, 1 to 65535, got `70000`",
        ),
        (
            "WS_AUTH_GRACE_SECONDS=1.5\n",
            &[],
            "/srv/openalgo/.env:1:1: WS_AUTH_GRACE_SECONDS must be a whole number of seconds, 1 to \
             3600, got `1.5`",
        ),
        (
            "DATABASE_URL=postgresql://user:hush@db/openalgo\n",
            &[],
            "/srv/openalgo/.env:1:1: DATABASE_URL must be sqlite:///…: only SQLite can be read here",
        ),
        (
            "REDIRECT_URL=http://127.0.0.1:5000/angel/callback\n",
            &[],
            "/srv/openalgo/.env:1:1: REDIRECT_URL names `angel`, which is not in VALID_BROKERS",
        ),
    ] {
        assert_eq!(told(&format!("{dotenv}{rest}"), "", variables), sentence);
    }
    assert_eq!(
        told("API_KEY_PEPPER=x\nREDIRECT_URL='http://127.0.0.1:5000/<broker>/callback'\n", "", &[]),
        "/srv/openalgo/.env:2:1: REDIRECT_URL names no broker, as http://…/BROKER/callback does; \
         write it there, or configure [[brokers]]"
    );
    assert_eq!(
        told("VALID_BROKERS=dhan\n", "", &[]),
        "/srv/openalgo/.env:1:1: API_KEY_PEPPER is not set"
    );
    let clash = told(&format!("WEBSOCKET_PORT=8766\n{rest}"), "", &[]);
    assert!(clash.contains("`admin.listen`") && clash.contains("8766"), "{clash}");
}

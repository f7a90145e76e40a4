//! The gateway in place of OpenAlgo's WebSocket proxy: started in an installation, with nothing but
//! what that installation says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::auth_support::{self, Database, cheap_hash};
use crate::openalgo_support::gateway::{SdkClient, tickgate};
use crate::openalgo_support::{Installation, Process, eventually, free_port, python};

const KEY: &str = "openalgo-key-of-the-drop-in-test";

/// An installation with ports of its own, in which alice is logged in with the stand-in broker.
struct World {
    installation: Installation,
    websocket: u16,
    bus: u16,
}

impl World {
    fn new() -> Self {
        let [websocket, bus] = [free_port(), free_port()];
        let installation = Installation::new(bus);
        for directory in ["db", "log"] {
            fs::create_dir(installation.path(directory)).unwrap();
        }
        let database = Database::create(&installation.path("db/openalgo.db"));
        database.set_hash("alice", &cheap_hash(KEY));
        database.log_in("alice", "standin", false);
        installation.set(&format!(
            "WEBSOCKET_HOST='127.0.0.1'\n\
             WEBSOCKET_PORT='{websocket}'\n\
             DATABASE_URL = 'sqlite:///db/openalgo.db'\n\
             REDIRECT_URL = 'http://127.0.0.1:5000/standin/callback'\n\
             VALID_BROKERS = 'angel,standin,zerodha'\n\
             WS_MAX_QUEUE = '1024'\n\
             LOG_LEVEL = 'INFO'\n"
        ));
        Self { installation, websocket, bus }
    }

    fn root(&self) -> &Path {
        self.installation.directory.path()
    }

    /// The gateway as a start script calls it: in the installation, with its environment. The
    /// ports that OpenAlgo knows nothing of are chosen here, because other tests run too.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tickgate(self.root());
        command.args(arguments).args(["--openalgo", "."]);
        command.env("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0").env("TICKGATE_ADMIN_SOCKET", "");
        command.env("TICKGATE_BROKERS_0_NAME", "standin");
        command.env("TICKGATE_BROKERS_0_KIND", "remote");
        command.env("TICKGATE_BROKERS_0_ADDRESS", self.installation.host_address());
        command
    }

    fn output(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
        let mut command = self.command(arguments);
        let output = command.envs(environment.iter().copied()).output().unwrap();
        let told = [&output.stdout[..], &output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        (output, told)
    }
}

#[test]
fn it_serves_the_clients_of_an_installation_with_that_installations_keys() {
    let world = World::new();
    let log = world.installation.path("gateway.log");
    let gateway = Process::start(world.command(&["serve"]), &log, "Ctrl-C ends.");
    let _host = world.installation.host(&[]);
    let url = format!("ws://127.0.0.1:{}", world.websocket);
    let ticks = world.installation.path("ticks");
    let client = SdkClient::start(&python(), &url, KEY, ticks, &["TCS"]);
    client.ticks();

    let stats = eventually("the file of OpenAlgo's health monitor", || {
        let text = fs::read(world.installation.path("log/ws_proxy_stats.json")).ok()?;
        let stats: Value = serde_json::from_slice(&text).unwrap();
        (stats["total_symbols"] == 2).then_some(stats)
    });
    assert_eq!(stats["clients_connected"], 1, "{stats}");
    assert_eq!(stats["total_connections"], 1, "{stats}");
    assert_eq!(stats["brokers"], serde_json::json!(["standin"]), "{stats}");
    assert!(stats["timestamp"].as_f64().unwrap() > 1e9, "{stats}");
    let files: Vec<_> = fs::read_dir(world.installation.path("log")).unwrap().collect();
    assert_eq!(files.len(), 1, "the file is put in place as a whole: {files:?}");

    // As the parent process ends the proxy; it waits for ten seconds.
    let (code, took) = gateway.end("-TERM");
    assert_eq!(code, Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert!(took < Duration::from_secs(8), "{took:?}");
    world.installation.settles_on(&[]);
    let log = fs::read_to_string(log).unwrap();
    for secret in [KEY, auth_support::PEPPER] {
        assert!(!log.contains(secret), "{log}");
    }
    client.end();
}

#[test]
fn the_check_says_what_became_of_each_variable() {
    let world = World::new();
    let (output, told) = world.output(&["check"], &[("WS_PING_INTERVAL", "15")]);
    assert!(output.status.success(), "{told}");
    let (websocket, bus) = (world.websocket, world.bus);
    for line in [
        ". is valid".to_owned(),
        format!("  clients     ws://127.0.0.1:{websocket}"),
        format!("  bus         tcp://127.0.0.1:{bus}"),
        "  keys        those of OpenAlgo in ./db/openalgo.db".to_owned(),
        "  OpenAlgo    WEBSOCKET_PORT (./.env:9:1) is server.listen".to_owned(),
        "  OpenAlgo    WS_PING_INTERVAL (environment) is server.ping_interval_ms".to_owned(),
        "  OpenAlgo    API_KEY_PEPPER (./.env:7:1) is the pepper of its keys".to_owned(),
        "  OpenAlgo    WS_PROXY_STATS_FILE (OpenAlgo's default) is admin.stats_file".to_owned(),
        "  OpenAlgo    REDIRECT_URL (./.env:11:1) gives way to our brokers".to_owned(),
        "  OpenAlgo    WS_MAX_QUEUE (./.env:13:1) is not used: what waits for a client is bounded by [outbox]"
            .to_owned(),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\nis not in\n{told}");
    }
    assert!(!told.contains(auth_support::PEPPER), "{told}");

    let (output, told) = world.output(&["check"], &[("WS_PING_INTERVAL", "soon")]);
    assert_eq!(output.status.code(), Some(2));
    let problem = "WS_PING_INTERVAL must be a whole number of seconds, 1 to 3600, got `soon`";
    assert!(told.contains(problem), "{told}");
    fs::remove_file(world.installation.path("db/openalgo.db")).unwrap();
    let (output, told) = world.output(&["serve"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("openalgo.db: unable to open database file"), "{told}");
}

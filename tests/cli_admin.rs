//! `tickgate admin` against `tickgate serve`, as processes.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("XDG_RUNTIME_DIR", directory)
        .stdin(Stdio::null());
    command
}

/// What a command prints to standard output and to standard error, and its exit code.
fn told(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// A gateway whose socket is in a directory of its own.
struct Gateway {
    child: Child,
    welcome: String,
    directory: TempDir,
}

impl Gateway {
    fn start(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let mut child = command(directory.path(), &["serve"])
            .env("TICKGATE_SERVER_LISTEN", "127.0.0.1:0")
            .env("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0")
            .env("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut welcome = String::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("UTF-8");
            welcome.push_str(&format!("{line}\n"));
            if line == "Ctrl-C ends." {
                break;
            }
        }
        Self { child, welcome, directory }
    }

    fn shown(&self, name: &str) -> &str {
        let line = self.welcome.lines().find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)).expect("a line of the welcome")
    }

    fn port(&self) -> String {
        let page = self.shown("operators").trim_start_matches("http://");
        page.split([':', '/']).nth(1).expect("a port").to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("tickgate").join(format!("admin-{}.sock", self.port()))
    }

    fn admin(&self, arguments: &[&str]) -> (String, String, Option<i32>) {
        let port = self.port();
        let all: Vec<&str> = ["admin", "--port", &port].iter().chain(arguments).copied().collect();
        told(&command(self.directory.path(), &all).output().expect("runs"))
    }

    /// What a command that succeeds prints.
    fn done(&self, arguments: &[&str]) -> String {
        let (out, err, code) = self.admin(arguments);
        assert_eq!((&*err, code), ("", Some(0)), "{arguments:?}");
        out
    }

    fn list(&self) -> Value {
        serde_json::from_str(&self.done(&["clients", "--json"])).expect("JSON")
    }

    /// A client that has read its first tick, and goes on.
    fn tail(&self) -> Tail {
        let url = self.shown("clients");
        let mut child =
            command(self.directory.path(), &["tail", "NSE:TCS", "--json", "--url", url])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        lines.read_line(&mut String::new()).expect("a tick");
        Tail { child, _lines: lines }
    }

    fn end(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("runs").success());
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
        assert_eq!(self.child.wait().expect("ends").code(), Some(0), "{log}");
        log
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It ends when nobody reads what it prints.
struct Tail {
    child: Child,
    _lines: BufReader<ChildStdout>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_gateway_is_administered_from_its_own_machine() {
    let gateway = Gateway::start(&[]);
    assert_eq!(gateway.done(&["clients"]), "no client matches\n");
    let _tail = gateway.tail();
    let table = gateway.done(&["clients"]);
    let row = table.lines().nth(1).expect("a row");
    assert!(row.starts_with("1       demo  ") && row.contains("127.0.0.1"), "{table}");
    assert_eq!(gateway.done(&["broadcast", "restart at 16:00"]), "1 client was told\n");

    let network = "203.0.113.0/24";
    let blocked = gateway.done(&["block", network, "--for", "2h", "--reason", "too loud"]);
    assert_eq!(blocked, "203.0.113.0/24 is blocked for 2h; 0 clients are closed\n");
    let blocks = gateway.done(&["blocks"]);
    assert!(blocks.contains("203.0.113.0/24  120m   administrator  too loud"), "{blocks}");
    assert_eq!(gateway.done(&["unblock", network]), "203.0.113.0/24 is unblocked\n");
    let (_, err, code) = gateway.admin(&["unblock", network]);
    assert_eq!((&*err, code), ("tickgate: 203.0.113.0/24 itself is not blocked\n", Some(2)));
    let (_, err, code) = gateway.admin(&["block", "127.0.0.1"]);
    let why = "tickgate: That network holds loopback, which cannot be blocked\n";
    assert_eq!((&*err, code), (why, Some(2)));

    assert_eq!(gateway.done(&["close", "1"]), "client 1 is closed\n");
    assert_eq!(gateway.admin(&["close", "999"]).2, Some(2));
    let removed = gateway.done(&["remove-user", "bob", "--for", "90s"]);
    assert_eq!(
        removed,
        "0 clients are closed of bob; bob is refused for 90s, unless as a super_admin\n"
    );
    gateway.done(&["remove-user", "bob", "--let-in"]);
    let log = gateway.end();
    assert!(log.contains("administered"), "{log}");
}

#[test]
fn the_log_changes_its_level() {
    let gateway = Gateway::start(&[("TICKGATE_LOG_LEVEL", "warn")]);
    assert_eq!(gateway.done(&["log-level", "debug"]), "the log follows debug; before, warn\n");
    let _tail = gateway.tail();
    let (_, err, code) = gateway.admin(&["log-level", "inof"]);
    assert!(err.contains("did you mean \"info\"?"), "{err}");
    assert_eq!(code, Some(2));
    let log = gateway.end();
    assert!(log.contains("DEBUG") && log.contains("subscribed"), "{log}");
}

#[test]
fn a_full_gateway_is_administered_too() {
    let gateway = Gateway::start(&[("TICKGATE_LIMITS_CLIENTS_MAX", "1")]);
    let _tail = gateway.tail();
    assert_eq!(gateway.list()["total"], 1);
    gateway.end();
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_gateway() {
    let gateway = Gateway::start(&[]);
    let socket = gateway.socket();
    let mode = |path: &Path| fs::metadata(path).expect("is there").mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().expect("one"))), (0o600, 0o700));
    let directory = gateway.directory.path().to_owned();
    let port = gateway.port();
    gateway.end();
    assert!(!socket.exists());
    fs::create_dir_all(&directory).expect("creates");
    let output = command(&directory, &["admin", "blocks", "--port", &port]).output();
    let (_, err, code) = told(&output.expect("runs"));
    fs::remove_dir_all(&directory).expect("removes");
    assert!(err.starts_with("tickgate: no gateway listens at ") && code == Some(1), "{err}");
}

#[test]
fn what_a_crash_left_behind_is_replaced() {
    let directory = tempfile::tempdir().expect("directory");
    let socket = directory.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("binds"));
    let shown = socket.display().to_string();
    let gateway = Gateway::start(&[("TICKGATE_ADMIN_SOCKET", &shown)]);
    let output = command(directory.path(), &["admin", "--socket", &shown, "blocks"]).output();
    assert_eq!(told(&output.expect("runs")).0, "nothing is blocked\n");
    gateway.end();
}

#[test]
fn a_socket_in_an_unsafe_place_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let open = directory.path().join("open");
    fs::create_dir(&open).expect("creates");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("sets");
    let serve = command(directory.path(), &["serve"])
        .env("TICKGATE_SERVER_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0")
        .env("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_ADMIN_SOCKET", open.join("admin.sock"))
        .output();
    let (_, err, code) = told(&serve.expect("runs"));
    assert!(err.contains("others can write to it") && code == Some(2), "{err}");
}

#[test]
fn a_gateway_without_a_socket_serves_all_the_same() {
    let gateway = Gateway::start(&[("TICKGATE_ADMIN_SOCKET", "")]);
    assert!(!gateway.socket().exists());
    let _tail = gateway.tail();
    let (_, err, code) = gateway.admin(&["blocks"]);
    assert!(err.contains("no gateway listens at") && code == Some(1), "{err}");
    gateway.end();
}

#[test]
fn whatever_is_said_on_the_socket_gets_one_line_and_ends_nothing() {
    let gateway = Gateway::start(&[]);
    let mut stream = UnixStream::connect(gateway.socket()).expect("connects");
    let mut lines = BufReader::new(stream.try_clone().expect("clones"));
    let mut ask = |request: &str| {
        stream.write_all(format!("{request}\n").as_bytes()).expect("writes");
        let mut line = String::new();
        lines.read_line(&mut line).expect("reads");
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    assert_eq!(ask("nonsense")["code"], "INVALID_JSON");
    assert_eq!(ask(r#"{"action":"ping"}"#)["message"], "Only `admin` is served here");
    let listed = ask(r#"{"action":"admin","command":"list_blocks","request_id":"x"}"#);
    assert_eq!((&listed["status"], &listed["request_id"]), (&"success".into(), &"x".into()));
    let long = ask(&"x".repeat(20_000));
    assert_eq!(long["code"], "INVALID_PARAMETERS");
    assert_eq!(gateway.done(&["blocks"]), "nothing is blocked\n");
    gateway.end();
}

//! `tickgate serve` and `tickgate paper-host` as processes: start-up message, signals, ports.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tickgate::runtime::{Runtime, TokioRuntime};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tickgate");

/// What a process prints until it is ready.
fn read_welcome(child: &mut Child) -> String {
    let mut welcome = String::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line = line.expect("UTF-8");
        if line == "Ctrl-C ends." {
            break;
        }
        welcome.push_str(&line);
        welcome.push('\n');
    }
    welcome
}

/// A process that is killed if the test fails before it has ended.
struct Process {
    child: Child,
    /// What it printed until it was ready.
    welcome: String,
    _directory: TempDir,
}

impl Process {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let mut child = command(directory.path(), arguments, variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let welcome = read_welcome(&mut child);
        Self { child, welcome, _directory: directory }
    }

    /// A gateway on ports that are free.
    fn gateway(variables: &[(&str, &str)]) -> Self {
        let mut all = FREE_PORTS.to_vec();
        all.extend(variables);
        Self::start(&[], &all)
    }

    /// What stands behind a word of the start-up message.
    fn shown(&self, name: &str) -> &str {
        let line = self.welcome.lines().find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("{name}"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("runs").success());
    }

    /// Waits for its end, and returns exit code and log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut log).expect("UTF-8");
        (self.child.wait().expect("ends").code(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FREE_PORTS: [(&str, &str); 4] = [
    ("TICKGATE_SERVER_LISTEN", "127.0.0.1:0"),
    ("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0"),
    ("TICKGATE_ADMIN_LISTEN", "127.0.0.1:0"),
    ("TICKGATE_ADMIN_SOCKET", ""),
];

fn command(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().expect("directory");
    command(directory.path(), arguments, variables).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let mut gateway = Process::gateway(&[("TICKGATE_LOG_LEVEL", "debug")]);
    drop(gateway.child.stderr.take());
    let url = gateway.shown("clients").to_owned();
    for _ in 0..2 {
        let arguments = ["tail", "NSE:TCS", "--count", "1", "--url", &url];
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    gateway.signal("-TERM");
    assert_eq!(gateway.child.wait().expect("ends").code(), Some(0));
}

#[test]
fn a_gateway_that_runs_out_of_files_does_not_fill_the_log_and_recovers() {
    let directory = tempfile::tempdir().expect("directory");
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\"", PROGRAM])
        .current_dir(directory.path())
        .env_clear()
        .envs(FREE_PORTS)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let welcome = read_welcome(&mut child);
    let gateway = Process { child, welcome, _directory: directory };
    let url = gateway.shown("clients").to_owned();
    let address = url.trim_start_matches("ws://");
    let crowd: Vec<_> =
        (0..60).map(|_| TcpStream::connect(address).expect("in the queue")).collect();
    std::thread::sleep(Duration::from_secs(2));
    drop(crowd);
    let output = run(&["tail", "NSE:TCS", "--count", "1", "--url", &url], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    gateway.signal("-TERM");
    let (code, log) = gateway.end();
    assert_eq!(code, Some(0));
    let told = log.matches("could not be accepted").count();
    assert!((1..=8).contains(&told), "{told} times in two seconds: {log}");
}

#[test]
fn whoever_knocks_at_the_bus_and_leaves_does_not_fill_the_log() {
    let gateway = Process::gateway(&[]);
    let address = gateway.shown("publishers").trim_start_matches("tcp://").to_owned();
    for _ in 0..100 {
        drop(TcpStream::connect(&address).expect("connects"));
        let mut peer = TcpStream::connect(&address).expect("connects");
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("writes");
        let _ = peer.read_to_end(&mut Vec::new());
    }
    gateway.signal("-TERM");
    let (code, log) = gateway.end();
    assert_eq!(code, Some(0));
    let told = log.matches("peer disconnected").count();
    assert!(told <= 10, "{told} lines for 200 visits: {log}");
}

#[test]
fn the_command_shown_at_the_start_shows_prices() {
    let gateway = Process::gateway(&[]);
    let line = gateway.welcome.lines().find(|line| line.contains(" tail ")).expect("a command");
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some(PROGRAM));
    let mut arguments: Vec<_> = words.collect();
    arguments.extend(["--count", "4", "--timeout-seconds", "20"]);
    let output = run(&arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let prices = text(&output.stdout);
    assert_eq!(prices.lines().count(), 4);
    for name in ["NSE:RELIANCE ltp=", "NSE_INDEX:NIFTY ltp=", " open=", " volume="] {
        assert!(prices.contains(name), "{name} in {prices}");
    }

    gateway.signal("-TERM");
    assert_eq!(gateway.end().0, Some(0));
}

#[test]
fn a_client_is_sent_away_and_the_gateway_ends_in_time() {
    let gateway = Process::gateway(&[("TICKGATE_SERVER_DRAIN_TIMEOUT_MS", "2000")]);
    let directory = tempfile::tempdir().expect("directory");
    let arguments = ["tail", "NSE:A", "--url", gateway.shown("clients"), "--timeout-seconds", "30"];
    let mut tail = command(directory.path(), &arguments, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut ticks = BufReader::new(tail.stdout.take().expect("piped"));
    let mut first = String::new();
    ticks.read_line(&mut first).expect("a tick");

    gateway.signal("-INT");
    assert_eq!(gateway.end().0, Some(0));
    let mut said = BufReader::new(tail.stderr.take().expect("piped")).lines();
    let left = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("trying again")));
    let left = left.expect("a line").expect("UTF-8");
    assert!(left.contains("(1012"), "{left}");
    tail.kill().expect("killed");
    tail.wait().expect("ended");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_key_to_set() {
    let listener = TokioRuntime::new().bind("127.0.0.1:0").await.expect("binds");
    let taken = listener.local_addr().expect("bound").to_string();
    for (variable, key, value) in [
        ("TICKGATE_SERVER_LISTEN", "server.listen", taken.clone()),
        ("TICKGATE_ADMIN_LISTEN", "admin.listen", taken.clone()),
        ("TICKGATE_BUS_BIND", "bus.bind", format!("tcp://{taken}")),
    ] {
        let mut variables = FREE_PORTS.to_vec();
        variables.push((variable, &value));
        let output = run(&["serve"], &variables);
        assert_eq!(
            text(&output.stderr),
            format!(
                "tickgate: {taken} is already in use (another gateway?); set {key} or stop the \
                 other process\n"
            )
        );
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
    }
    let output = run(&["paper-host", "--listen", &format!("tcp://{taken}")], &[]);
    assert!(text(&output.stderr).contains("set --listen or stop the other process"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_key_is_accepted_after_a_start_and_never_logged() {
    let directory = tempfile::tempdir().expect("directory");
    let keys = directory.path().join("keys.toml");
    let keys = keys.to_str().expect("UTF-8");
    let key = text(&run(&["keys", "new", "alice", "--file", keys], &[]).stdout);
    let key = key.trim_end();

    let gateway = Process::gateway(&[
        ("TICKGATE_AUTH_KEYS_FILE", keys),
        ("TICKGATE_LOG_JSON", "true"),
        ("TICKGATE_LOG_LEVEL", "trace"),
    ]);
    let url = gateway.shown("clients").to_owned();
    let arguments = ["tail", "NSE:A", "--url", &url, "--count", "1", "--timeout-seconds", "20"];
    let good = run(&arguments, &[("TICKGATE_KEY", key)]);
    assert_eq!(text(&good.stderr), format!("tickgate: connected to {url}/ as alice on paper\n"));
    assert_eq!(good.status.code(), Some(0));
    let bad = run(&arguments, &[("TICKGATE_KEY", "tg_wrong_and_secret")]);
    assert!(text(&bad.stderr).starts_with("tickgate: the gateway refused the key ("));
    assert_eq!(bad.status.code(), Some(1));

    gateway.signal("-TERM");
    let (code, log) = gateway.end();
    assert_eq!(code, Some(0));
    assert!(!log.contains(key) && !log.contains("tg_wrong_and_secret"), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

/// Makes a key of alice in this directory.
fn new_key(directory: &Path) -> String {
    let made = command(directory, &["keys", "new", "alice", "--file", "k.toml"], &[]).output();
    text(&made.expect("runs").stdout).trim_end().to_owned()
}

#[test]
fn sighup_reads_the_keys_again_and_a_bad_file_changes_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("k.toml");
    let first = new_key(directory.path());
    let path = file.to_str().expect("UTF-8");
    let mut gateway = Process::gateway(&[("TICKGATE_AUTH_KEYS_FILE", path)]);
    let url = gateway.shown("clients").to_owned();
    let mut log = BufReader::new(gateway.child.stderr.take().expect("piped")).lines();
    let mut reloaded = |gateway: &Process| {
        gateway.signal("-HUP");
        let mut lines = log.by_ref().map(|line| line.expect("UTF-8"));
        lines.find(|line| line.contains("credentials")).expect("it says how it went")
    };
    let enters = |key: &str| {
        let arguments = ["tail", "NSE:TCS", "--count", "1", "--url", &url];
        run(&arguments, &[("TICKGATE_KEY", key)]).status.success()
    };
    assert!(enters(&first));

    let second = new_key(directory.path());
    assert!(!enters(&second), "not yet read");
    let told = reloaded(&gateway);
    assert!(told.contains("revoked=0"), "{told}");
    assert!(enters(&first) && enters(&second));

    std::fs::write(&file, "[[key]]\nuser = 5").expect("writes");
    let told = reloaded(&gateway);
    assert!(told.contains("ERROR") && told.contains("stay as they were"), "{told}");
    assert!(enters(&first));

    std::fs::write(&file, "").expect("writes");
    let told = reloaded(&gateway);
    assert!(told.contains("revoked=2"), "{told}");
    assert!(!enters(&first) && !enters(&second));
}

#[tokio::test]
async fn paper_as_its_own_process_serves_a_gateway() {
    // A port that was free a moment ago: the gateway must know it before the host has it.
    let listener = TokioRuntime::new().bind("127.0.0.1:0").await.expect("binds");
    let address = format!("tcp://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let gateway = Process::gateway(&[
        ("TICKGATE_BROKERS_0_NAME", "away"),
        ("TICKGATE_BROKERS_0_KIND", "remote"),
        ("TICKGATE_BROKERS_0_ADDRESS", &address),
    ]);
    let bus = gateway.shown("publishers").to_owned();
    let arguments =
        ["paper-host", "--listen", &address, "--bus", &bus, "--seed", "7", "--name", "away"];
    let host = Process::start(&arguments, &[]);
    assert!(host.welcome.contains(&format!("address = \"{address}\"")), "{}", host.welcome);

    // The gateway may need a moment to find its host.
    let url = gateway.shown("clients").to_owned();
    let arguments = ["tail", "NSE:A", "--url", &url, "--count", "2", "--timeout-seconds", "20"];
    let mut output = run(&arguments, &[]);
    for _ in 0..20 {
        if output.status.success() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        output = run(&arguments, &[]);
    }
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 2);

    for process in [host, gateway] {
        process.signal("-INT");
        let (code, log) = process.end();
        assert_eq!(code, Some(0), "{log}");
    }
}

//! Foreign clients and publishers against the program itself: the `openalgo` package in both
//! lines, `websockets`, npm's `ws`, and libzmq through pyzmq.
//!
//! `.ci/tools` installs them below `target/`. What is missing fails, with the advice to run it.
#![expect(clippy::disallowed_methods, reason = "whole processes live in real time")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tickgate::server::status::Status;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(150);

/// The program on ports of its own, which it keeps over restarts.
struct Gateway {
    websocket: u16,
    bus: u16,
    bus_of_binder: u16,
    admin: u16,
    /// Alice's.
    key: String,
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Gateway {
    /// Starts it with a paper market of this pace.
    fn start(ticks_per_second: f64) -> Self {
        let [websocket, bus, bus_of_binder, admin] = free_ports();
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "server.listen = \"127.0.0.1:{websocket}\"\n\
             bus.bind = [\"tcp://127.0.0.1:{bus}\"]\n\
             bus.connect = [\"tcp://127.0.0.1:{bus_of_binder}\"]\n\
             bus.heartbeat_interval_ms = 500\n\
             admin.listen = \"127.0.0.1:{admin}\"\n\
             auth.keys_file = \"keys.toml\"\n\
             [[brokers]]\n\
             name = \"paper\"\n\
             kind = \"paper\"\n\
             seed = 7\n\
             ticks_per_second = {ticks_per_second:?}\n"
        );
        std::fs::write(directory.path().join("tickgate.toml"), config).unwrap();
        let new_key =
            program(&directory).args(["keys", "new", "alice", "--file", "keys.toml"]).output();
        let key = String::from_utf8(new_key.unwrap().stdout).unwrap().trim().to_owned();
        assert!(!key.is_empty(), "tickgate keys new makes no key");
        let mut gateway =
            Self { websocket, bus, bus_of_binder, admin, key, directory, process: None };
        gateway.launch();
        gateway
    }

    fn launch(&mut self) {
        let log = self.directory.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = program(&self.directory);
        command.args(["serve", "--config", "tickgate.toml"]).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = command.spawn().unwrap();
        let ended = |process: &mut Child| process.try_wait().unwrap().is_some();
        within(START_TIMEOUT, || ended(&mut process) || self.get("/health/ready").is_some());
        let ready = !ended(&mut process) && self.get("/health/ready").is_some();
        self.process = Some(process);
        assert!(ready, "the gateway is not ready in {START_TIMEOUT:?}\n{}", self.log());
    }

    /// Asks it to end, as an init system would, and waits until it has.
    fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let asked = Command::new("kill").arg("-TERM").arg(process.id().to_string()).status();
        assert!(asked.unwrap().success(), "cannot signal the gateway");
        let ended = within(STOP_TIMEOUT, || process.try_wait().unwrap().is_some());
        if !ended {
            process.kill().unwrap();
        }
        let status = process.wait().unwrap();
        assert!(ended && status.success(), "{status}, ended by itself: {ended}\n{}", self.log());
    }

    fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    /// The body of an admin page, if it was answered with 200.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    fn status(&self) -> Status {
        serde_json::from_str(&self.get("/status").expect("a status page")).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Runs a script to its end and restarts the gateway when it asks for that.
    fn serve(&mut self, interpreter: &Path, script: &str) {
        let script = here("tests/interop/sdk").join(script);
        let mut child = Command::new(interpreter)
            .arg(&script)
            .env("INTEROP_WEBSOCKET", format!("ws://127.0.0.1:{}", self.websocket))
            .env("INTEROP_API_KEY", &self.key)
            .env("INTEROP_ADMIN", format!("http://127.0.0.1:{}", self.admin))
            .env("INTEROP_BUS", format!("tcp://127.0.0.1:{}", self.bus))
            .env("INTEROP_BUS_OF_BINDER", format!("tcp://127.0.0.1:{}", self.bus_of_binder))
            .env("INTEROP_NODE_MODULES", here("target/npm/node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(&mut child);
        let deadline = Instant::now() + SCRIPT_TIMEOUT;
        let mut output = String::new();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "restart" => self.restart(),
                Ok(line) => output.push_str(&format!("{line}\n")),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    output.push_str("ended: it took too long\n");
                    break;
                }
            }
        }
        let ended = child.wait().unwrap();
        let passed = ended.success() && output.lines().any(|line| line == "passed");
        let (script, log) = (script.display(), self.log());
        assert!(passed, "{script}: {ended}\n{output}\nthe gateway's log:\n{log}");
        assert!(!log.contains(&self.key), "the key is in the gateway's log:\n{log}");
        println!("{output}");
    }

    /// After the last client has gone nothing is left.
    fn assert_empty(&self) {
        let empty = || {
            let status = self.status();
            let left = [
                status.clients.total,
                status.subscriptions,
                status.topics_total,
                status.shards.iter().map(|shard| shard.clients + shard.routes).sum(),
            ];
            left == [0; 4]
        };
        assert!(within(Duration::from_secs(10), empty), "left behind: {:#?}", self.status());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// The program, in this directory and without settings from outside.
fn program(directory: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command.current_dir(directory.path());
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.to_string_lossy().starts_with("TICKGATE_")) {
        command.env_remove(name);
    }
    command
}

/// The lines of both of the child's outputs, until both end.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1_024);
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let streams: [Box<dyn Read + Send>; 2] = [Box::new(out), Box::new(err)];
    for stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Ports that nobody listens on.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An interpreter named by the environment, else the one `.ci/tools` made, with these modules.
fn interpreter(variable: &str, made: &str, modules: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| here(made), PathBuf::from);
    let imports = Command::new(&path).arg("-c").arg(format!("import {modules}")).output();
    match imports {
        Ok(output) if output.status.success() => path,
        Ok(output) => panic!(
            "{} cannot import {modules}; run .ci/tools, or set {variable}\n{}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{}: {error}; run .ci/tools, or set {variable}", path.display()),
    }
}

fn python(modules: &str) -> PathBuf {
    interpreter("INTEROP_PYTHON", "target/venv/bin/python", modules)
}

/// The interpreter of the 2.x line, or `None` where this machine's only Python is older.
fn new_python(modules: &str) -> Option<PathBuf> {
    let is_new = "import sys; sys.exit(sys.version_info < (3, 12))";
    let runs = |program: &Path| {
        let status = Command::new(program).arg("-c").arg(is_new).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let python = python(modules);
    if runs(&python) {
        return Some(python);
    }
    let named = std::env::var_os("INTEROP_PYTHON312").is_some();
    let made = here("target/venv312").exists();
    let on_path = ["python3.12", "python3.13", "python3.14"].map(Path::new).into_iter().any(runs);
    (named || made || on_path)
        .then(|| interpreter("INTEROP_PYTHON312", "target/venv312/bin/python", modules))
}

#[test]
fn the_openalgo_package_runs_unmodified_and_survives_a_restart() {
    let python = python("openalgo, websocket");
    let mut gateway = Gateway::start(10.0);

    gateway.serve(&python, "openalgo_client.py");

    gateway.assert_empty();
    gateway.stop();
}

#[test]
fn the_second_line_of_the_openalgo_package_comes_back_by_itself() {
    let Some(python) = new_python("openalgo, websocket") else {
        println!("not run: openalgo 2.x wants Python 3.12, and this machine has none");
        return;
    };
    let mut gateway = Gateway::start(10.0);

    gateway.serve(&python, "openalgo_client.py");

    gateway.assert_empty();
    gateway.stop();
}

#[test]
fn the_websockets_package_speaks_the_whole_protocol_by_hand() {
    let python = python("websockets.asyncio.client");
    let mut gateway = Gateway::start(10.0);

    gateway.serve(&python, "websockets_client.py");

    gateway.assert_empty();
    gateway.stop();
}

#[test]
fn the_ws_package_speaks_the_whole_protocol_by_hand() {
    let installed = here("target/npm/node_modules/ws/package.json").exists();
    assert!(installed, "npm's ws is not installed; run .ci/tools");
    let node = Command::new("node").arg("--version").output();
    assert!(node.is_ok(), "there is no node; install it, e.g. apt-get install nodejs npm");
    let mut gateway = Gateway::start(10.0);

    gateway.serve(Path::new("node"), "ws_client.mjs");

    gateway.assert_empty();
    gateway.stop();
}

#[test]
fn libzmq_publishers_on_either_side_arrive_digit_for_digit() {
    let python = python("zmq.asyncio, websockets.asyncio.client");
    // The paper market stays out of the way.
    let mut gateway = Gateway::start(0.01);

    gateway.serve(&python, "pyzmq_feed.py");

    gateway.assert_empty();
    gateway.stop();
}

//! What the tests of the adapter host for OpenAlgo share: an installation that stands in for a
//! real one, its broker, and the host, each a process of its own.
//!
//! `.ci/tools` makes the interpreter; without one the tests fail with the advice to run it.
#![expect(clippy::disallowed_methods, reason = "whole processes live in real time")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod gateway;
pub mod places;

pub use places::{free_port, here, python};

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::ledger;

/// Nothing that a test waits for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is there.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is ended with the test.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, and waits until its standard output has a line that begins like this.
    pub fn start(mut command: Command, log: &Path, ready: &str) -> Self {
        let file = fs::File::options().create(true).append(true).open(log).unwrap();
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let process = Self { child, log: log.to_owned() };
        let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with(ready));
        assert!(is_ready, "{command:?} is not ready: {}", process.log());
        // What it says later is nobody's.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        process
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// As `kill -9` does it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and says with which code and how fast it did.
    pub fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal(signal);
        let status = eventually("the end of a process", || self.child.try_wait().unwrap());
        (status.code(), asked.elapsed())
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        ledger::said("process", &self.log());
    }
}

/// An installation that stands in for OpenAlgo, and its broker.
pub struct Installation {
    pub directory: TempDir,
    python: PathBuf,
    broker_port: u16,
    host_port: u16,
    broker: Option<Process>,
}

/// The token that the broker takes.
pub const TOKEN: &str = "fyers9token7of5alice3and1bob";

impl Installation {
    /// Its adapters publish on this port.
    pub fn new(bus: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for module in ["websocket_proxy", "database"] {
            copy(&here("tests/interop/openalgo/standin").join(module), &root.join(module));
        }
        let broker_port = free_port();
        let environment = format!(
            "# As an installation has it.\n\
             ZMQ_HOST = '127.0.0.1'\n\
             ZMQ_PORT={bus} # the bus\n\
             export STANDIN_BROKER_PORT=\"{broker_port}\"\n\
             STANDIN_CONTROL = 'control.json'\n\
             STANDIN_TOKEN_FILE = 'token'\n\
             API_KEY_PEPPER = 'a-pepper-of-the-tests-with-32-chars!'\n"
        );
        fs::write(root.join(".env"), environment).unwrap();
        let mut new =
            Self { directory, python: python(), broker_port, host_port: free_port(), broker: None };
        new.set_token(TOKEN);
        new.is_told(&json!({}));
        new.start_broker();
        new
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What its adapters remember of a login is this token from now on, and the broker's.
    pub fn set_token(&self, token: &str) {
        ledger::secret(token);
        self.put("token", token);
        self.put("broker_token", token);
    }

    /// Adds lines to its environment.
    pub fn set(&self, lines: &str) {
        let before = fs::read_to_string(self.path(".env")).unwrap();
        self.put(".env", &(before + lines));
    }

    /// Writes a file as a whole.
    pub fn put(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// What its adapters do wrong from now on: see `control.py`.
    pub fn is_told(&self, rules: &Value) {
        self.put("control.json", &rules.to_string());
    }

    pub fn start_broker(&mut self) {
        let mut command = Command::new(&self.python);
        command.arg(here("tests/interop/openalgo/broker.py")).arg(self.broker_port.to_string());
        command.arg(self.path("broker.log")).arg(self.path("broker_token"));
        self.broker = Some(Process::start(command, &self.path("broker.err"), "ready"));
    }

    pub fn kill_broker(&mut self) {
        self.broker.take().unwrap().kill();
    }

    /// The broker ends the sessions of this user.
    pub fn drop_sessions(&self, user: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.broker_port)).unwrap();
        writeln!(stream, "{}", json!({"call": "drop", "user": user})).unwrap();
        BufReader::new(stream).lines().next().unwrap().unwrap();
    }

    /// Where the host's control socket is.
    pub fn host_address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.host_port)
    }

    pub fn host(&self, options: &[&str]) -> Process {
        let mut command = Command::new(&self.python);
        command.arg(here("examples/openalgo-adapter-host")).arg("--openalgo");
        command.arg(self.directory.path()).args(["--broker", "standin", "--bind"]);
        command.arg(self.host_address()).args(options).current_dir("/");
        for name in ["ZMQ_HOST", "ZMQ_PORT", "ENABLE_CONNECTION_POOLING"] {
            command.env_remove(name);
        }
        Process::start(command, &self.path("host.err"), "standin on ")
    }

    /// What the broker saw, in order.
    pub fn calls(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.path("broker.log")).unwrap_or_default();
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How often the broker was asked for this.
    pub fn count(&self, call: &str, topic: &str) -> usize {
        let asked = |seen: &&Value| seen["call"] == call && seen["topic"] == topic;
        self.calls().iter().filter(asked).count()
    }

    /// What the broker publishes for each session that is open, by its own account.
    ///
    /// Panics if a session was asked for what was on, or told to end what was not.
    pub fn open(&self) -> BTreeMap<u64, (String, BTreeSet<String>)> {
        let mut open: BTreeMap<u64, (String, BTreeSet<String>)> = BTreeMap::new();
        for call in self.calls() {
            let session = call["session"].as_u64();
            match (call["call"].as_str().unwrap(), session) {
                ("start", _) => open.clear(),
                ("login", Some(session)) if call["good"] == true => {
                    let user = call["user"].as_str().unwrap().to_owned();
                    open.insert(session, (user, BTreeSet::new()));
                }
                ("login", Some(_)) => {}
                ("end", Some(session)) => drop(open.remove(&session)),
                ("subscribe", Some(session)) => {
                    let topic = call["topic"].as_str().unwrap().to_owned();
                    let is_new = open.get_mut(&session).unwrap().1.insert(topic);
                    assert!(is_new, "subscribed twice in one session: {call}");
                }
                ("unsubscribe", Some(session)) => {
                    let topic = call["topic"].as_str().unwrap();
                    let was_on = open.get_mut(&session).unwrap().1.remove(topic);
                    assert!(was_on, "unsubscribed what was not subscribed: {call}");
                }
                (_, _) => panic!("{call}"),
            }
        }
        open
    }

    /// Waits until these are the only sessions, with exactly these topics.
    pub fn settles_on(&self, wanted: &[(&str, &[&str])]) {
        let wanted: Vec<(String, BTreeSet<String>)> = wanted
            .iter()
            .map(|(user, topics)| {
                ((*user).to_owned(), topics.iter().map(|topic| (*topic).to_owned()).collect())
            })
            .collect();
        let look = || {
            let mut open: Vec<_> = self.open().into_values().collect();
            open.sort();
            (open == wanted).then_some(())
        };
        let deadline = Instant::now() + PATIENCE;
        while look().is_none() {
            let open = self.open();
            assert!(Instant::now() < deadline, "{open:?} and not {wanted:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

//! The gateway as a process that is killed and comes back on the same ports, and a client of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Process, eventually, free_port, here};
use crate::common::ledger;

/// The program, without settings from outside.
pub fn tickgate(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command.env_clear().current_dir(directory);
    command
}

/// A gateway with one broker, which is behind an adapter host.
pub struct Gateway {
    directory: TempDir,
    pub websocket: u16,
    pub bus: u16,
    process: Option<Process>,
}

impl Gateway {
    /// Chooses its ports; it is not started.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, websocket: free_port(), bus: free_port(), process: None }
    }

    /// Writes its configuration and starts it.
    pub fn serve(&mut self, broker: &str, host: &str) {
        let (websocket, bus, admin) = (self.websocket, self.bus, free_port());
        let config = format!(
            "server.listen = \"127.0.0.1:{websocket}\"\n\
             admin.listen = \"127.0.0.1:{admin}\"\n\
             admin.socket = \"\"\n\
             bus.bind = [\"tcp://127.0.0.1:{bus}\"]\n\
             auth.keys_file = \"keys.toml\"\n\
             [[brokers]]\n\
             name = \"{broker}\"\n\
             kind = \"remote\"\n\
             address = \"{host}\"\n"
        );
        fs::write(self.directory.path().join("tickgate.toml"), config).unwrap();
        self.start();
    }

    /// Makes a key of this user.
    pub fn new_key(&self, user: &str) -> String {
        let made = tickgate(self.directory.path())
            .args(["keys", "new", user, "--file", "keys.toml"])
            .output()
            .unwrap();
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        ledger::secret(&key);
        key
    }

    pub fn start(&mut self) {
        let mut command = tickgate(self.directory.path());
        command.args(["serve", "--config", "tickgate.toml"]);
        let log = self.directory.path().join("log");
        self.process = Some(Process::start(command, &log, "Ctrl-C ends."));
    }

    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

/// A process with the `openalgo` package.
pub struct SdkClient {
    process: Process,
    ticks: PathBuf,
    topics: Vec<String>,
}

impl SdkClient {
    /// Subscribes LTP and Depth of these symbols of NSE.
    pub fn start(python: &Path, url: &str, key: &str, ticks: PathBuf, symbols: &[&str]) -> Self {
        let mut command = Command::new(python);
        command.arg(here("tests/interop/openalgo/client.py"));
        command.args([url, key]).arg(&ticks).args(symbols);
        let process = Process::start(command, &ticks.with_extension("err"), "ready");
        let topics =
            symbols.iter().flat_map(|symbol| [1, 3].map(|mode| format!("NSE:{symbol}:{mode}")));
        Self { process, ticks, topics: topics.collect() }
    }

    /// Waits until every topic ticks, more often than a last value explains.
    pub fn ticks(&self) {
        // What is on its way is of before.
        std::thread::sleep(Duration::from_millis(300));
        let before = fs::read_to_string(&self.ticks).unwrap_or_default().len();
        eventually("every topic ticks", || {
            let ticks = fs::read_to_string(&self.ticks).unwrap_or_default();
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            ticks[before..].lines().for_each(|topic| *counts.entry(topic).or_default() += 1);
            let enough =
                |topic: &String| counts.get(topic.as_str()).is_some_and(|count| *count > 3);
            self.topics.iter().all(enough).then_some(())
        });
    }

    pub fn end(self) {
        self.process.kill();
    }
}

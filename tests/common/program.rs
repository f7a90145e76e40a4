//! The program itself, as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, ledger};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tickgate");

/// Where it listens, and how it logs; a test's own configuration stands behind this.
const CONFIG: &str = "server.listen = \"127.0.0.1:0\"\n\
    admin.listen = \"127.0.0.1:0\"\n\
    bus.bind = [\"tcp://127.0.0.1:0\"]\n";

/// A gateway that is killed if the test fails.
pub struct Program {
    child: Child,
    pub directory: TempDir,
    pub websocket: SocketAddr,
    pub admin: SocketAddr,
}

impl Program {
    /// Starts it with these lines of configuration in this directory.
    pub fn start(directory: TempDir, config: &str) -> Self {
        let path = |name: &str| directory.path().join(name);
        fs::write(path("tickgate.toml"), [CONFIG, config].concat()).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let mut command = program(directory.path(), &["serve", "--config", "tickgate.toml"]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<_> =
            lines.map(Result::unwrap).take_while(|line| line != "Ctrl-C ends.").collect();
        let shown = |name: &str| {
            let line = lines.iter().find(|line| line.trim_start().starts_with(name));
            let line = line.unwrap_or_else(|| {
                panic!("no {name}: {}", fs::read_to_string(path("log")).unwrap())
            });
            let url = line.split_whitespace().nth(1).unwrap();
            url.split("//").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
        };
        let (websocket, admin) = (shown("clients"), shown("operators"));
        Self { child, directory, websocket, admin }
    }

    /// Makes a key of this user in `keys.toml`.
    pub fn new_key(directory: &Path, user: &str) -> String {
        let made = program(directory, &["keys", "new", user, "--file", "keys.toml"]).output();
        let key = String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned();
        ledger::secret(&key);
        key
    }

    /// The page `/status`, as an operator reads it.
    pub fn status(&self) -> Value {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Waits until the status page shows something.
    pub async fn wait_until(&self, condition: impl Fn(&Value) -> bool) {
        let waiting = async {
            while !condition(&self.status()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("still waiting: {:#}", self.status());
        }
    }

    /// Memory that it holds, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Files that it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Asks it to end, as an init system would, and waits until it has.
    pub fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        ledger::said("process", &self.log());
    }
}

fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

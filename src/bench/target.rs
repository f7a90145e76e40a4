//! What is measured: a gateway of our own, a raw loop, or a server that runs already.

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::dialect::Dialect;
use super::process;
use crate::auth::DEMO_KEY;

/// How long a server may take to show its metrics.
const METRICS_MAX: Duration = Duration::from_secs(5);
/// How often the end of a target is looked for that clients have lost, and the time between: a
/// second in all.
const ENDING_LOOKS: usize = 50;
const ENDING_LOOK: Duration = Duration::from_millis(20);

/// A server under load.
#[derive(Debug)]
pub(super) struct Target {
    pub name: &'static str,
    pub dialect: Dialect,
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
    pub key: String,
    /// `host:port` of its bus.
    pub bus: String,
    /// Its process, if it is known.
    pub pid: Option<u32>,
    /// Where it shows its metrics, if that is known.
    metrics: Option<SocketAddr>,
    child: Option<Child>,
    directory: Option<PathBuf>,
}

/// A server that somebody else has started.
#[derive(Clone, Debug)]
pub struct Running {
    /// What it speaks.
    pub dialect: Dialect,
    /// Where its clients connect.
    pub address: SocketAddr,
    /// The same as they say it, `host:port`.
    pub host: String,
    /// The path that they ask for.
    pub path: String,
    /// The credential that they show.
    pub key: String,
    /// `host:port` of its bus.
    pub bus: String,
    /// Its process, to say what it costs.
    pub pid: Option<u32>,
}

impl Target {
    /// A server that runs already.
    ///
    /// # Errors
    ///
    /// Fails if there is no such process.
    pub fn running(running: &Running) -> Result<Self, String> {
        let Running { dialect, address, host, path, key, bus, pid } = running.clone();
        if let Some(pid) = pid.filter(|pid| process::resident_bytes(*pid).is_none()) {
            return Err(format!("there is no process {pid}"));
        }
        let (name, metrics, child, directory) = ("server", None, None, None);
        Ok(Self { name, dialect, address, host, path, key, bus, pid, metrics, child, directory })
    }

    /// Starts this program as a gateway with `shards` shards (0: one for each core), on these
    /// cores.
    ///
    /// # Errors
    ///
    /// Fails if it does not start, with what it says.
    pub fn gateway(shards: usize, cores: &[usize]) -> Result<Self, String> {
        let directory = private_directory()?;
        let config = directory.join("tickgate.toml");
        let arguments = ["serve", "--config", &config.to_string_lossy()].map(str::to_owned);
        let started = fs::write(&config, configuration(shards))
            .map_err(|error| format!("{}: {error}", config.display()))
            .and_then(|()| Self::start("gateway", &arguments, cores));
        match started {
            Ok(mut target) => {
                target.directory = Some(directory);
                Ok(target)
            }
            Err(reason) => {
                let _ = fs::remove_dir_all(&directory);
                Err(reason)
            }
        }
    }

    /// Starts this program as the loop that a gateway is compared with, on these cores.
    ///
    /// # Errors
    ///
    /// Fails if it does not start, with what it says.
    pub fn raw_loop(clients: usize, cores: &[usize]) -> Result<Self, String> {
        Self::start("raw loop", &["raw-loop".to_owned(), clients.to_string()], cores)
    }

    fn start(name: &'static str, arguments: &[String], cores: &[usize]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{name} cannot be started: {error}");
        let program = std::env::current_exe().map_err(failed)?;
        let before = process::confined().map_err(failed)?;
        process::confine(cores).map_err(|error| format!("cores {cores:?}: {error}"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        // It is configured by its file; whoever runs the load may have a gateway of another kind.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TICKGATE_") {
                command.env_remove(name);
            }
        }
        let spawned = command.spawn();
        // From here on it is ended with the target, whatever goes wrong.
        let mut target = Self {
            name,
            dialect: Dialect::Tickgate,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            host: String::new(),
            path: "/".into(),
            key: DEMO_KEY.into(),
            bus: String::new(),
            pid: None,
            metrics: None,
            child: Some(spawned.map_err(failed)?),
            directory: None,
        };
        process::confine(&before).map_err(failed)?;
        let child = target.child.as_mut().ok_or("no process")?;
        target.pid = Some(child.id());
        let mut said = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let (mut address, mut bus) = (None, None);
        let mut line = String::new();
        loop {
            line.clear();
            if said.read_line(&mut line).map_err(failed)? == 0 {
                return Err(format!("{name} ended before it was ready"));
            }
            // What it says first ends with an empty line.
            if line.trim().is_empty() {
                break;
            }
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("clients"), Some(url)) => {
                    address = url.strip_prefix("ws://").and_then(|at| at.parse().ok());
                }
                (Some("publishers"), Some(url)) => {
                    bus = url.strip_prefix("tcp://").map(|at| at.trim_end_matches(',').to_owned());
                }
                (Some("operators"), Some(url)) => {
                    let at = url.strip_prefix("http://").and_then(|url| url.split('/').next());
                    target.metrics = at.and_then(|at| at.parse().ok());
                }
                _ => {}
            }
        }
        let missing = || format!("{name} does not say where it is");
        target.address = address.ok_or_else(missing)?;
        target.host = target.address.to_string();
        target.bus = bus.ok_or_else(missing)?;
        Ok(target)
    }

    /// Tasks that live in it. `None`: it does not tell.
    pub fn tasks(&self) -> Option<u64> {
        let mut stream = TcpStream::connect_timeout(&self.metrics?, METRICS_MAX).ok()?;
        stream.set_read_timeout(Some(METRICS_MAX)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let tasks = text.lines().filter(|line| line.starts_with("tickgate_tasks{"));
        let count = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
        let counts: Option<Vec<u64>> = tasks.map(count).collect();
        counts.filter(|counts| !counts.is_empty()).map(|counts| counts.iter().sum())
    }

    /// How it has ended, if it was started here and has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(format!("the {} has ended: {status}", self.name))
    }

    /// Why clients fail, or the bus: for this reason, or because the target is about to have ended.
    /// A process that dies closes its sockets a while before its end can be seen.
    pub fn why(&mut self, reason: String) -> String {
        for _ in 0..ENDING_LOOKS {
            if self.child.is_none() {
                break;
            }
            if let Some(ended) = self.ended() {
                return ended;
            }
            thread::sleep(ENDING_LOOK);
        }
        reason
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// A directory that nobody else can write to, nor have made beforehand.
fn private_directory() -> Result<PathBuf, String> {
    let directory = |number: u32| {
        let name = format!("tickgate-bench-{}-{number}", std::process::id());
        Path::join(&std::env::temp_dir(), name)
    };
    for number in 0..100 {
        let directory = directory(number);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{}: {error}", directory.display())),
        }
    }
    Err(format!("{}: it is there already", directory(0).display()))
}

/// A gateway that refuses nobody for being one of many, and whose broker has no prices of its own
/// to speak of.
fn configuration(shards: usize) -> String {
    format!(
        "server.listen = \"127.0.0.1:0\"\n\
         server.shards = {shards}\n\
         admin.listen = \"127.0.0.1:0\"\n\
         bus.bind = [\"tcp://127.0.0.1:0\"]\n\
         log.level = \"error\"\n\
         \n\
         [limits]\n\
         clients_max = 1000000\n\
         connections_per_address_max = 1000000\n\
         clients_per_user_max = 1000000\n\
         messages_per_minute_max = 1000000\n\
         message_burst_max = 1000000\n\
         subscriptions_per_client_max = 1000000\n\
         subscriptions_per_user_max = 10000000\n\
         \n\
         [[brokers]]\n\
         name = \"paper\"\n\
         kind = \"paper\"\n\
         ticks_per_second = 0.01\n"
    )
}

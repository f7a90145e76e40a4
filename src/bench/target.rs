//! What is measured: a gateway of our own, a raw loop, or a server that runs already.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::process;
use crate::auth::DEMO_KEY;

/// A server under load.
#[derive(Debug)]
pub(super) struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    pub host: String,
    pub path: String,
    pub key: String,
    /// `host:port` of its bus.
    pub bus: String,
    /// Its process, if it is known.
    pub pid: Option<u32>,
    child: Option<Child>,
    directory: Option<PathBuf>,
}

/// A server that somebody else has started.
#[derive(Clone, Debug)]
pub struct Running {
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

impl From<Running> for Target {
    fn from(running: Running) -> Self {
        let Running { address, host, path, key, bus, pid } = running;
        let name = "server";
        Self { name, address, host, path, key, bus, pid, child: None, directory: None }
    }
}

impl Target {
    /// Starts this program as a gateway with `shards` shards (0: one for each core), on these
    /// cores.
    ///
    /// # Errors
    ///
    /// Fails if it does not start, with what it says.
    pub fn gateway(shards: usize, cores: &[usize]) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("tickgate-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let config = directory.join("tickgate.toml");
        fs::write(&config, configuration(shards))
            .map_err(|error| format!("{}: {error}", config.display()))?;
        let arguments = ["serve", "--config", &config.to_string_lossy()].map(str::to_owned);
        match Self::start("gateway", &arguments, cores) {
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
        let spawned = command.spawn();
        process::confine(&before).map_err(failed)?;
        let mut child = spawned.map_err(failed)?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let (mut address, mut bus) = (None, None);
        let mut line = String::new();
        while address.is_none() || bus.is_none() {
            line.clear();
            if said.read_line(&mut line).map_err(failed)? == 0 {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} ended before it was ready"));
            }
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("clients"), Some(url)) => {
                    address = url.strip_prefix("ws://").and_then(|at| at.parse().ok());
                }
                (Some("publishers"), Some(url)) => {
                    bus = url.strip_prefix("tcp://").map(|at| at.trim_end_matches(',').to_owned());
                }
                _ => {}
            }
        }
        let missing = || format!("{name} does not say where it is");
        let address: SocketAddr = address.ok_or_else(missing)?;
        Ok(Self {
            name,
            address,
            host: address.to_string(),
            path: "/".into(),
            key: DEMO_KEY.into(),
            bus: bus.ok_or_else(missing)?,
            pid: Some(child.id()),
            child: Some(child),
            directory: None,
        })
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

/// A gateway that refuses nobody for being one of many, and whose broker has no prices of its own
/// to speak of.
fn configuration(shards: usize) -> String {
    format!(
        "server.listen = \"127.0.0.1:0\"\n\
         server.shards = {shards}\n\
         admin.listen = \"\"\n\
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

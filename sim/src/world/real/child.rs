//! The gateway as a process of its own: started, killed, started again, told to stop.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tickgate::auth::KeyHash;
use tickgate::auth::keys_file::{self, KeyEntry};
use tickgate::config::Log;
use tickgate::runtime::{Clock, Runtime as _, Task};
use tickgate::topic::UserId;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Places;
use super::log::{self, Tail};
use crate::actors::Stage;
use crate::history::{Actor, Phase, Seen};
use crate::plan::Plan;
use crate::runtime::{SimRuntime, TaskOrder};
use crate::world::gateway;

/// What the history holds of a simulated gateway's log.
const LOG_LEVEL: &str = "warn,tickgate=info";
/// Begins the names of variables that would change the configuration.
const VARIABLES: &str = "TICKGATE_";
/// How long the last words of a process that has ended may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// How long the gateway may take to read its keys again.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

/// What happens to the gateway's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It is killed.
    Kill,
    /// It is started again.
    Start,
}

/// How the gateway is started.
pub(super) struct Launch {
    program: PathBuf,
    config: PathBuf,
    keys: PathBuf,
    runtime: SimRuntime,
    _directory: TempDir,
}

impl Launch {
    /// Writes down what the simulated gateway would be told, with the addresses of this world.
    pub fn prepare(plan: &Plan, program: &Path, places: &Places) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("tickgate-real-").tempdir();
        let directory = directory.map_err(|error| format!("no temporary directory: {error}"))?;
        let keys = directory.path().join("keys.toml");
        write_keys(&keys, plan, 0)?;

        let mut config = gateway::config(plan);
        config.server.listen = places.websocket.to_string();
        config.bus.bind = vec![format!("tcp://{}", places.bus)];
        config.admin.listen = places.admin.to_string();
        config.auth.keys_file = Some(keys.clone());
        for (broker, planned) in config.brokers.iter_mut().zip(plan.brokers()) {
            let place = places.brokers.get(&planned.host);
            broker.address = place.map(|place| format!("tcp://{place}"));
        }
        config.log = Log { level: LOG_LEVEL.into(), json: true };
        let text = toml::to_string(&config).map_err(|error| error.to_string())?;
        let config = directory.path().join("tickgate.toml");
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let runtime = SimRuntime::new(plan.seed, "gateway", TaskOrder::None);
        let program = program.to_owned();
        Ok(Self { program, config, keys, runtime, _directory: directory })
    }

    fn start(&self, stage: &Stage) -> Result<Life, String> {
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(&self.config);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))?;
        let tail = Tail::default();
        let stderr = child.stderr.take().ok_or("the gateway has no standard error")?;
        let listener = log::listen(stderr, stage.clone(), tail.clone());
        let log = self.runtime.spawn("log", listener);
        Ok(Life { child, log, tail })
    }
}

/// Writes down whose keys are good after so many changes.
fn write_keys(path: &Path, plan: &Plan, changes: usize) -> Result<(), String> {
    let written = keys_file::update(path, |entries| {
        entries.clear();
        let held = |user: &UserId| Some((user.clone(), plan.role_after(user, changes)?));
        entries.extend(plan.users.iter().filter_map(held).map(|(user, role)| KeyEntry {
            hash: KeyHash::of(&Plan::key_of(&user)),
            broker: gateway::broker_of(plan, &user),
            user,
            role,
            created: None,
        }));
    });
    written.map_err(|error| error.to_string())
}

/// One process. Dropping it kills it.
struct Life {
    child: Child,
    log: Task,
    tail: Tail,
}

impl Life {
    /// Waits for the end and for what was said before.
    async fn end(&mut self) -> Result<ExitStatus, String> {
        let status = self.child.wait().await.map_err(|error| error.to_string())?;
        let _ = timeout(LAST_WORDS_WITHIN, &mut self.log).await;
        Ok(status)
    }

    /// Ends it at once.
    async fn kill(mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| format!("the gateway survives: {error}"))?;
        let _ = timeout(LAST_WORDS_WITHIN, &mut self.log).await;
        Ok(())
    }

    /// Has it read its keys again.
    async fn read_keys_again(&self) -> Result<(), String> {
        let mut reloads = self.tail.reloads();
        let before = *reloads.borrow_and_update();
        self.signal(Signal::HUP)?;
        let done = timeout(RELOAD_WITHIN, reloads.wait_for(|count| *count > before)).await;
        let said = done.is_ok_and(|said| said.is_ok());
        if said { Ok(()) } else { Err("the gateway does not read its keys again".into()) }
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or("the gateway has ended")?;
        kill_process(pid, signal).map_err(|error| format!("no signal: {error}"))
    }

    fn ended(&self, status: ExitStatus) -> String {
        format!("the gateway ended on its own: {status}{}", self.tail.shown())
    }
}

/// Runs the gateway until the operator says stop.
///
/// # Errors
///
/// Fails if the gateway cannot be started, ends on its own, or does not end well.
pub(super) async fn keep(
    launch: Launch,
    plan: &Plan,
    stage: &Stage,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), String> {
    let mut life = Some(launch.start(stage)?);
    let mut changes = 0;
    loop {
        stage.note_key_changes(plan.keys.len() - changes);
        let ends = async {
            match &mut life {
                Some(life) => life.end().await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            biased;
            () = stage.reached(Phase::Stop) => break,
            order = orders.recv() => order,
            change = gateway::next_change(stage, plan, changes) => {
                changes += 1;
                stage.saw(&Actor::Gateway, Seen::KeyChanges(change.clone()));
                write_keys(&launch.keys, plan, changes)?;
                if let Some(life) = &life {
                    life.read_keys_again().await?;
                }
                stage.saw(&Actor::Gateway, Seen::KeyChanged(change));
                continue;
            }
            status = ends => {
                let status = status?;
                return Err(life.map_or_else(String::new, |life| life.ended(status)));
            }
        };
        match order {
            Some(Order::Kill) => {
                if let Some(life) = life.take() {
                    life.kill().await?;
                }
            }
            Some(Order::Start) => life = Some(launch.start(stage)?),
            None => stage.reached(Phase::Stop).await,
        }
    }
    let mut life = life.ok_or("the gateway is down in the end")?;
    let clock = Clock::start();
    life.signal(Signal::TERM)?;
    let status = life.child.wait().await.map_err(|error| error.to_string())?;
    let took_ms = clock.now_ms();
    let _ = timeout(LAST_WORDS_WITHIN, &mut life.log).await;
    stage.saw(&Actor::Gateway, Seen::Stopped { took_ms, tasks_left: Vec::new() });
    // A stop that took too long is told as that.
    if !status.success() && stage.recorder().violation().is_none() {
        return Err(life.ended(status));
    }
    stage.enter(Phase::Done);
    std::future::pending().await
}

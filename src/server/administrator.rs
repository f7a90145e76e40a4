//! Carries out what administrators say: asks the hub and the gate, and writes down who did what.
//!
//! Clients' commands come from the hub, which has checked their role; those of this machine come
//! through [`Administrator::administer`]. The hub never waits for this task, and the door waits for
//! nobody, so it can wait for both.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot};

use super::door::GateHandle;
use super::hub::HubMessage;
use crate::audit::{Audit, Target, What};
use crate::engine::{Effect, Event, Hub};
use crate::protocol::admin::{self, ClientRow};
use crate::protocol::{AdminAnswer, AdminCommand, Reject, frame};
use crate::runtime::Runtime;
use crate::topic::{ClientId, UserId};

/// Commands of clients that wait; beyond, they are refused.
pub(super) const COMMANDS_MAX: usize = 64;

/// Says something when an order's effects have been carried out.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// Something that is done with the hub, between two events.
pub(super) type HubOrder = Box<dyn FnOnce(&mut Hub, u64, &mut Vec<Effect>) -> Reply + Send>;

/// Changes what is logged: takes a filter, gives the one before, or why it is none.
pub type LogControl = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// A client's command.
pub(super) struct Asked {
    pub client: ClientId,
    pub number: u64,
    pub user: UserId,
    pub command: AdminCommand,
}

/// Who gives a command.
enum By {
    /// Somebody on this machine.
    Local,
    Client(ClientId, UserId),
}

impl By {
    const fn client(&self) -> Option<ClientId> {
        match self {
            Self::Local => None,
            Self::Client(client, _) => Some(*client),
        }
    }
}

/// Carries out administrators' commands. Clones are of the same gateway.
#[derive(Clone)]
pub struct Administrator(Arc<Inner>);

struct Inner {
    hub: mpsc::Sender<HubMessage>,
    gate: GateHandle,
    audit: Audit,
    unix_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    log: OnceLock<LogControl>,
}

impl Administrator {
    pub(super) fn new<R: Runtime>(
        runtime: &R,
        hub: mpsc::Sender<HubMessage>,
        gate: GateHandle,
        audit: Audit,
    ) -> Self {
        let runtime = runtime.clone();
        let unix_ms = Box::new(move || runtime.unix_ms());
        Self(Arc::new(Inner { hub, gate, audit, unix_ms, log: OnceLock::new() }))
    }

    /// Lets administrators change what is logged. Counts once; nobody can without it.
    pub fn set_log_control(&self, control: LogControl) {
        let _first = self.0.log.set(control);
    }

    /// Carries out a command of somebody whom this machine lets do so.
    ///
    /// # Errors
    ///
    /// Fails with what a client would be told.
    pub async fn administer(&self, command: AdminCommand) -> Result<AdminAnswer, Reject> {
        self.administer_for(By::Local, command).await
    }

    /// Carries out clients' commands, one after another, until the hub is gone.
    pub(super) async fn run(self, mut commands: mpsc::Receiver<Asked>) {
        while let Some(Asked { client, number, user, command }) = commands.recv().await {
            let result = self.administer_for(By::Client(client, user), command).await;
            let event = Event::Administered { client, number, result };
            if self.0.hub.send(HubMessage::Event(event)).await.is_err() {
                return;
            }
        }
    }

    async fn administer_for(&self, by: By, command: AdminCommand) -> Result<AdminAnswer, Reject> {
        let (name, target) = (command.name(), target(&command));
        let result = self.carry_out(&by, command).await;
        let outcome = match &result {
            Ok(_) => "done",
            Err(reject) => reject.code.as_str(),
        };
        let (client, user) = match by {
            By::Local => (None, None),
            By::Client(client, user) => (Some(client), Some(user)),
        };
        let who = user.as_ref().map_or("local", UserId::as_str);
        tracing::info!(
            command = name,
            about = target.as_ref().map(tracing::field::display),
            outcome,
            by = who,
            "administered"
        );
        let what = What::AdminAction { command: name, target, outcome, by: user };
        self.0.audit.put(match client {
            Some(client) => what.of(client),
            None => what.record(),
        });
        result
    }

    async fn carry_out(&self, by: &By, command: AdminCommand) -> Result<AdminAnswer, Reject> {
        let id = by.client();
        match command {
            AdminCommand::ListClients { user, address, limit } => {
                self.list_clients(user, address, limit).await
            }
            AdminCommand::Block { network, for_ms, reason } => {
                let network = network.trunc();
                let blocked = self.0.gate.order(move |gate, now_ms, effects| {
                    gate.block(now_ms, id, (network, for_ms), reason, effects)
                });
                let blocked = blocked.await.ok_or_else(Reject::shutting_down)?;
                let closed = blocked.map_err(|why| Reject::not_administered(&why.to_string()))?;
                Ok(AdminAnswer::Blocked { network, for_ms, closed })
            }
            AdminCommand::Unblock { network } => {
                let network = network.trunc();
                let lifted =
                    self.0.gate.order(move |gate, now_ms, _| gate.unblock(now_ms, network));
                if lifted.await.ok_or_else(Reject::shutting_down)? {
                    Ok(AdminAnswer::Unblocked { network })
                } else {
                    Err(Reject::not_administered(&format!("{network} itself is not blocked")))
                }
            }
            AdminCommand::ListBlocks => {
                let rows_max = admin::ROWS_MAX;
                let list =
                    self.0.gate.order(move |gate, now_ms, _| gate.list_blocks(now_ms, rows_max));
                let (rows, total) = list.await.ok_or_else(Reject::shutting_down)?;
                Ok(AdminAnswer::Blocks { rows, total })
            }
            AdminCommand::RemoveUser { user, for_ms } => {
                let whom = user.clone();
                let closed = self.ask_hub(move |hub, now_ms, effects| {
                    hub.remove_user(now_ms, id, &whom, for_ms, effects)
                });
                let closed = closed.await??;
                Ok(AdminAnswer::UserRemoved { user, for_ms, closed })
            }
            AdminCommand::CloseClient { client } => {
                let closed = self.ask_hub(move |hub, now_ms, effects| {
                    hub.close_client(now_ms, id, client, effects)
                });
                closed.await??;
                Ok(AdminAnswer::ClientClosed { client })
            }
            AdminCommand::Broadcast { message } => {
                let notice = frame::text_frame(&admin::notice(&message, (self.0.unix_ms)()));
                let reached = self.ask_hub(move |hub, _, effects| hub.broadcast(notice, effects));
                Ok(AdminAnswer::Broadcast { reached: reached.await? })
            }
            AdminCommand::LogLevel { level } => {
                let Some(change) = self.0.log.get() else {
                    return Err(Reject::not_administered("the log cannot be changed here"));
                };
                let before = change(&level).map_err(|why| Reject::not_administered(&why))?;
                tracing::info!(level, before, "the log follows another filter");
                Ok(AdminAnswer::LogLevel { level, before })
            }
        }
    }

    /// Clients as the hub knows them, with their addresses, which the gate knows.
    async fn list_clients(
        &self,
        user: Option<UserId>,
        within: Option<IpNet>,
        limit: usize,
    ) -> Result<AdminAnswer, Reject> {
        let limit = limit.min(admin::ROWS_MAX);
        let addresses = self.0.gate.order(move |gate, _, _| gate.addresses_of(within));
        let addresses = addresses.await.ok_or_else(Reject::shutting_down)?;
        let among = within.map(|_| addresses.keys().copied().collect::<BTreeSet<_>>());
        let clients = self.ask_hub(move |hub, now_ms, _| {
            hub.list_clients(now_ms, user.as_ref(), among.as_ref(), limit)
        });
        let (clients, total) = clients.await?;
        let unix_ms = (self.0.unix_ms)();
        let rows = clients.into_iter().map(|at| ClientRow {
            client: at.client,
            user: at.user,
            role: at.role,
            address: addresses.get(&at.client).copied(),
            since_unix_ms: unix_ms.saturating_sub(at.age_ms),
            topics: at.topics,
        });
        Ok(AdminAnswer::Clients { rows: rows.collect(), total })
    }

    async fn ask_hub<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Hub, u64, &mut Vec<Effect>) -> T + Send + 'static,
    ) -> Result<T, Reject> {
        let (sender, answer) = oneshot::channel();
        let order: HubOrder = Box::new(move |hub, now_ms, effects| {
            let done = order(hub, now_ms, effects);
            // Whoever asked may have given up.
            Box::new(move || drop(sender.send(done)))
        });
        let sent = self.0.hub.send(HubMessage::Order(order)).await;
        sent.map_err(|_| Reject::shutting_down())?;
        answer.await.map_err(|_| Reject::shutting_down())
    }
}

/// Whom or what a command is about.
fn target(command: &AdminCommand) -> Option<Target> {
    match command {
        AdminCommand::Block { network, .. } | AdminCommand::Unblock { network } => {
            Some(Target::Network(*network))
        }
        AdminCommand::RemoveUser { user, .. } => Some(Target::User(user.clone())),
        AdminCommand::CloseClient { client } => Some(Target::Client(*client)),
        AdminCommand::ListClients { .. }
        | AdminCommand::ListBlocks
        | AdminCommand::LogLevel { .. }
        | AdminCommand::Broadcast { .. } => None,
    }
}

//! An administrator on the gateway's own machine, who does what the plan says.

use tickgate::protocol::AdminCommand;
use tickgate::server::Administrator;
use tokio::time::sleep;

use super::CLIENTS;
use crate::actors::Stage;
use crate::history::{Actor, Phase, Seen};
use crate::plan::{Order, OrderKind};
use crate::runtime::SimRuntime;

/// Gives the orders at their times. Never returns.
pub(super) async fn administer(
    runtime: &SimRuntime,
    stage: &Stage,
    administrator: &Administrator,
    orders: &[Order],
) {
    stage.reached(Phase::Play).await;
    for Order { at_ms, what } in orders {
        // A gateway that has crashed since has another administrator, who begins anew.
        let passed = stage.story_ms() > *at_ms;
        sleep(stage.until(*at_ms)).await;
        if !passed {
            obeyed(runtime, stage, administrator, what).await;
        }
    }
    std::future::pending().await
}

async fn obeyed(
    runtime: &SimRuntime,
    stage: &Stage,
    administrator: &Administrator,
    what: &OrderKind,
) {
    let network = |host: u32| runtime.address_of(&format!("{CLIENTS}{host}")).map(Into::into);
    let command = match what {
        OrderKind::Block(host) => network(*host).map(|network| AdminCommand::Block {
            network,
            for_ms: None,
            reason: None,
        }),
        OrderKind::Unblock(host) => network(*host).map(|network| AdminCommand::Unblock { network }),
        OrderKind::RemoveUser(user) => {
            Some(AdminCommand::RemoveUser { user: user.clone(), for_ms: None })
        }
        OrderKind::Broadcast(number) => {
            Some(AdminCommand::Broadcast { message: format!("notice {number}") })
        }
    };
    let Some(command) = command else { return };
    if administrator.administer(command).await.is_ok() {
        stage.saw(&Actor::Gateway, Seen::Administered(what.clone()));
    }
}

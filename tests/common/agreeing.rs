//! A broker that agrees to everything and publishes nothing.

use std::net::SocketAddr;

use tickgate::broker::host::{Host, HostOptions};
use tickgate::broker::{Answer, Broker, BrokerEvent, Command, Done};
use tickgate::runtime::TokioRuntime;
use tokio::sync::mpsc;

pub struct Agreeing;

impl Broker for Agreeing {
    async fn run(self, mut commands: mpsc::Receiver<Command>, events: mpsc::Sender<BrokerEvent>) {
        let _ = events.send(BrokerEvent::Up).await;
        while let Some(command) = commands.recv().await {
            let answer = Answer { id: command.id, result: Ok(Done::default()) };
            let _ = events.send(BrokerEvent::Answer(answer)).await;
        }
    }
}

/// Serves it as an adapter host on a free loopback port.
pub async fn serve(runtime: &TokioRuntime) -> (Host, SocketAddr) {
    let options = HostOptions::new("agreeing");
    let host =
        tickgate::broker::host::serve(runtime.clone(), options, "tcp://127.0.0.1:0", Agreeing);
    let host = host.await.unwrap();
    let address = host.bound_addr();
    (host, address)
}

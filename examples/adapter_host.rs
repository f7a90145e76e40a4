//! A whole adapter host, for a broker that makes its prices up: HOST for gateways, BUS for ticks.
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use zeromq::{PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqResult, util};

/// Changes what users hold: the number of their session, its topics. `None`: no such session.
fn serve(held: &mut BTreeMap<String, BTreeMap<u64, BTreeSet<String>>>, said: &Value) -> Option<()> {
    let text = |name: &str| said[name].as_str().unwrap_or_default();
    let (user, number) = (held.entry(text("user").into()).or_default(), said["session"].as_u64()?);
    let mode = ["", "LTP", "QUOTE", "DEPTH"][said["mode"].as_u64().unwrap_or(0) as usize % 4];
    let topic = format!("{}_{}_{mode}", text("exchange"), text("symbol"));
    match text("op") {
        "connect" => *user = [(number, user.remove(&number).unwrap_or_default())].into(), // Log in.
        "disconnect" => user.retain(|held, _| *held > number),
        "subscribe" => drop(user.get_mut(&number)?.insert(topic)), // Ask the broker.
        op => user.get_mut(&number)?.retain(|held| op == "unsubscribe" && *held != topic), // All.
    }
    Some(())
}

#[tokio::main]
async fn main() -> ZmqResult<()> {
    let (mut host, mut bus) = (RouterSocket::new(), PubSocket::new());
    host.bind(&std::env::var("HOST").unwrap_or("tcp://127.0.0.1:5600".into())).await?;
    let me = format!("{:x?}", &util::PeerIdentity::new()[..]); // Random for each life.
    let mut gateways = BTreeMap::<_, (_, u64, _)>::new(); // Id: its peer, when heard, users.
    let mut turns = tokio::time::interval(std::time::Duration::from_millis(100));
    for turn in 100_u64.. {
        loop {
            let got = tokio::select! { biased; _ = turns.tick() => break, it = host.recv() => it? };
            let [peer, body] = &got.into_vec()[..] else { continue };
            let said: Value = serde_json::from_slice(body).unwrap_or_default();
            let (kind, n, id) = (said["type"].as_str().unwrap_or(""), &said["n"], &said["id"]);
            if kind == "hello" {
                gateways.insert(said["gateway"].to_string(), (peer.clone(), turn, [].into()));
                bus = PubSocket::new(); // It does not connect again by itself.
                bus.connect(&std::env::var("BUS").unwrap_or("tcp://127.0.0.1:5555".into())).await?;
            }
            let Some(gateway) = gateways.values_mut().find(|it| it.0 == *peer) else { continue };
            gateway.1 = turn;
            let is_done = kind == "request" && serve(&mut gateway.2, &said).is_some();
            let answer = match kind {
                "hello" => json!({"type":"welcome","version":1,"name":"it","instance":me,"n":n}),
                "ping" => json!({"type":"pong","n":n}),
                _ if kind != "request" => continue, // Of a later version.
                _ if is_done => json!({"type":"answer","id":id,"status":"success"}),
                _ => json!({"type":"answer","id":id,"status":"error","code":"NOT_CONNECTED"}),
            };
            let answer = vec![peer.clone(), answer.to_string().into()];
            host.send(answer.try_into().expect("parts")).await.ok(); // The peer may have gone.
        }
        gateways.retain(|_, (_, heard, _)| turn - *heard < 600);
        let users = gateways.values().flat_map(|(.., users)| users.values());
        for topic in users.flat_map(|user| user.values().flatten()).collect::<BTreeSet<_>>() {
            let tick = [topic.clone(), json!({"ltp": turn}).to_string()].map(bytes::Bytes::from);
            bus.send(tick.to_vec().try_into().expect("parts")).await?;
        }
    }
    Ok(())
}

//! A whole adapter host, for a broker that makes its prices up: HOST for gateways, BUS for ticks.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::{env, error::Error, time::Duration};

use serde_json::{Value, json};
use zeromq::{PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

/// By user: peer, number of the session, topics.
type Sessions = BTreeMap<String, (Vec<u8>, u64, BTreeSet<String>)>;

/// Does what is asked, or nothing if it is done already. `None`: there is no such session.
fn serve(sessions: &mut Sessions, peer: &[u8], said: &Value) -> Option<()> {
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let (op, user, number) = (text("op"), text("user"), said["session"].as_u64()?);
    let held = sessions.get_mut(&user).filter(|held| held.0 == peer && held.1 == number);
    let mode = ["DEPTH", "LTP", "QUOTE"][said["mode"].as_u64().unwrap_or(0) as usize % 3];
    let topic = format!("{}_{}_{mode}", text("exchange"), text("symbol"));
    match op.as_str() {
        "connect" if held.is_some() => {}
        "connect" => drop(sessions.insert(user, (peer.into(), number, [].into()))), // Log in.
        "disconnect" => sessions.retain(|of, s| *of != user || s.0 != peer || s.1 > number),
        "subscribe" => drop(held?.2.insert(topic)), // Ask the broker; it may take its time.
        "unsubscribe" => drop(held?.2.remove(&topic)),
        _ => held?.2.clear(),
    }
    Some(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let (mut router, mut bus) = (RouterSocket::new(), PubSocket::new());
    router.bind(&address("HOST", "tcp://127.0.0.1:5600")).await?;
    let me = format!("{:x}", RandomState::new().hash_one(())); // Random for each life.
    // Gateways by peer: id, and when it was last heard, in turns of a tenth of a second.
    let (mut gateways, mut sessions, mut turn) = (BTreeMap::new(), Sessions::new(), 0);
    loop {
        let asked = tokio::time::timeout(Duration::from_millis(100), router.recv()).await;
        let Ok(asked) = asked else {
            turn += 1;
            gateways.retain(|_, (_, heard)| turn - *heard < 600);
            sessions.retain(|_, (peer, ..)| gateways.contains_key(peer));
            for topic in sessions.values().flat_map(|session| &session.2) {
                let mut tick = ZmqMessage::from(topic.as_str());
                tick.push_back(json!({ "ltp": 100 + turn % 7 }).to_string().into());
                bus.send(tick).await?;
            }
            continue;
        };
        let asked = asked?.into_vec();
        let Ok(said) = serde_json::from_slice::<Value>(&asked[1]) else { continue };
        let peer = asked[0].to_vec();
        if said["type"] == "hello" {
            gateways.retain(|old, (id, _)| *old != peer && *id != said["gateway"]);
            sessions.retain(|_, (peer, ..)| gateways.contains_key(peer));
            gateways.insert(peer.clone(), (said["gateway"].clone(), turn));
            bus = PubSocket::new(); // It does not connect again by itself.
            bus.connect(&address("BUS", "tcp://127.0.0.1:5555")).await?;
        }
        let Some((_, heard)) = gateways.get_mut(&peer) else { continue };
        *heard = turn;
        let is_done = said["type"] == "request" && serve(&mut sessions, &peer, &said).is_some();
        let (n, id) = (&said["n"], &said["id"]);
        let answer = match said["type"].as_str() {
            Some("hello") => json!({"type":"welcome","version":1,"name":"it","instance":me,"n":n}),
            Some("ping") => json!({"type":"pong","n":n}),
            _ if id.is_null() => continue, // Of a later version.
            _ if is_done => json!({"type":"answer","id":id,"status":"success"}),
            _ => json!({"type":"answer","id":id,"status":"error","code":"NOT_CONNECTED"}),
        };
        let mut message = ZmqMessage::from(peer);
        message.push_back(answer.to_string().into());
        drop(router.send(message).await); // Whoever has asked may have gone.
    }
}

//! A whole adapter host, for a broker that makes its prices up: HOST for gateways, BUS for ticks.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::{env, error::Error, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{select, time::interval};
use zeromq::{PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

type Sessions = BTreeMap<String, (u64, BTreeSet<String>)>; // User -> number of the session, topics.

/// Does what is asked, or nothing if it is done already. `None`: there is no such session.
fn serve(sessions: &mut Sessions, said: &Value) -> Option<()> {
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let (user, number) = (text("user"), said["session"].as_u64()?);
    let mode = ["DEPTH", "LTP", "QUOTE"][said["mode"].as_u64().unwrap_or(0) as usize % 3];
    let topic = format!("{}_{}_{mode}", text("exchange"), text("symbol"));
    let held = sessions.get_mut(&user).filter(|held| held.0 == number);
    match said["op"].as_str()? {
        "connect" if held.is_some() => {}
        "connect" => drop(sessions.insert(user, (number, [].into()))), // Log in.
        "disconnect" => sessions.retain(|of, held| *of != user || held.0 > number),
        "subscribe" => drop(held?.1.insert(topic)), // Ask the broker; it may take its time.
        "unsubscribe" => drop(held?.1.remove(&topic)),
        _ => held?.1.clear(),
    }
    Some(())
}

fn message(first: impl Into<Bytes>, second: String) -> ZmqMessage {
    let mut message = ZmqMessage::from(first.into());
    message.push_back(second.into());
    message
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.into());
    let (mut router, mut bus) = (RouterSocket::new(), PubSocket::new());
    router.bind(&address("HOST", "tcp://127.0.0.1:5600")).await?;
    let me = format!("{:x}", RandomState::new().hash_one(())); // Random for each life.
    // Peer -> id of the gateway, when it was heard, sessions.
    let mut gateways = BTreeMap::<Bytes, (Value, u64, Sessions)>::new();
    let mut turns = interval(Duration::from_millis(100));
    for turn in 0_u64.. {
        while let Some(asked) =
            select! { biased; _ = turns.tick() => None, asked = router.recv() => Some(asked) }
        {
            let [peer, body] = &asked?.into_vec()[..] else { continue };
            let Ok(said) = serde_json::from_slice::<Value>(body) else { continue };
            let (kind, n, id) = (said["type"].as_str().unwrap_or(""), &said["n"], &said["id"]);
            if kind == "hello" {
                gateways.retain(|old, (id, ..)| old != peer && *id != said["gateway"]);
                gateways.insert(peer.clone(), (said["gateway"].clone(), turn, [].into()));
                bus = PubSocket::new(); // It does not connect again by itself.
                bus.connect(&address("BUS", "tcp://127.0.0.1:5555")).await?;
            }
            let Some((_, heard, sessions)) = gateways.get_mut(peer) else { continue };
            *heard = turn;
            let is_done = kind == "request" && serve(sessions, &said).is_some();
            let answer = match kind {
                "hello" => json!({"type":"welcome","version":1,"name":"it","instance":me,"n":n}),
                "ping" => json!({"type":"pong","n":n}),
                "request" if is_done => json!({"type":"answer","id":id,"status":"success"}),
                "request" => {
                    json!({"type":"answer","id":id,"status":"error","code":"NOT_CONNECTED"})
                }
                _ => continue, // Of a later version.
            };
            // Whoever has asked may have gone.
            router.send(message(peer.clone(), answer.to_string())).await.ok();
        }
        gateways.retain(|_, (_, heard, _)| turn - *heard < 600);
        let sessions = gateways.values().flat_map(|(.., sessions)| sessions.values());
        for topic in sessions.flat_map(|session| &session.1).collect::<BTreeSet<_>>() {
            bus.send(message(topic.clone(), json!({"ltp": 100 + turn % 7}).to_string())).await?;
        }
    }
    Ok(())
}

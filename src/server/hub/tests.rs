use std::pin::pin;

use futures_util::FutureExt as _;
use tokio::io::DuplexStream;

use super::*;
use crate::broker::{Answer as BrokerAnswer, BrokerEvent, Done};
use crate::config::Config;
use crate::engine::{Epoch, HubOptions, Identity, Request};
use crate::protocol::SubscribeEntry;
use crate::topic::{Instrument, Mode};

const BROKER: &str = "paper";
const TOPICS: usize = 100;

/// Tells the hub something, and has the broker agree to every command at once.
fn tell(hub: &mut Hub, event: Event) {
    let (mut waiting, mut effects) = (vec![event], Vec::new());
    while let Some(event) = waiting.pop() {
        hub.handle(0, event, &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Command { broker, command } = effect {
                let answer = BrokerAnswer { id: command.id, result: Ok(Done::default()) };
                waiting.push(Event::Broker { broker, event: BrokerEvent::Answer(answer) });
            }
        }
    }
}

/// A client asks for all topics.
fn subscribe(client: u64) -> Event {
    let entry = |at| SubscribeEntry {
        instrument: Instrument::new("NSE", format!("S{at}")),
        mode: Mode::Ltp,
        depth: 5,
        snapshot: None,
        interval_ms: 0,
    };
    let request = Request::Subscribe((0..TOPICS).map(|at| Ok(entry(at))).collect());
    Event::Request { client: ClientId(client), request_id: None, request }
}

/// A hub with these clients; topics are on for the first.
fn hub(clients: u64) -> Hub {
    let mut hub = Hub::new(HubOptions::new(&Config::default(), vec![BROKER.into()], 1));
    tell(&mut hub, Event::Broker { broker: BROKER.into(), event: BrokerEvent::Up });
    for client in (0..clients).map(ClientId) {
        tell(&mut hub, Event::Opened { client, shard: 0, channel: ChannelId::BUILT_IN });
        let identity = Identity::trader("alice".into(), BROKER.into());
        let request = Request::Authenticate(Ok(identity));
        tell(&mut hub, Event::Request { client, request_id: None, request });
    }
    tell(&mut hub, subscribe(0));
    hub
}

#[tokio::test]
async fn large_requests_let_others_on_the_same_core_have_their_turn() {
    const REQUESTS: u64 = 32;
    let (to_shard, mut shard) = mpsc::channel::<ShardMessage<DuplexStream>>(1_024);
    let (feed, _feed) = mpsc::channel(1_024);
    let (administrator, _administrator) = mpsc::channel(1);
    let outlets = Outlets {
        shards: vec![to_shard],
        broadcasts: BTreeMap::new(),
        feed,
        brokers: BTreeMap::new(),
        audit: Audit::off(),
        administrator,
        epoch: Epoch::default(),
    };
    let (mailbox, messages) = mpsc::channel(1_024);
    for client in 1..=REQUESTS {
        let request = HubMessage::Event(subscribe(client));
        assert!(mailbox.try_send(request).is_ok());
    }
    drop(mailbox);
    let mut hub = pin!(run_hub(hub(1 + REQUESTS), messages, Clock::start(), outlets));
    let mut turns = 0;
    while hub.as_mut().now_or_never().is_none() {
        turns += 1;
    }
    let mut answers = 0;
    while let Ok(message) = shard.try_recv() {
        answers += u64::from(matches!(message, ShardMessage::Deliver { answer: Some(_), .. }));
    }
    assert_eq!(answers, REQUESTS);
    let most = EFFECTS_PER_TURN.div_ceil(TOPICS) as u64;
    assert!(turns >= REQUESTS / most, "{turns} turns for {REQUESTS} requests");
}

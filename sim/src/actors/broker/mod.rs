//! An adapter host: speaks the control protocol and does what its [`Script`] says.

mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use tickgate::protocol::control::{
    self, Answer, Event, Failure, FailureCode, FromHost, ToHost, Welcome,
};
use tickgate::runtime::Runtime;
use tickgate::topic::UserId;
use tickgate::zmtp::{Message, Options, PeerId, Router, RouterEvent};
use tokio::time::sleep;

pub use script::{Deed, Script};

use super::Stage;
use crate::broker_host::BrokerHost;
use crate::fault::{FaultKind, Party, Strike};
use crate::history::{Actor, Call, Op, Phase, Seen};
use crate::plan::{BrokerPlan, Incident, IncidentKind, Plan};
use crate::runtime::clock::now_us;

/// Time to wait when there is nothing to do.
const IDLE: Duration = Duration::from_secs(3_600);

/// Plays a broker's part until the simulation ends.
///
/// # Errors
///
/// Fails if its port cannot be bound: a mistake of the simulator.
pub async fn play<R: Runtime>(
    runtime: R,
    stage: Stage,
    broker: BrokerPlan,
    plan: &Plan,
) -> Result<(), String> {
    let script = Script::new(broker.clone(), plan.seed, plan.network.latency_ms[1]);
    let incidents = broker.incidents.into_iter().rev().collect();
    let (me, lost) = (Actor::Broker(broker.host.clone()), BTreeMap::new());
    let name = broker.host;
    let mut host = Host { stage, name, me, script, peer: None, lives: 0, incidents, lost };
    let bind_address = BrokerHost::bind_address();
    loop {
        let mut router = Router::bind(&runtime, Options::default(), &bind_address)
            .await
            .map_err(|error| error.to_string())?;
        host.lives += 1;
        let back_in_ms = host.live(&mut router).await;
        router.close().await;
        host.stage.saw(&host.me, Seen::BrokerDied { back_in_ms });
        host.peer = None;
        host.script.forget();
        host.show_market();
        // Faults end with the story.
        tokio::select! {
            biased;
            () = host.stage.reached(Phase::Settle) => {}
            () = sleep(Duration::from_millis(back_in_ms)) => {}
        }
    }
}

struct Host {
    stage: Stage,
    name: BrokerHost,
    /// As the history calls it.
    me: Actor,
    script: Script,
    /// The gateway that said hello last.
    peer: Option<PeerId>,
    lives: u64,
    /// What is going to happen, the next last.
    incidents: Vec<Incident>,
    /// The session of each user that it lost last, and said so.
    lost: BTreeMap<UserId, u64>,
}

impl Host {
    /// Serves until the broker dies; tells after how many milliseconds it is back.
    async fn live(&mut self, router: &mut Router) -> u64 {
        loop {
            let healed = self.stage.phase() >= Phase::Settle;
            if healed {
                for user in self.script.heal() {
                    while self.lose_session(router, &user) {}
                }
                self.incidents.clear();
            }
            let wait = self.wait();
            tokio::select! {
                biased;
                event = router.recv() => self.take(router, event),
                () = sleep(wait) => {}
                () = self.stage.reached(Phase::Settle), if !healed => continue,
                () = self.stage.reached(Phase::Play), if self.stage.phase() < Phase::Play => {}
            }
            if let Some(back_in_ms) = self.do_what_is_due(router) {
                return back_in_ms;
            }
        }
    }

    /// Time until something is due.
    fn wait(&self) -> Duration {
        let deed = self.script.next_us().map(|at_us| {
            // A timer that rounds down would spin.
            Duration::from_micros(at_us.saturating_sub(now_us()))
        });
        let playing = self.stage.phase() >= Phase::Play;
        let incident = self.incidents.last().filter(|_| playing);
        let incident = incident.map(|incident| self.stage.until(incident.at_ms));
        [deed, incident].into_iter().flatten().min().unwrap_or(IDLE)
    }

    fn take(&mut self, router: &Router, event: RouterEvent) {
        let (peer, message) = match event {
            RouterEvent::Message { peer, message } => (peer, message),
            RouterEvent::Joined(_) => return,
            RouterEvent::Left(peer) => {
                if self.peer == Some(peer) {
                    self.peer = None;
                }
                return;
            }
        };
        let Some(body) = message.parts().first() else { return };
        let heard = match control::decode_to_host(body) {
            Ok(Some(heard)) => heard,
            Ok(None) => return self.strange("an unknown type"),
            Err(malformed) => return self.strange(&malformed.to_string()),
        };
        match heard {
            ToHost::Hello(hello) => {
                self.script.forget();
                self.show_market();
                self.saw(Seen::Greeted);
                self.peer = Some(peer);
                let welcome = Welcome {
                    version: control::VERSION,
                    name: "simulated-host".into(),
                    instance: format!("life-{}", self.lives),
                    n: Some(hello.n),
                };
                say(router, &peer, &FromHost::Welcome(welcome));
            }
            ToHost::Ping { n } => say(router, &peer, &FromHost::Pong { n }),
            ToHost::Request(request) => {
                let call = call_of(&request);
                self.saw(Seen::Called(call.clone()));
                let manner = self.script.receive(&call, request.deadline_ms, now_us());
                if let Some(fault) = manner.fault().filter(|fault| !told_when_done(*fault)) {
                    let strike = Strike { fault, party: self.party(), lasts_ms: 0 };
                    self.saw(Seen::Struck(strike));
                }
            }
        }
    }

    fn saw(&self, seen: Seen) {
        self.stage.saw(&self.me, seen);
    }

    fn party(&self) -> Party {
        Party::Broker(self.name.clone())
    }

    fn show_market(&self) {
        self.stage.set_market(&self.name, self.script.topics());
    }

    fn strange(&self, what: &str) {
        let text = format!("the gateway said {what}");
        self.saw(Seen::Unexpected(text));
    }

    /// Does everything whose moment has come; tells if the broker has to die.
    fn do_what_is_due(&mut self, router: &Router) -> Option<u64> {
        let playing = self.stage.phase() >= Phase::Play;
        while let Some(incident) = self.incidents.last().filter(|_| playing) {
            if !self.stage.until(incident.at_ms).is_zero() {
                break;
            }
            let what = incident.what.clone();
            self.incidents.pop();
            match what {
                IncidentKind::Die(back_in_ms) => return Some(back_in_ms),
                IncidentKind::LoseSession(user) => {
                    self.lose_session(router, &user);
                }
                IncidentKind::RepeatLoss(user) => self.repeat_loss(router, &user),
            }
        }
        while let Some(deed) = self.script.next_deed(now_us()) {
            match deed {
                Deed::Effect(call) => {
                    self.script.take_effect(&call);
                    self.show_market();
                    self.saw(Seen::TookEffect(call));
                }
                Deed::Reply { call, in_time } => {
                    let error = self.script.outcome(&call);
                    self.reply(router, call, error, in_time);
                }
                Deed::Refuse { call, code, in_time } => {
                    self.reply(router, call, Some(code), in_time);
                }
                Deed::Lie(call) => self.saw(Seen::Lied(call)),
                Deed::Forget(call) => {
                    if self.script.lose(&call) {
                        self.show_market();
                        self.saw(Seen::Forgot(call));
                    }
                }
                Deed::Die(back_in_ms) => return Some(back_in_ms),
            }
        }
        None
    }

    fn reply(&self, router: &Router, call: Call, error: Option<&'static str>, in_time: bool) {
        let result = match error {
            None => Ok(None),
            Some(code) => Err(Failure { code: code_of(code), message: "as planned".into() }),
        };
        if let Some(peer) = &self.peer {
            say(router, peer, &FromHost::Answer(Answer { id: call.id, result }));
        }
        self.saw(Seen::Replied { call, error, in_time });
    }

    /// Ends one of a user's sessions, if there is one.
    fn lose_session(&mut self, router: &Router, user: &UserId) -> bool {
        let Some(session) = self.script.lose_session(user) else { return false };
        self.show_market();
        self.lost.insert(user.clone(), session);
        self.tell_loss(router, user, session);
        self.saw(Seen::SessionLost { user: user.clone(), session });
        true
    }

    /// Old news: the user may have a newer session.
    fn repeat_loss(&self, router: &Router, user: &UserId) {
        let Some(session) = self.lost.get(user) else { return };
        self.tell_loss(router, user, *session);
        let fault = FaultKind::BrokerTwice;
        let strike = Strike { fault, party: self.party(), lasts_ms: 0 };
        self.saw(Seen::Struck(strike));
    }

    fn tell_loss(&self, router: &Router, user: &UserId, session: u64) {
        let message = "as planned".to_owned();
        let event = Event::SessionLost { user: user.clone(), session, message };
        if let Some(peer) = &self.peer {
            say(router, peer, &FromHost::Event(event));
        }
    }
}

/// Whether the broker says so when it does it, not when it makes up its mind.
const fn told_when_done(fault: FaultKind) -> bool {
    matches!(fault, FaultKind::BrokerLies | FaultKind::BrokerForgets | FaultKind::BrokerDeath)
}

/// A gateway that is gone needs no answer.
fn say(router: &Router, peer: &PeerId, message: &FromHost) {
    let _ = router.send(*peer, Message::single(message.encode()));
}

fn code_of(code: &str) -> FailureCode {
    match code {
        "NOT_CONNECTED" => FailureCode::NotConnected,
        "INIT_FAILED" => FailureCode::InitFailed,
        _ => FailureCode::Refused,
    }
}

fn call_of(request: &control::Request) -> Call {
    let op = match &request.op {
        control::Op::Connect => Op::Connect,
        control::Op::Disconnect => Op::Disconnect,
        control::Op::Subscribe { topic, .. } => Op::Subscribe(topic.clone().into()),
        control::Op::Unsubscribe { topic } => Op::Unsubscribe(topic.clone().into()),
        control::Op::UnsubscribeAll => Op::UnsubscribeAll,
    };
    let (user, connection) = (request.user.clone(), request.connection);
    Call { id: request.id, user, connection, session: request.session, op, more: request.more }
}

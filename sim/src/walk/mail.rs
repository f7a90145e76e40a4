//! The mailbox of a shard, and what a client reads.

use std::collections::VecDeque;

use bytes::Bytes;
use tickgate::engine::{Change, Epoch, RouteId, Shard};
use tickgate::protocol::text_frame;
use tickgate::topic::ClientId;

use crate::model::delivery::{Desk, Frame, RouteNo};
use crate::model::words::ClientNo;

/// A message in a shard's mailbox.
#[derive(Clone, Debug)]
pub(super) enum Mail {
    Deliver { client: ClientNo, change: Change, answer: Option<u64> },
    Close(ClientNo),
    Detach(ClientNo),
    Expect(RouteNo, u64),
    Forget(RouteNo),
    Tick { heard: u64, route: RouteNo, number: u64, seq: u64, frame: Bytes },
}

/// What waits for a shard, in two lanes: ticks never go before what was said earlier, all else may.
#[derive(Clone, Debug, Default)]
pub(super) struct Mailbox {
    first: VecDeque<(u64, Mail)>,
    ticks: VecDeque<(u64, Mail)>,
    said: u64,
}

impl Mailbox {
    pub(super) fn push(&mut self, mail: Mail) {
        self.said += 1;
        let lane = match mail {
            Mail::Tick { .. } => &mut self.ticks,
            _ => &mut self.first,
        };
        lane.push_back((self.said, mail));
    }

    /// The next message; `ticks`: a tick if one may be next.
    pub(super) fn pop(&mut self, ticks: bool) -> Option<Mail> {
        let earliest = self.first.front().map_or(u64::MAX, |(number, _)| *number);
        let may = ticks || self.first.is_empty();
        let tick = self.ticks.pop_front_if(|(number, _)| may && *number < earliest);
        tick.or_else(|| self.first.pop_front()).map(|(_, mail)| mail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.ticks.is_empty()
    }
}

/// What is told instead of mail: tests show by it that each comparison can fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tamper {
    /// To model and shard.
    pub both: fn(Mail) -> Option<Mail>,
    /// To the shard alone.
    pub shard: fn(Mail) -> Option<Mail>,
}

impl Tamper {
    /// Both are told the truth.
    pub(super) const NONE: Self = Self { both: Some, shard: Some };
}

/// The model's shard reads a message.
pub(super) fn tell_desk(desk: &mut Desk, mail: &Mail) {
    let numbers =
        |routes: &[RouteId]| -> Vec<RouteNo> { routes.iter().map(|route| route.0).collect() };
    match mail {
        Mail::Deliver { client, change, answer } => {
            desk.deliver(*client, &numbers(&change.remove), *answer, &numbers(&change.add));
        }
        Mail::Close(client) => desk.close(*client),
        Mail::Detach(client) => desk.detach(*client),
        Mail::Expect(route, since) => desk.expect(*route, *since),
        Mail::Forget(route) => desk.forget(*route),
        Mail::Tick { heard, route, number, seq, .. } => desk.tick(*heard, *route, *number, *seq),
    }
}

/// The shard reads a message.
pub(super) fn tell_shard(shard: &mut Shard, mail: Mail) {
    match mail {
        Mail::Deliver { client, change, answer } => {
            let frame = answer.map(|answer| text_frame(format!("answer {answer}").as_bytes()));
            shard.deliver(ClientId(client), change, frame);
        }
        Mail::Close(client) => shard.close(ClientId(client), 1012, "restarting"),
        Mail::Detach(client) => shard.detach(ClientId(client)),
        Mail::Expect(route, since) => shard.expect(RouteId(route), Epoch(since)),
        Mail::Forget(route) => shard.forget(RouteId(route)),
        Mail::Tick { heard, route, frame, .. } => {
            shard.set_heard(Epoch(heard));
            shard.tick(RouteId(route), &frame);
        }
    }
}

/// Takes one WebSocket frame off the front.
pub(super) fn read_frame(bytes: &mut &[u8]) -> Option<Frame> {
    let header = *bytes;
    let (length, header_bytes) = match *header.get(1)? {
        126 => (usize::from(u16::from_be_bytes([*header.get(2)?, *header.get(3)?])), 4),
        short => (usize::from(short), 2),
    };
    let payload = header.get(header_bytes..header_bytes + length)?;
    *bytes = &header[header_bytes + length..];
    if header[0] == 0x88 {
        return Some(Frame::Close);
    }
    let text = std::str::from_utf8(payload).ok()?;
    if let Some(answer) = text.strip_prefix("answer ") {
        return answer.parse().ok().map(Frame::Answer);
    }
    let (_, data) = text.split_once("{\"number\":")?;
    let (number, rest) = data.split_once(",\"route\":")?;
    let (route, _) = rest.split_once('}')?;
    let (route, number) = (route.parse().ok()?, number.parse().ok()?);
    let snapshot = text.contains("\"snapshot\":true");
    let (seq, skipped) = (member(text, "seq")?, member(text, "skipped").unwrap_or_default());
    Some(Frame::Tick { route, number, seq, skipped, snapshot })
}

/// A number in the envelope of a tick.
fn member(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    rest.split_once(',')?.0.parse().ok()
}

//! One connection at work: reads, writes and heartbeats in one task.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::command::Command;
use super::decoder::{Decoder, Item};
use super::fault::{Fault, ProtocolError};
use super::link::Link;
use super::message::Message;
use super::options::Options;
use super::wire::encode_command;
use crate::runtime::Clock;

/// Messages delivered at once.
const BATCH_MESSAGES_MAX: usize = 1_024;
/// Bytes gathered for one write; one message may exceed it.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Bytes of PONGs that wait for a peer that does not read. Further PINGs are not answered.
const PONG_BYTES_MAX: usize = 4 << 10;
/// A write buffer that has grown beyond this is given back once it is empty.
const WRITE_BUFFER_KEPT_BYTES: usize = 128 << 10;

/// Where a connection's messages come from and go to.
pub(super) trait Port: Send {
    /// Whether the peer may send SUBSCRIBE and CANCEL. They are delivered as the data frames
    /// that mean the same, in order.
    const SUBSCRIPTIONS: bool = false;

    /// Takes all messages of `batch`, or waits until there is room. Cancel-safe: what is not
    /// taken stays.
    fn deliver(
        &mut self,
        batch: &mut Vec<Message>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// So many messages of the outgoing queue are now with the operating system.
    fn sent(&mut self, _messages: usize) {}
}

/// Serves a connection until it ends. `opening` is written first; `outgoing` holds encoded
/// messages, one an item.
pub(super) async fn pump<S, P>(
    link: Link<S>,
    options: &Options,
    opening: &[u8],
    outgoing: Option<mpsc::Receiver<Bytes>>,
    port: &mut P,
) -> Fault
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    P: Port,
{
    let mut pump = Pump::new(link, options, opening, outgoing, port);
    let mut alarm = pin!(sleep(options.heartbeat_interval));
    loop {
        if let Err(fault) = pump.turn(alarm.as_mut()).await {
            return fault;
        }
    }
}

struct Pump<'a, S, P> {
    stream: S,
    decoder: Decoder,
    port: &'a mut P,
    outgoing: Option<mpsc::Receiver<Bytes>>,
    /// Decoded, not delivered.
    batch: Vec<Message>,
    last_batch_len: usize,
    /// How the connection ends once everything that arrived is delivered.
    ending: Option<Fault>,
    /// What is left of the input makes no sense.
    undecodable: bool,
    out: Vec<u8>,
    written: usize,
    out_messages: usize,
    out_pong_bytes: usize,
    beat: Beat,
}

/// When to worry about the peer. All times in milliseconds on the connection's clock.
struct Beat {
    clock: Clock,
    peer_answers: bool,
    interval_ms: u64,
    timeout_ms: u64,
    /// When the peer was last heard, or was last not listened to.
    heard_ms: u64,
    /// When the write that is under way last got on.
    progress_ms: u64,
}

/// What one look at the stream brought.
struct Step {
    read: Option<io::Result<usize>>,
    wrote: Option<io::Result<usize>>,
}

impl<'a, S: AsyncRead + AsyncWrite + Send + Unpin, P: Port> Pump<'a, S, P> {
    fn new(
        link: Link<S>,
        options: &Options,
        opening: &[u8],
        outgoing: Option<mpsc::Receiver<Bytes>>,
        port: &'a mut P,
    ) -> Self {
        Self {
            stream: link.stream,
            decoder: link.decoder,
            port,
            outgoing,
            batch: Vec::new(),
            last_batch_len: 0,
            ending: None,
            undecodable: false,
            out: opening.to_vec(),
            written: 0,
            out_messages: 0,
            out_pong_bytes: 0,
            beat: Beat::new(options, link.heartbeats),
        }
    }

    /// Decodes what has arrived, then waits for one thing to happen.
    async fn turn(&mut self, mut alarm: Pin<&mut Sleep>) -> Result<(), Fault> {
        self.decode();
        let delivering = !self.batch.is_empty();
        if !delivering && let Some(fault) = self.ending.take() {
            return Err(fault);
        }
        let open = self.ending.is_none();
        let writing = !self.out.is_empty();
        let unwritten = self.out.get(self.written..).unwrap_or_default();
        tokio::select! {
            biased;
            () = alarm.as_mut(), if self.beat.interval_ms > 0 => {
                let next_ms = self.beat(delivering)?;
                alarm.reset(self.beat.clock.instant_at_ms(next_ms));
            }
            delivered = self.port.deliver(&mut self.batch), if delivering => delivered?,
            item = next_outgoing(&mut self.outgoing), if open && !writing => {
                self.gather(item.ok_or(Fault::Released)?);
            }
            step = exchange(&mut self.stream, unwritten, &mut self.decoder, !delivering),
                if open && (writing || !delivering) => self.stepped(step),
        }
        Ok(())
    }

    /// Fills the batch from what has arrived.
    fn decode(&mut self) {
        if !self.batch.is_empty() || self.undecodable {
            return;
        }
        while self.batch.len() < BATCH_MESSAGES_MAX {
            match self.take_item() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.undecodable = true;
                    self.ending.get_or_insert(error.into());
                    break;
                }
            }
        }
        self.last_batch_len = self.batch.len();
    }

    /// False if more bytes are needed.
    fn take_item(&mut self) -> Result<bool, ProtocolError> {
        match self.decoder.next_item()? {
            Some(Item::Message(message)) => self.push(message),
            Some(Item::Command(body)) => self.obey(body)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    fn push(&mut self, message: Message) {
        if self.batch.capacity() == 0 {
            self.batch.reserve(self.last_batch_len.max(4));
        }
        self.batch.push(message);
    }

    fn obey(&mut self, body: Bytes) -> Result<(), ProtocolError> {
        match Command::parse(body)? {
            Command::Ping { context } => self.pong(&context),
            Command::Pong | Command::Unknown => {}
            Command::Subscribe(prefix) if P::SUBSCRIPTIONS => {
                self.push(subscription(true, &prefix));
            }
            Command::Cancel(prefix) if P::SUBSCRIPTIONS => self.push(subscription(false, &prefix)),
            Command::Subscribe(_) => return Err(ProtocolError::Unexpected("SUBSCRIBE")),
            Command::Cancel(_) => return Err(ProtocolError::Unexpected("CANCEL")),
            Command::Ready(_) => return Err(ProtocolError::Unexpected("READY")),
            Command::Error(reason) => return Err(ProtocolError::Reported(reason)),
        }
        Ok(())
    }

    fn pong(&mut self, context: &[u8]) {
        if self.out_pong_bytes > PONG_BYTES_MAX {
            return;
        }
        let before = self.out.len();
        self.begin_write();
        encode_command("PONG", context, &mut self.out);
        self.out_pong_bytes += self.out.len() - before;
    }

    /// Gathers the messages that wait into one write.
    fn gather(&mut self, first: Bytes) {
        self.begin_write();
        self.out.extend_from_slice(&first);
        self.out_messages = 1;
        while self.out.len() < WRITE_BYTES_MAX
            && let Some(next) = self.outgoing.as_mut().and_then(|queue| queue.try_recv().ok())
        {
            self.out.extend_from_slice(&next);
            self.out_messages += 1;
        }
    }

    fn begin_write(&mut self) {
        if self.out.is_empty() {
            self.beat.progress_ms = self.beat.clock.now_ms();
        }
    }

    /// What was read is decoded and delivered, even if the write beside it failed.
    fn stepped(&mut self, step: Step) {
        match step.wrote {
            None => {}
            Some(Ok(0)) => self.ending = Some(Fault::Io(io::ErrorKind::WriteZero.into())),
            Some(Ok(count)) => self.wrote(count),
            Some(Err(error)) => self.ending = Some(Fault::Io(error)),
        }
        match step.read {
            None => {}
            Some(Ok(0)) => self.ending = Some(Fault::Closed),
            Some(Ok(count)) => {
                self.beat.heard_ms = self.beat.clock.now_ms();
                self.decoder.filled(count);
            }
            Some(Err(error)) => self.ending = Some(Fault::Io(error)),
        }
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written < self.out.len() {
            self.beat.progress_ms = self.beat.clock.now_ms();
            return;
        }
        self.written = 0;
        self.out_pong_bytes = 0;
        self.out.clear();
        if self.out.capacity() > WRITE_BUFFER_KEPT_BYTES {
            self.out = Vec::new();
        }
        let sent = std::mem::take(&mut self.out_messages);
        if sent > 0 {
            self.port.sent(sent);
        }
    }

    /// Looks after a silent peer. Returns when to look again.
    fn beat(&mut self, delivering: bool) -> Result<u64, Fault> {
        let now_ms = self.beat.clock.now_ms();
        if delivering {
            // The peer is not listened to. That is no reason for it to give up, nor for us.
            self.beat.heard_ms = now_ms;
            self.ping();
            return Ok(now_ms + self.beat.interval_ms);
        }
        let silence_ms = now_ms - self.beat.heard_ms;
        if silence_ms < self.beat.interval_ms {
            return Ok(self.beat.heard_ms + self.beat.interval_ms);
        }
        let stalled =
            !self.out.is_empty() && now_ms - self.beat.progress_ms >= self.beat.timeout_ms;
        if silence_ms >= self.beat.timeout_ms && (self.beat.peer_answers || stalled) {
            return Err(Fault::HeartbeatLost);
        }
        self.ping();
        self.decoder.rest();
        let lost_ms = self.beat.heard_ms + self.beat.timeout_ms;
        let again_ms = now_ms + self.beat.interval_ms;
        Ok(if lost_ms > now_ms { again_ms.min(lost_ms) } else { again_ms })
    }

    /// Sends a PING, unless something else is on its way already.
    fn ping(&mut self) {
        if self.beat.peer_answers && self.out.is_empty() {
            self.begin_write();
            // No time to live: this end pings in silence only, not while the peer talks.
            encode_command("PING", &[0, 0], &mut self.out);
        }
    }
}

impl Beat {
    fn new(options: &Options, peer_answers: bool) -> Self {
        let interval_ms = millis(options.heartbeat_interval);
        // A PING needs time to be answered.
        let timeout_ms = millis(options.heartbeat_timeout).max(interval_ms.saturating_mul(2));
        let clock = Clock::start();
        Self { clock, peer_answers, interval_ms, timeout_ms, heard_ms: 0, progress_ms: 0 }
    }
}

fn millis(duration: Duration) -> u64 {
    /// A day; longer would overflow the timer.
    const MAX_MS: u64 = 86_400_000;
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(MAX_MS).min(MAX_MS)
}

fn subscription(subscribe: bool, prefix: &[u8]) -> Message {
    let mut part = Vec::with_capacity(1 + prefix.len());
    part.push(u8::from(subscribe));
    part.extend_from_slice(prefix);
    Message::single(part)
}

async fn next_outgoing(queue: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

/// Writes and reads what is possible now, or waits until something is. Cancel-safe.
async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin>(
    stream: &mut S,
    unwritten: &[u8],
    decoder: &mut Decoder,
    reading: bool,
) -> Step {
    poll_fn(|cx| {
        let mut step = Step { read: None, wrote: None };
        if !unwritten.is_empty()
            && let Poll::Ready(wrote) = Pin::new(&mut *stream).poll_write(cx, unwritten)
        {
            step.wrote = Some(wrote);
        }
        if reading && let Poll::Ready(read) = pin!(stream.read_buf(decoder.read_buffer())).poll(cx)
        {
            step.read = Some(read);
        }
        if step.read.is_some() || step.wrote.is_some() { Poll::Ready(step) } else { Poll::Pending }
    })
    .await
}

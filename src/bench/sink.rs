//! Where ticks are published: our bus, or NATS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;

use super::dialect::Dialect;
use super::nats::{self, Said};
use super::stopwatch::Stopwatch;
use super::wire::Broken;
use crate::runtime::TokioRuntime;
use crate::zmtp::{Message, Options, Pub};

/// Messages that wait for the gateway; more are dropped, and counted as lost.
const HWM: usize = 100_000;
/// Bytes that are written at once to NATS.
const WRITE_BYTES: usize = 16 * 1_024;
/// How long the bus may take to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const CONNECT_PAUSE: Duration = Duration::from_millis(5);
/// Pause while NATS takes nothing, and how many of them there are when it is time to stop.
const WRITE_PAUSE: Duration = Duration::from_micros(50);
const LAST_PAUSES_MAX: u32 = 40_000;

/// A connection to publish on.
pub(super) enum Sink {
    /// ZeroMQ.
    Bus {
        socket: Pub,
        /// Sends what is published while the publisher's thread sleeps.
        _runtime: tokio::runtime::Runtime,
    },
    /// TCP to NATS, with what is not yet written. NATS holds up who publishes too fast.
    Nats(TcpStream, Vec<u8>),
}

impl Sink {
    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// Fails if nobody there takes ticks in time.
    pub fn connect(dialect: Dialect, address: &str, watch: Stopwatch) -> Result<Self, String> {
        match dialect {
            Dialect::Tickgate => Self::bus(address, watch),
            Dialect::Nats => nats_stream(address)
                .map(|stream| Self::Nats(stream, Vec::new()))
                .map_err(|error| format!("NATS at {address}: {error}")),
        }
    }

    fn bus(address: &str, watch: Stopwatch) -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("no thread to publish from: {error}"))?;
        let socket = runtime.block_on(async {
            Pub::connect(&TokioRuntime::new(), Options::default(), HWM, address)
        });
        let deadline_ns = watch.ns() + CONNECT_MAX.as_nanos() as u64;
        while socket.stats().subscriptions == 0 {
            if watch.ns() > deadline_ns {
                return Err(format!("nobody subscribes on the bus at {address}"));
            }
            sleep(CONNECT_PAUSE);
        }
        Ok(Self::Bus { socket, _runtime: runtime })
    }

    /// Publishes, at the latest with the next [`Self::flush`].
    ///
    /// # Errors
    ///
    /// Fails if the connection has ended.
    pub fn publish(&mut self, topic: &Bytes, json: Vec<u8>, stop: &AtomicBool) -> io::Result<()> {
        match self {
            Self::Bus { socket, .. } => socket.publish(Message::pair(topic.clone(), json)),
            Self::Nats(_, out) => {
                nats::publish(out, topic, &json);
                if out.len() >= WRITE_BYTES {
                    return self.flush(stop);
                }
            }
        }
        Ok(())
    }

    /// Writes what waits. If it is to stop, that may take some seconds more.
    ///
    /// # Errors
    ///
    /// Fails if the connection has ended, or takes nothing even then.
    pub fn flush(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let Self::Nats(stream, out) = self else { return Ok(()) };
        if out.is_empty() {
            return Ok(());
        }
        hear(stream, out)?;
        let (mut written, mut last_pauses) = (0, 0);
        while written < out.len() {
            match stream.write(&out[written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    last_pauses += u32::from(stop.load(Ordering::Relaxed));
                    if last_pauses > LAST_PAUSES_MAX {
                        return Err(io::Error::other("NATS takes nothing any more"));
                    }
                    sleep(WRITE_PAUSE);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out.clear();
        Ok(())
    }

    /// Ticks that were not taken in time.
    pub fn dropped(&self) -> u64 {
        match self {
            Self::Bus { socket, .. } => socket.stats().dropped,
            Self::Nats(..) => 0,
        }
    }
}

fn nats_stream(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CONNECT_MAX))?;
    stream.write_all(format!("{}PING\r\n", nats::connect()).as_bytes())?;
    let (mut said, mut piece) = (nats::Stream::default(), [0; 4_096]);
    let (mut ready, mut asked) = (false, false);
    while !ready {
        let read = match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        said.feed(&piece[..read], |one| match one {
            Said::Pong => {
                ready = true;
                Ok(())
            }
            Said::Refusal(words) => {
                Err(io::Error::other(String::from_utf8_lossy(words).into_owned()))
            }
            Said::Ping => {
                asked = true;
                Ok(())
            }
            Said::Message(_) | Said::Other => Ok(()),
        })?;
        if std::mem::take(&mut asked) {
            stream.write_all(b"PONG\r\n")?;
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Answers what NATS asks of a publisher: whether it is still there.
fn hear(stream: &mut TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4_096];
    let read = match stream.read(&mut piece) {
        Ok(0) => return Err(io::Error::other("NATS closed the publisher's connection")),
        Ok(read) => read,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut at = 0;
    // What NATS says to a publisher is short, and comes whole.
    while let Some((said, length)) = nats::operation(&piece[at..read])? {
        at += length;
        match said {
            Said::Ping => out.extend_from_slice(b"PONG\r\n"),
            Said::Refusal(words) => {
                return Err(io::Error::other(String::from_utf8_lossy(words).into_owned()));
            }
            Said::Message(_) => return Err(Broken.into()),
            Said::Pong | Said::Other => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Takes one publisher, asks whether it is there, and hangs up once it has said so and
    /// published something.
    #[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
    fn server(listener: TcpListener) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(b"INFO {}\r\n").unwrap();
            let (mut heard, mut piece) = (String::new(), [0; 1_024]);
            while !heard.contains("PONG\r\n") || !heard.contains("{}\r\n") {
                let before = heard.contains("PING\r\n");
                let read = stream.read(&mut piece).unwrap();
                heard.push_str(std::str::from_utf8(&piece[..read]).unwrap());
                if !before && heard.contains("PING\r\n") {
                    stream.write_all(b"PONG\r\nPING\r\n").unwrap();
                }
            }
            heard
        })
    }

    #[test]
    fn nats_gets_what_is_published_an_answer_to_its_ping_and_its_end_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = server(listener);
        let mut sink = Sink::connect(Dialect::Nats, &address, Stopwatch::start()).unwrap();
        let stop = AtomicBool::new(false);
        let mut publish = || {
            sink.publish(&Bytes::from_static(b"NSE_BENCH0_LTP"), b"{}".to_vec(), &stop)?;
            sink.flush(&stop)
        };
        // Until the server has hung up.
        while publish().is_ok() {
            sleep(WRITE_PAUSE);
        }
        let heard = server.join().unwrap();
        assert!(heard.starts_with("CONNECT {"), "{heard}");
        assert!(heard.contains("PUB NSE_BENCH0_LTP 2\r\n{}\r\n"), "{heard}");
    }

    #[test]
    fn what_is_no_nats_is_told_of() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let refused = Sink::connect(Dialect::Nats, &nobody, Stopwatch::start()).err().unwrap();
        assert!(refused.starts_with(&format!("NATS at {nobody}")), "{refused}");
    }
}

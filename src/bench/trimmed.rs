//! Clients that look at nothing: as little load as there can be.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;

use mio::net::TcpStream;
use socket2::SockRef;

use super::tally::{Reader, Tally};

/// Has the system throw away what it was to read (`recv(2)`, Linux).
const MSG_TRUNC: i32 = 0x20;

/// How a client counts the ticks of its one topic by their bytes alone. It knows no lateness, and
/// no order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trimmed {
    /// Bytes of a tick's frame, which are the same for all.
    pub frame: u64,
    /// Bytes read of a tick that is not whole.
    pub begun: u64,
}

impl Trimmed {
    /// Has the system throw away what is there, and counts it. `sink` stays as it is.
    pub fn discard(
        &mut self,
        stream: &TcpStream,
        sink: &mut [MaybeUninit<u8>],
        reader: &mut Reader,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let socket = SockRef::from(stream);
        loop {
            let read = match socket.recv_with_flags(sink, MSG_TRUNC) {
                Ok(0) => return Err(io::Error::other("the server closed the connection")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            tally.bytes += read as u64;
            self.begun += read as u64;
            let ticks = self.begun / self.frame;
            self.begun %= self.frame;
            tally.delivered += ticks;
            if let Some(Some(next)) = reader.next.first_mut() {
                *next += u32::try_from(ticks).unwrap_or(u32::MAX);
            }
            if read < sink.len() {
                return Ok(());
            }
        }
    }
}

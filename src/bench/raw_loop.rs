//! The least that a server can do: the loop with which a gateway is compared.
//!
//! It takes ticks from the bus as a gateway does, makes one frame of each, and writes that to one
//! socket after another. It has no queue, no table and no mercy: what a gateway costs beyond it is
//! what a gateway is for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use socket2::SockRef;

use super::wire::http_head;
use crate::protocol::frame::{text_frame, tick_frame};
use crate::runtime::TokioRuntime;
use crate::topic::{Instrument, Mode};
use crate::zmtp::{Options, Sub};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// What every client is told as soon as it is there, whatever it asks.
const WELCOME: [&str; 2] =
    [r#"{"type":"auth","status":"success"}"#, r#"{"type":"subscribe","status":"success"}"#];

/// Serves so many clients, each of which gets every tick. Ends with the process.
///
/// # Errors
///
/// Fails if there are no sockets.
pub fn raw_loop(clients: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    // All come at once; asked again, the system takes the new number.
    SockRef::from(&listener).listen(BACKLOG)?;
    let mut bus = runtime.block_on(async {
        let (bind, all) = (["127.0.0.1:0".to_owned()], [Bytes::new()]);
        let tasks = TokioRuntime::new();
        Sub::start(&tasks, Options::default(), &bind, &[], &all).await.map_err(io::Error::other)
    })?;
    let address = bus.bound().first().copied().ok_or(ErrorKind::AddrNotAvailable)?;
    println!("  clients     ws://{}\n  publishers  tcp://{address}\n", listener.local_addr()?);

    let mut streams = Vec::with_capacity(clients);
    while streams.len() < clients {
        streams.push(welcome(listener.accept()?.0)?);
    }
    loop {
        let batch = runtime.block_on(bus.recv());
        for message in batch.ok_or(ErrorKind::BrokenPipe)? {
            let [_, payload] = message.parts() else { continue };
            let instrument = Instrument::new("NSE", "BENCH0");
            let frame = tick_frame(&instrument, Mode::Ltp, "paper", payload);
            for stream in &mut streams {
                // Whoever reads too slowly has a hole in its stream, which the load notices.
                let _ = stream.write(&frame);
            }
        }
    }
}

fn welcome(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let (mut request, mut buffer) = (Vec::new(), [0; 1_024]);
    while http_head(&request).is_none() {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\n\r\n";
    stream.write_all(head)?;
    for answer in WELCOME {
        stream.write_all(&text_frame(answer.as_bytes()))?;
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

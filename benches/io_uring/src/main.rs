//! What a frame costs the thread that writes it to a thousand sockets: by one `send` each, and by
//! batches of io_uring. Turn and turn about in one run, so that the ratios mean something.
//!
//! `cargo run --release --manifest-path benches/io_uring/Cargo.toml [ROUNDS]`

use std::error::Error;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, opcode, types};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::SendFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CLIENTS: usize = 1_000;
/// A tick of the load tool, framed.
static FRAME: [u8; 210] = [b'x'; 210];
const BATCHES: [usize; 3] = [32, 256, CLIENTS];
const ROUNDS: usize = 400;
/// Between two turns, so that all has been read.
const PAUSE: Duration = Duration::from_millis(4);

#[expect(clippy::disallowed_methods, reason = "nothing here is simulated")]
fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits })?;
    let (writers, readers) = connected()?;
    thread::spawn(move || read_all(&readers).map_err(|error| eprintln!("reading: {error}")));
    confine(0)?;
    let rings = BATCHES.map(|_| ring(&writers)).into_iter().collect::<Result<Vec<_>>>();
    // Containers often may not.
    let mut rings = rings.unwrap_or_else(|error| {
        println!("io_uring is not to be had here ({error}): only send is measured");
        Vec::new()
    });
    let mut costs: Vec<Vec<u64>> = vec![Vec::new(); 1 + rings.len()];
    for _ in 0..rounds.max(1) {
        thread::sleep(PAUSE);
        costs[0].push(cost(|| send_each(&writers))?);
        for (at, ring) in rings.iter_mut().enumerate() {
            thread::sleep(PAUSE);
            costs[at + 1].push(cost(|| send_in_batches(ring, BATCHES[at]))?);
        }
    }
    let medians: Vec<f64> = costs.iter_mut().map(|costs| median(costs)).collect();
    let names = BATCHES.iter().map(|batch| format!("io_uring, {batch} at a time"));
    println!("processor time of the writing thread for a frame, median of {rounds} rounds");
    for (name, ns) in std::iter::once("send".to_owned()).chain(names).zip(&medians) {
        println!("{name:26} {:6.2} us  {:.2} of send", ns / 1e3, ns / medians[0]);
    }
    Ok(())
}

/// Both ends of all connections.
fn connected() -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        readers.push(TcpStream::connect(listener.local_addr()?)?);
        let writer = listener.accept()?.0;
        writer.set_nodelay(true)?;
        writers.push(writer);
    }
    Ok((writers, readers))
}

/// Reads whatever comes, on a core of its own if there is one.
fn read_all(readers: &[TcpStream]) -> Result<()> {
    // On one core they share it.
    let _ = confine(1);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (at, reader) in readers.iter().enumerate() {
        epoll::add(&poll, reader, EventData::new_u64(at as u64), EventFlags::IN)?;
    }
    let (mut events, mut bytes) = (Vec::with_capacity(CLIENTS), [0; 1 << 16]);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let _ = (&readers[event.data.u64() as usize]).read(&mut bytes)?;
        }
    }
}

fn confine(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// A ring as cheap as they come: sockets registered, completions run by this thread alone.
fn ring(writers: &[TcpStream]) -> Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    let ring = builder.build(1_024)?;
    let sockets: Vec<_> = writers.iter().map(|writer| writer.as_raw_fd()).collect();
    ring.submitter().register_files(&sockets)?;
    Ok(ring)
}

fn send_each(writers: &[TcpStream]) -> Result<()> {
    for writer in writers {
        let sent = rustix::net::send(writer, &FRAME, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        whole(sent)?;
    }
    Ok(())
}

fn send_in_batches(ring: &mut IoUring, batch: usize) -> Result<()> {
    let sockets: Vec<u32> = (0..CLIENTS as u32).collect();
    let flags = (SendFlags::NOSIGNAL | SendFlags::DONTWAIT).bits() as i32;
    for sockets in sockets.chunks(batch) {
        for socket in sockets {
            let send = opcode::Send::new(types::Fixed(*socket), FRAME.as_ptr(), FRAME.len() as u32);
            // SAFETY: the frame lives as long as the program, and the socket as long as the ring.
            unsafe { ring.submission().push(&send.flags(flags).build())? };
        }
        ring.submit_and_wait(sockets.len())?;
        for done in ring.completion() {
            whole(usize::try_from(done.result()).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Sockets are read so often that they always have room.
fn whole(sent: usize) -> Result<()> {
    if sent == FRAME.len() { Ok(()) } else { Err(format!("only {sent} bytes were taken").into()) }
}

/// Nanoseconds for a frame that this thread is on the processor.
fn cost(write: impl FnOnce() -> Result<()>) -> Result<u64> {
    let now_ns = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    };
    let before_ns = now_ns();
    write()?;
    Ok((now_ns() - before_ns) / CLIENTS as u64)
}

fn median(costs: &mut [u64]) -> f64 {
    costs.sort_unstable();
    costs[costs.len() / 2] as f64
}

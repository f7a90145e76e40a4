use tickgate::runtime::{Listener as _, Runtime as _, TaskGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::*;
use crate::runtime::{SimListener, SimRuntime, SimStream, TaskOrder};

const SOON: Duration = Duration::from_secs(1);

/// Plays a story on a network whose messages take 2 to 5 ms; tells what it returns.
fn on_a_network<T>(seed: u64, story: impl AsyncFnOnce(Hosts) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let network = Network::new(seed, [2, 5].map(Duration::from_millis));
        let host = |name| SimRuntime::new(seed, name, TaskOrder::None).on(&network);
        let (server, client) = (host("server"), host("client"));
        story(Hosts { server, client, clock: network.0.clock }).await
    })
}

struct Hosts {
    server: SimRuntime,
    client: SimRuntime,
    clock: Clock,
}

impl Hosts {
    async fn listen(&self) -> SimListener {
        self.server.bind("0.0.0.0:80").await.expect("the port is free")
    }

    /// A connection: the client's end and the server's.
    async fn pair(&self) -> (SimStream, SimStream) {
        let mut listener = self.listen().await;
        let client = self.client.connect("server:80");
        let (client, server) = tokio::join!(client, listener.accept());
        (client.expect("somebody listens"), server.expect("a client comes").0)
    }
}

#[test]
fn bytes_arrive_in_order_after_their_latency() {
    for seed in 0..20 {
        on_a_network(seed, async |hosts| {
            let (mut client, mut server) = hosts.pair().await;
            let sent = hosts.clock.now();
            for number in 0..50 {
                client.write_all(&[number]).await.expect("it is written");
            }
            let mut bytes = [0; 50];
            server.read_exact(&mut bytes).await.expect("they arrive");
            assert!(bytes.is_sorted(), "{bytes:?}");
            let took = hosts.clock.now() - sent;
            assert!(
                took >= Duration::from_millis(2) && took <= Duration::from_millis(6),
                "{took:?}"
            );
        });
    }
}

#[test]
fn nobody_listens_means_refused_after_a_round_trip() {
    on_a_network(1, async |hosts| {
        let error = hosts.client.connect("server:80").await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(hosts.clock.now() >= Duration::from_millis(4));
        let listener = hosts.listen().await;
        let error = hosts.server.bind("0.0.0.0:80").await.err().expect("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        hosts.listen().await;
    });
}

#[test]
fn an_end_that_shuts_down_is_read_to_its_last_byte_and_can_still_read() {
    on_a_network(1, async |hosts| {
        let (mut client, mut server) = hosts.pair().await;
        client.write_all(b"last words").await.expect("they are written");
        client.shutdown().await.expect("it can be said");
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.expect("it ends well");
        assert_eq!(heard, b"last words");
        server.write_all(b"bye").await.expect("the client still reads");
        let mut heard = [0; 3];
        client.read_exact(&mut heard).await.expect("it arrives");
    });
}

#[test]
fn an_end_that_vanishes_with_unread_bytes_resets_the_other() {
    on_a_network(1, async |hosts| {
        let (mut client, server) = hosts.pair().await;
        client.write_all(b"nobody reads this").await.expect("it is written");
        sleep(SOON).await;
        drop(server);
        sleep(SOON).await;
        let read = client.read(&mut [0; 8]).await.expect_err("it was reset");
        assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
        let written = client.write(b"more").await.expect_err("nobody is there");
        assert_eq!(written.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_waits_for_a_reader_and_no_longer_than_there_is_one() {
    on_a_network(1, async |hosts| {
        let (mut client, mut server) = hosts.pair().await;
        let chunk = vec![7; 1024 * 1024];
        let stuck = timeout(SOON, client.write_all(&chunk)).await;
        assert!(stuck.is_err(), "a megabyte fits no socket");
        let mut some = vec![0; 64 * 1024];
        server.read_exact(&mut some).await.expect("it is there");
        assert!(timeout(SOON, client.write(&chunk)).await.is_ok(), "there is room again");
        let tasks = TaskGroup::new();
        tasks.spawn(&hosts.server, "vanish", async move {
            sleep(SOON).await;
            drop(server);
        });
        let error = client.write_all(&chunk).await.expect_err("the reader vanishes");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn connections_that_wait_when_the_listener_goes_are_reset() {
    on_a_network(1, async |hosts| {
        let listener = hosts.listen().await;
        let mut client = hosts.client.connect("server:80").await.expect("it waits to be accepted");
        client.write_all(b"hello").await.expect("it is written");
        drop(listener);
        let mut byte = [0];
        assert!(timeout(SOON, client.read(&mut byte)).await.expect("in time").is_err());
    });
}

#[test]
fn latencies_follow_from_the_seed() {
    let times = |seed| {
        on_a_network(seed, async |hosts| {
            let (mut client, mut server) = hosts.pair().await;
            let mut times = Vec::new();
            for _ in 0..20 {
                client.write_all(b"x").await.expect("it is written");
                server.read_exact(&mut [0]).await.expect("it arrives");
                times.push(hosts.clock.now());
            }
            times
        })
    };
    assert_eq!(times(1), times(1));
    assert_ne!(times(1), times(2));
}

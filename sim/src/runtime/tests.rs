use std::time::{Duration, UNIX_EPOCH};

use tickgate::runtime::Listener as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Runs an echo server and a client on the simulated network; tells what the client saw.
fn echo(seed: u64) -> (Vec<u8>, u64, u64) {
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_UNIX_MS))
        .rng_seed(seed)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(9))
        .build();
    sim.host("gateway", move || async move {
        let runtime = SimRuntime::new(seed, "gateway", TaskOrder::Jitter(0.3));
        let mut listener = runtime.bind("0.0.0.0:8765").await?;
        let (mut stream, _) = listener.accept().await?;
        let task = runtime.spawn("echo", async move {
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.expect("five bytes come");
            stream.write_all(&bytes).await.expect("they go back");
        });
        assert_eq!(runtime.tasks().counts().get("echo"), Some(&1));
        task.await;
        assert_eq!(runtime.tasks().total(), 0);
        Ok(())
    });
    let seen = Arc::new(Mutex::new(None));
    let result = Arc::clone(&seen);
    sim.client("clients", async move {
        let runtime = SimRuntime::new(seed, "clients", TaskOrder::None);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut stream = runtime.connect("gateway:8765").await?;
        stream.write_all(b"hello").await?;
        let mut bytes = vec![0; 5];
        stream.read_exact(&mut bytes).await?;
        *result.lock().expect("not poisoned") = Some((bytes, runtime.unix_ms(), runtime.entropy()));
        Ok(())
    });
    sim.run().expect("the simulation ends well");
    seen.lock().expect("not poisoned").take().expect("the client has finished")
}

#[test]
fn streams_carry_bytes_between_hosts_and_time_is_simulated() {
    let (bytes, unix_ms, _) = echo(5);
    assert_eq!(bytes, b"hello");
    assert!((EPOCH_UNIX_MS + 4..EPOCH_UNIX_MS + 100).contains(&unix_ms), "{unix_ms}");
}

#[test]
fn the_same_seed_gives_the_same_times_and_entropy() {
    assert_eq!(echo(5), echo(5));
    assert_ne!(echo(5).2, echo(6).2);
}

/// When long work was done on the simulated network, in microseconds since its beginning.
fn long_work(seed: u64) -> Vec<u64> {
    let mut sim = turmoil::Builder::new().rng_seed(seed).build();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&seen);
    sim.client("gateway", async move {
        let runtime = SimRuntime::new(seed, "gateway", TaskOrder::None);
        for number in 0..5 {
            assert_eq!(runtime.offload(move || number * 2).await, number * 2);
            times.lock().expect("not poisoned").push(clock::now_us());
        }
        Ok(())
    });
    sim.run().expect("the simulation ends well");
    let times = seen.lock().expect("not poisoned");
    times.clone()
}

#[test]
fn long_work_takes_a_time_that_follows_from_the_seed() {
    let times = long_work(5);
    assert!(times.is_sorted() && times[0] < times[4] && times[4] < 5 * 60_000, "{times:?}");
    assert_eq!(times, long_work(5));
    assert_ne!(times, long_work(6));
}

#[test]
fn hosts_have_different_entropy() {
    let first = SimRuntime::new(1, "a", TaskOrder::None).entropy();
    assert_ne!(first, SimRuntime::new(1, "b", TaskOrder::None).entropy());
}

fn with_a_task_that_panics() {
    let mut sim = turmoil::Builder::new().rng_seed(1).build();
    sim.client("gateway", async {
        let runtime = SimRuntime::new(1, "gateway", TaskOrder::None);
        let _task = runtime.spawn("broken", async { panic!("on purpose") });
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    });
    sim.run().expect("the others go on");
}

#[test]
#[should_panic(expected = "a spawned task panicked")]
fn a_panic_in_a_task_ends_the_simulation() {
    with_a_task_that_panics();
}

#[test]
fn a_panic_in_a_task_stops_that_task_and_is_remembered_where_panics_are_caught() {
    crash::catch_on_this_thread();
    with_a_task_that_panics();
    let crash = crash::first().expect("it is remembered");
    assert_eq!(crash.message, "on purpose");
    assert!(crash.place.contains("tests.rs:"), "{}", crash.place);
}

/// A toy with a bug: two tasks add one to a number, but read it, write a byte to a connection,
/// and only then write the number back. Tells what the number is in the end.
fn lost_update(seed: u64, order: TaskOrder, yield_share: f64) -> u64 {
    let mut sim = turmoil::Builder::new().rng_seed(seed).build();
    sim.host("sink", || async {
        let mut listener = SimRuntime::new(0, "sink", TaskOrder::None).bind("0.0.0.0:9").await?;
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await?);
        }
    });
    let total = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&total);
    sim.client("gateway", async move {
        let runtime =
            SimRuntime::new(seed, "gateway", order).with_yields(seed, "gateway", yield_share);
        let (begin, _) = tokio::sync::broadcast::channel::<()>(1);
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let mut stream = runtime.connect("sink:9").await?;
            let (mut begun, counted) = (begin.subscribe(), Arc::clone(&counted));
            tasks.push(runtime.spawn("toy", async move {
                let _ = begun.recv().await;
                let before = *counted.lock().expect("not poisoned");
                stream.write_all(b"x").await.expect("the sink reads");
                *counted.lock().expect("not poisoned") = before + 1;
            }));
        }
        begin.send(())?;
        for task in tasks {
            task.await;
        }
        Ok(())
    });
    sim.run().expect("the simulation ends well");
    let total = total.lock().expect("not poisoned");
    *total
}

#[test]
fn a_read_await_write_bug_is_found_within_a_hundred_seeds_and_never_without_yield_points() {
    for order in [TaskOrder::None, TaskOrder::Jitter(0.5), TaskOrder::Priorities(3)] {
        assert!((0..100).all(|seed| lost_update(seed, order, 0.0) == 2), "{order:?}");
        let found = (0..100).find(|seed| lost_update(*seed, order, 0.3) == 1);
        assert!(found.is_some(), "{order:?} does not find it");
    }
}

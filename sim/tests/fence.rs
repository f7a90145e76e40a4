//! The leak fence: each leak ends the program and is named; what is harmless passes.

mod planted;

use std::io::Cursor;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use planted::{Discontent, PLANTS, Planted};
use tickgate_sim::fence;
use tickgate_sim::plan::{self, NetworkKind, Plan};
use tickgate_sim::runtime::EPOCH_UNIX_MS;
use tickgate_sim::scenario;
use tickgate_sim::verdict::Verdict;
use tickgate_sim::world::{Options, Outcome, play_judged};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// Tells the child which leak to plant.
const PLANT: &str = "FENCE_TEST_PLANT";
const SEED: u64 = 7;
const SIGABRT: i32 = 6;

fn smoke(kind: NetworkKind) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/smoke.yaml");
    let mut plan = plan::draw(&scenario::load(&path).expect("the scenario is good"), SEED);
    plan.network.kind = kind;
    plan
}

/// Plays with this in the place of all invariants: it runs on the thread of the simulation.
fn play(kind: NetworkKind, salt: u64, planted: Planted) -> Outcome {
    let options = Options { salt, ..Options::default() };
    play_judged(&smoke(kind), options, vec![Box::new(planted)])
}

fn passes(planted: fn() -> Result<(), String>) {
    for kind in [NetworkKind::Events, NetworkKind::Turmoil] {
        let outcome = play(kind, 0, Planted::new(planted));
        assert!(outcome.counters.events > 100, "the story was played");
        assert_eq!(Verdict::of(&outcome), Verdict::Passed, "{kind:?}");
    }
}

/// Not a test: the program that leaks, in a process of its own.
#[test]
#[ignore = "the other tests start it, with a leak to plant"]
fn child() {
    let name = std::env::var(PLANT).expect("it is started by another test");
    let (kind, name) = name.split_once(' ').expect("a network and a leak");
    let kind = if kind == "events" { NetworkKind::Events } else { NetworkKind::Turmoil };
    let leak = PLANTS.iter().find(|plant| plant.name == name).expect("there is such a leak");
    let outcome = play(kind, 0, Planted::new(leak.act));
    println!("nobody stopped it: {}", Verdict::of(&outcome));
}

fn leak(kind: &str, name: &str) -> Output {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "fence::child", "--ignored", "--nocapture"])
        .env(PLANT, format!("{kind} {name}"))
        .output()
        .expect("the program can be started")
}

#[test]
fn each_planted_leak_ends_the_program_with_a_backtrace_that_names_it() {
    for kind in ["events", "turmoil"] {
        for plant in PLANTS {
            let output = leak(kind, plant.name);
            let said = String::from_utf8_lossy(&output.stderr);
            let stopped = output.status.signal() == Some(SIGABRT);
            assert!(stopped, "{kind}, {}: {:?}\n{said}", plant.name, output.status);
            let (head, trace) = said.split_once("backtrace:\n").expect("a backtrace");
            assert!(head.contains(&format!("LEAK FENCE: {}", plant.said)), "{head}");
            assert!(head.contains("in seed 7 of: "), "{head}");
            for part in [head, trace] {
                assert!(part.contains(plant.name), "{} is not named:\n{said}", plant.name);
                assert!(part.contains("tests/fence/planted.rs:"), "no place:\n{said}");
            }
        }
    }
}

#[test]
fn what_is_allowed_passes_and_gets_nothing_real() {
    passes(|| {
        let _open = fence::allow("a test");
        planted::PLANTS.iter().try_for_each(|plant| (plant.act)())?;
        let shown = planted::unix_time().as_millis();
        if shown == u128::from(EPOCH_UNIX_MS) { Ok(()) } else { Err(format!("it is {shown} ms")) }
    });
}

#[test]
fn masks_and_keys_of_clients_pass_however_many() {
    // Their generator draws new entropy after 64 KiB. A mask has 4 bytes, a key 16.
    passes(|| {
        let mut client = WebSocket::from_raw_socket(Cursor::new(Vec::new()), Role::Client, None);
        for _ in 0..2 * 65_536 / 4 {
            client.send(Message::Ping(Bytes::new())).map_err(|error| error.to_string())?;
        }
        for _ in 0..2 * 65_536 / 16 {
            let _ = generate_key();
        }
        Ok(())
    });
}

#[test]
fn other_threads_have_real_time_while_a_simulation_plays() {
    let epoch = UNIX_EPOCH + Duration::from_millis(EPOCH_UNIX_MS);
    let (ask, asked) = std::sync::mpsc::sync_channel::<()>(1);
    let (answer, answered) = std::sync::mpsc::sync_channel::<SystemTime>(1);
    let other = std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            while asked.recv().is_ok() {
                answer.send(UNIX_EPOCH + planted::unix_time()).expect("somebody asked");
            }
        });
        let mut times = Vec::with_capacity(1);
        let look = move || {
            ask.send(()).map_err(|error| error.to_string())?;
            times.push(answered.recv().map_err(|error| error.to_string())?);
            match times.as_slice() {
                [time] if *time > epoch => Ok(()),
                others => Err(format!("it was {others:?} there")),
            }
        };
        let outcome = play(NetworkKind::Events, 0, Planted::new(look));
        assert_eq!(Verdict::of(&outcome), Verdict::Passed);
        other.join()
    });
    other.expect("it had real time");
}

#[test]
fn hash_order_and_rand_rng_follow_from_the_seed_and_another_salt_shows_who_depends_on_them() {
    for kind in [NetworkKind::Events, NetworkKind::Turmoil] {
        for act in [planted::order_of_a_hash_map, planted::number_of_the_thread] {
            let said = |salt| {
                let violation = play(kind, salt, Planted::new(act)).violation;
                violation.expect("what was drawn is its message").message
            };
            assert_eq!(said(0), said(0), "{kind:?}: it escapes the seed");
            assert_ne!(said(0), said(1), "{kind:?}: nobody would notice");
        }
    }
}

#[test]
fn what_is_found_after_the_end_has_a_simulated_time() {
    for kind in [NetworkKind::Events, NetworkKind::Turmoil] {
        let plan = smoke(kind);
        let outcome = play_judged(&plan, Options::default(), vec![Box::new(Discontent)]);
        let at_us = outcome.violation.expect("it is broken in the end").at_us;
        let after_the_last_event =
            outcome.ended_us..=outcome.ended_us + 1_000 * plan.network.tick_ms;
        assert!(
            after_the_last_event.contains(&at_us),
            "{kind:?}: {at_us} of {:?}",
            outcome.ended_us
        );
    }
}

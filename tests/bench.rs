//! `tickgate bench`: small loads, what they say, and how they end when something goes wrong.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A run of a second at most: too short to say how fast anything is.
const SMALL: [&str; 9] = [
    "bench",
    "--json",
    "--clients",
    "20",
    "--seconds",
    "1",
    "--warm-up-seconds",
    "0",
    "--idle-seconds",
];

fn tickgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickgate"));
    command.env_remove("TICKGATE_KEY").stdin(Stdio::null());
    command
}

fn bench(arguments: &[&str]) -> Output {
    tickgate().args(SMALL).arg("0").args(arguments).output().unwrap()
}

/// What a run that succeeds says of its first target.
fn found(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a run that fails says, and its exit code.
fn refusal(arguments: &[&str]) -> (i32, String) {
    let output = bench(arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Every tick came, and was expected.
fn assert_whole(phase: &Value) {
    assert!(number(&phase["delivered"]) > 0.0, "{phase}");
    assert!(number(&phase["expected"]) >= number(&phase["delivered"]), "{phase}");
    for nothing in ["skipped", "missing", "lost", "misordered", "disconnected", "not_published"] {
        assert_eq!(phase[nothing], 0, "{nothing}: {phase}");
    }
    assert_eq!(phase["drained"], true, "{phase}");
    assert_eq!(phase["trouble"], Value::Null, "{phase}");
}

#[test]
fn a_run_says_what_was_delivered_how_late_and_at_what_cost() {
    let report = found(&["--rate", "50", "--topics", "10", "--topics-per-client", "4"]);

    assert_eq!(report["asked"]["clients"], 20);
    assert_eq!(report["asked"]["topics_per_client"], 4);
    let target = &report["targets"][0];
    assert_eq!(target["opening"]["clients"], 20);
    assert_eq!(target["opening"]["subscriptions"], 80);
    let phase = &target["phases"][0];
    assert_whole(phase);
    // 50 ticks of 10 topics, each for 8 of the 20 clients on average.
    let (delivered, seconds) = (number(&phase["delivered"]), number(&phase["seconds"]));
    assert!((0.5..1.5).contains(&(delivered / seconds / (50.0 * 8.0))), "{phase}");
    let latency = &phase["latency"];
    assert!(number(&latency["p50"]) > 0.0, "{phase}");
    assert!(number(&latency["p50"]) <= number(&latency["p99"]), "{phase}");
    assert!(number(&phase["cpu_ns_per_delivery"]) > 100.0, "{phase}");
    assert!(number(&phase["memory_bytes"]) > 1e6, "{phase}");
    assert!(number(&phase["open_files"]) > 20.0, "{phase}");
}

#[test]
fn as_fast_as_delivered_nothing_is_lost() {
    let report = found(&["--in-flight", "64", "--load-threads", "2"]);
    assert_whole(&report["targets"][0]["phases"][0]);
    assert_eq!(report["asked"]["ticks_per_second"], Value::Null);
}

#[test]
fn ticks_come_when_a_recording_had_them() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/recordings/paper.tick");
    let report = found(&["--recording", file, "--speed", "8"]);
    assert_eq!(report["asked"]["topics"], 3);
    let phase = &report["targets"][0]["phases"][0];
    assert_whole(phase);
    // 147 ticks of three topics in 8 seconds, for 20 clients.
    let per_second = number(&phase["per_second"]);
    assert!((2_000.0..4_000.0).contains(&per_second), "{per_second} deliveries a second");
    let (code, told) = refusal(&["--recording", file, "--rate", "10"]);
    assert_eq!(code, 2);
    assert!(told.contains("--rate"), "{told}");
    let (code, told) = refusal(&["--recording", "README.md"]);
    assert_eq!(code, 2);
    assert!(told.contains("README.md: it is no recording"), "{told}");
}

#[test]
fn without_ticks_clients_are_idle() {
    let report = found(&["--rate", "0"]);
    let phase = &report["targets"][0]["phases"][0];
    assert_eq!(phase["delivered"], 0);
    assert_eq!(phase["expected"], 0);
}

#[test]
fn rounds_say_what_grows_and_account_for_clients_that_come_and_go() {
    let report = found(&["--rate", "200", "--churn", "20", "--rounds", "2"]);
    let target = &report["targets"][0];
    let phases = target["phases"].as_array().unwrap();
    assert_eq!(phases.len(), 2);
    for phase in phases {
        assert!(number(&phase["delivered"]) > 0.0 && number(&phase["reconnects"]) > 0.0, "{phase}");
        for nothing in ["missing", "misordered", "disconnected", "untold"] {
            assert_eq!(phase[nothing], 0, "{nothing}: {phase}");
        }
    }
    let growth = &target["growth"];
    for thing in ["memory_bytes", "open_files", "tasks"] {
        let [first, last, most] = ["first", "last", "most"].map(|at| number(&growth[thing][at]));
        assert!(first > 0.0 && most >= first.max(last), "{thing}: {growth}");
    }
    // Twenty clients, a task each, and not many more files than that.
    assert!(number(&growth["tasks"]["last"]) >= 20.0, "{growth}");
}

#[test]
fn a_raw_loop_is_measured_beside_the_gateway() {
    let report = found(&["--rate", "50", "--raw-loop", "1"]);
    let names: Vec<_> = report["targets"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["gateway", "raw loop"]);
    for target in report["targets"].as_array().unwrap() {
        assert_whole(&target["phases"][0]);
    }
    assert!(number(&report["against_raw_loop"]["cpu_per_delivery"]) > 0.0);
    assert!(number(&report["against_raw_loop"]["p99"]) > 0.0);
}

#[test]
fn clients_that_stop_reading_cost_the_others_nothing() {
    let report = found(&["--rate", "50", "--stall-every", "4"]);
    let phases = report["targets"][0]["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| &phase["name"]).collect();
    assert_eq!(names, ["all read", "some stall", "all again"]);
    // So little waits for those who do not read that nothing of it is left out.
    for phase in phases {
        assert_whole_but_expected(phase);
    }
    let each = |at: usize| number(&phases[at]["delivered"]) / number(&phases[at]["seconds"]);
    assert!(each(1) < 0.9 * each(0), "a quarter does not read: {phases:?}");
}

/// What was published while somebody did not read arrives a phase later.
fn assert_whole_but_expected(phase: &Value) {
    let mut phase = phase.clone();
    phase["expected"] = phase["delivered"].clone();
    assert_whole(&phase);
}

#[test]
fn clients_that_read_later_get_all_the_same() {
    for threads in ["1", "2"] {
        let arguments = ["--unread", "300", "--in-flight", "100", "--rounds", "3"];
        let report = found_of_all_time(&arguments, threads);
        let target = &report["targets"][0];
        let phases = target["phases"].as_array().unwrap();
        assert_eq!(phases.len(), 3);
        for phase in phases {
            assert_whole(phase);
            assert_eq!(phase["expected"], 20 * 300, "{phase}");
        }
        assert!(number(&target["median_per_second"]) > 0.0, "{target}");
    }
    // Thirty times what a socket can be given here or anywhere.
    let output = tickgate().args(["bench", "--clients", "2", "--unread", "1000000"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 of 2 clients failed") && said.contains("net.core.rmem_max"), "{said}");
}

/// What a run says that ends by itself, whose clients have so many threads.
fn found_of_all_time(arguments: &[&str], threads: &str) -> Value {
    let common = ["bench", "--json", "--clients", "20", "--warm-up-seconds", "0"];
    let threads = ["--idle-seconds", "0", "--load-threads", threads];
    let output = tickgate().args(common).args(threads).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn clients_come_and_go() {
    let report = found(&["--rate", "50", "--churn", "30"]);
    let phase = &report["targets"][0]["phases"][0];
    assert!(number(&phase["reconnects"]) > 10.0, "{phase}");
    assert_eq!(phase["disconnected"], 0, "{phase}");
    assert_eq!(phase["lost"], Value::Null, "with churn nobody knows");
}

#[test]
fn a_client_asks_again_and_again() {
    let report = found(&["--rate", "50", "--probe-ms", "20"]);
    let phase = &report["targets"][0]["phases"][0];
    assert_whole(phase);
    assert!(number(&phase["answers"]["p50"]) > 0.0, "{phase}");
}

#[test]
fn the_environment_of_a_gateway_is_not_that_of_the_load() {
    let output = tickgate()
        .args(SMALL)
        .args(["0", "--rate", "10"])
        .env("TICKGATE_LIMITS_CLIENTS_MAX", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_makes_no_sense_is_a_mistake_of_usage() {
    for (arguments, expected) in [
        (&["--topics-per-client", "2"][..], "there are 1 topics"),
        (&["--rate=-1"], "a number from 0.01"),
        (&["--rate", "NaN"], "a number from 0.01"),
        (&["--churn", "0", "--rate", "1"], "a number from 0.01"),
        (&["--churn", "1"], "--rate"),
        (&["--bytes", "12"], "a number from 128"),
        (&["--raw-loop", "1", "--rate", "1", "--topics", "2"], "one topic alone"),
        (&["--url", "ws://127.0.0.1:1"], "--bus"),
        (&["--dialect", "nats"], "--url"),
        (&["--url", "wss://127.0.0.1:1", "--bus", "tcp://127.0.0.1:1"], "speaks no TLS"),
        (&["--topics", "1000000"], "5000000 subscriptions"),
        (&["--trimmed", "--topics", "2"], "--trimmed needs one topic alone"),
        (&["--unread", "10"], "--seconds"),
        (&["--unread", "0"], "0 is not in 1..=1000000"),
    ] {
        let (code, said) = refusal(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let (code, said) = refusal(&["--server-cores", "9999"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("9999"), "{said}");
}

/// A server that answers each connection with these bytes and closes it.
#[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
fn refuser(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1_024]);
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_server_that_refuses_is_told_of() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, expected) in [
        (nobody, "refused"),
        (refuser(""), "the server closed the connection"),
        (refuser("HTTP/1.1 429 Too Many Requests\r\n\r\n"), "429 Too Many Requests"),
    ] {
        let url = format!("ws://{address}");
        let (code, said) = refusal(&["--url", &url, "--bus", "tcp://127.0.0.1:1"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("of 20 clients failed"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (code, said) =
        refusal(&["--url", "ws://127.0.0.1:1", "--bus", "tcp://127.0.0.1:1", "--pid", "999999999"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no process 999999999"), "{said}");
}

/// Processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    text.unwrap_or_default().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// A long run, and the gateway that it has started. Ended with the test.
struct Long {
    bench: Child,
    gateway: u32,
}

impl Long {
    fn start() -> Self {
        let bench = tickgate()
            .args(["bench", "--clients", "50", "--rate", "10", "--seconds", "600"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut long = Self { bench, gateway: 0 };
        long.gateway =
            eventually(|| children(long.bench.id()).into_iter().find(|pid| sockets(*pid) > 50));
        long
    }

    fn end(mut self) -> (i32, String) {
        let status = eventually(|| self.bench.try_wait().unwrap());
        let mut said = String::new();
        self.bench.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code().unwrap(), said)
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        let _ = self.bench.kill();
        let _ = self.bench.wait();
    }
}

/// All clients are connected; a moment later they are subscribed, and so is the bus.
fn until_there_are_ticks() {
    std::thread::sleep(Duration::from_secs(2));
}

#[expect(clippy::disallowed_methods, reason = "processes take real time")]
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn whoever_ends_the_load_ends_the_gateway_with_it() {
    for name in ["-INT", "-TERM"] {
        let long = Long::start();
        let gateway = long.gateway;
        signal(long.bench.id(), name);
        let (code, said) = long.end();
        assert_eq!(code, 1, "{said}");
        assert_eq!(said, "tickgate: interrupted\n");
        assert!(!is_alive(gateway), "{name} leaves the gateway behind");
    }
}

#[test]
fn a_gateway_that_dies_ends_the_load() {
    let long = Long::start();
    signal(long.gateway, "-KILL");
    let (code, said) = long.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the gateway has ended"), "{said}");
}

/// A server that somebody else has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_server_is_measured_and_its_end_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = tickgate();
    let spawned = server
        .current_dir(directory.path())
        .env_clear()
        .env("TICKGATE_SERVER_LISTEN", "127.0.0.1:0")
        .env("TICKGATE_ADMIN_LISTEN", "")
        .env("TICKGATE_BUS_BIND", "tcp://127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Running(spawned);
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.take_while(|line| line != "Ctrl-C ends.").collect();
    let word = |scheme: &str| {
        let mut words = said.iter().flat_map(|line| line.split_whitespace());
        words.find(|word| word.starts_with(scheme)).unwrap().trim_end_matches(',').to_owned()
    };
    let (url, bus, pid) = (word("ws://"), word("tcp://"), server.0.id().to_string());
    let arguments = ["--url", &url, "--bus", &bus, "--pid", &pid];

    let report = found(&[&arguments[..], &["--rate", "50"]].concat());
    assert_eq!(report["targets"][0]["name"], "server");
    assert_whole(&report["targets"][0]["phases"][0]);
    assert!(number(&report["targets"][0]["phases"][0]["cpu"]) > 0.0);

    let long = tickgate()
        .args(["bench", "--clients", "50", "--rate", "10", "--seconds", "600"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let long = Long { bench: long, gateway: 0 };
    let process = server.0.id();
    eventually(|| (sockets(process) > 50).then_some(()));
    until_there_are_ticks();
    drop(server);
    let (code, said) = long.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no client is left"), "{said}");
}

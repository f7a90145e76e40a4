//! TLS as its operator meets it: `check`, `serve` with SIGHUP, `tail` with wss://.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::tls_support::{Pair, write_private};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tickgate");

const CONFIG: &str = r#"
server.listen = "127.0.0.1:0"
server.tls_certificate = "certificate.pem"
server.tls_key = "key.pem"
bus.bind = ["tcp://127.0.0.1:0"]
admin.listen = "127.0.0.1:0"
"#;

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command(directory, arguments).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// A gateway that is killed if the test fails.
struct Gateway {
    child: Child,
    url: String,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Gateway {
    fn start(directory: &Path) -> Self {
        let mut command = command(directory, &["serve", "--config", "tickgate.toml"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let line = lines.find(|line| line.trim_start().starts_with("clients")).unwrap();
        let url = line.split_whitespace().nth(1).unwrap().to_owned();
        lines.find(|line| line == "Ctrl-C ends.").unwrap();
        Self { child, url, log }
    }

    fn hang_up(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The next line of the log that holds this.
    fn says(&mut self, what: &str) -> String {
        self.log.by_ref().map(Result::unwrap).find(|line| line.contains(what)).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prepare(pair: &Pair) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tickgate.toml"), CONFIG).unwrap();
    pair.write(directory.path());
    directory
}

#[test]
fn check_reads_the_certificate_and_says_until_when_it_is_good() {
    let directory = prepare(&Pair::new());
    let check = || run(directory.path(), &["check", "tickgate.toml"]);
    let (code, text) = check();
    assert!(text.contains("  clients     wss://127.0.0.1:0\n"), "{text}");
    assert!(text.contains("TLS         certificate good until 2999-01-01T00:00:00Z\n"), "{text}");
    assert_eq!(code, Some(0));

    Pair::expiring(2020).write(directory.path());
    let (code, text) = check();
    assert!(text.contains("good until 2020-01-01T00:00:00Z: it HAS EXPIRED"), "{text}");
    assert_eq!(code, Some(0), "a clock may be wrong");

    write_private(&directory.path().join("key.pem"), &Pair::new().key);
    let (code, text) = check();
    assert_eq!(
        text,
        "tickgate: key.pem (server.tls_key) is not the key of the certificate in certificate.pem \
         (server.tls_certificate)\n"
    );
    assert_eq!(code, Some(2));
    assert_eq!(run(directory.path(), &["serve", "--config", "tickgate.toml"]), (code, text));
}

#[test]
fn a_gateway_takes_a_new_certificate_on_sighup_and_tail_believes_whom_it_is_told_to() {
    let old = Pair::new();
    let directory = prepare(&old);
    std::fs::write(directory.path().join("old.pem"), &old.certificate).unwrap();
    let mut gateway = Gateway::start(directory.path());
    assert!(gateway.url.starts_with("wss://127.0.0.1:"), "{}", gateway.url);
    gateway.says("clients are served over TLS");
    let url = gateway.url.clone();
    let tail = |ca: &[&str]| {
        let arguments = ["tail", "NSE:TCS", "--count", "1", "--timeout-seconds", "20"];
        run(directory.path(), &[&arguments[..], &["--url", &url], ca].concat())
    };
    let (code, text) = tail(&["--ca", "old.pem"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = tail(&[]);
    // This machine believes other authorities, or none.
    assert!(matches!(code, Some(1 | 2)), "{text}");
    assert!(text.contains("--ca FILE"), "{text}");

    write_private(&directory.path().join("key.pem"), "");
    gateway.hang_up();
    let told = gateway.says("certificate");
    assert!(told.contains("ERROR") && told.contains("stays as it was"), "{told}");
    assert_eq!(tail(&["--ca", "old.pem"]).0, Some(0));

    Pair::expiring(2020).write(directory.path());
    gateway.hang_up();
    let told = gateway.says("certificate");
    assert!(told.contains("WARN") && told.contains("has expired"), "{told}");

    let new = Pair::new();
    new.write(directory.path());
    gateway.hang_up();
    gateway.says("clients are served over TLS");
    assert_eq!(tail(&["--ca", "certificate.pem"]).0, Some(0));
    assert_eq!(tail(&["--ca", "old.pem"]).0, Some(1), "it is no longer shown");
}

#[test]
fn tail_says_what_is_wrong_with_its_authorities() {
    let directory = prepare(&Pair::new());
    let tail =
        |arguments: &[&str]| run(directory.path(), &[&["tail", "NSE:TCS"][..], arguments].concat());
    let (code, text) = tail(&["--ca", "certificate.pem"]);
    assert!(text.contains("--ca is for wss:// alone"), "{text}");
    assert_eq!(code, Some(2));
    for (file, why) in [("none.pem", "No such file"), ("key.pem", "no certificate in PEM")] {
        let (code, text) = tail(&["--url", "wss://127.0.0.1:1", "--ca", file]);
        assert!(text.contains(why), "{text}");
        assert_eq!(code, Some(2));
    }
}

//! What tests use as secrets, and what the gateway says in public: for `.ci/secrets`, which looks
//! for the one in the other after a whole run. Does nothing unless `SECRETS_LEDGER` names a
//! directory.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use serde_json::Value;

/// Secrets shorter than this are words that turn up anywhere, as "wrong".
const SECRET_BYTES_MIN: usize = 9;

/// Members of a request that hold secrets.
const MEMBERS: [&str; 3] = ["api_key", "apikey", "token"];

/// A file of this process in the ledger.
fn file(part: &str, name: &str) -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("SECRETS_LEDGER")?).join(part);
    fs::create_dir_all(&directory).unwrap();
    Some(directory.join(format!("{}-{name}", std::process::id())))
}

fn append(path: PathBuf, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(&[bytes, b"\n"].concat()).unwrap();
}

/// Nobody may ever read this in anything that the gateway writes.
pub fn secret(text: &str) {
    if text.len() >= SECRET_BYTES_MIN
        && !text.contains('\n')
        && let Some(path) = file("secrets", "used")
    {
        append(path, text.as_bytes());
    }
}

/// The secrets in a request of a client.
pub fn request(text: &str) {
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        for name in MEMBERS {
            if let Some(value) = members.get(name).and_then(Value::as_str) {
                secret(value);
            }
        }
    }
}

/// The secrets in an upgrade request.
pub fn upgrade(head: &str) {
    let words = head.split(|c: char| c.is_whitespace() || "?&;,".contains(c));
    let mut before = "";
    for word in words.filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("token" | "tickgate_token", value)) => secret(value),
            Some(_) | None if before == "Bearer" => secret(word),
            Some(_) | None => {}
        }
        before = word;
    }
}

/// The gateway has said this to whoever cares to look.
pub fn said(name: &str, text: &str) {
    if let Some(path) = file("said", name) {
        append(path, text.as_bytes());
    }
}

/// A file for the audit log of a gateway.
pub fn audit_file() -> Option<PathBuf> {
    static GATEWAYS: AtomicU64 = AtomicU64::new(0);
    let number = GATEWAYS.fetch_add(1, Ordering::Relaxed);
    file("said", &format!("audit-{number}"))
}

/// From now on whatever this process logs is written down, down to `TRACE`, libraries included.
pub fn log() {
    static ONCE: Once = Once::new();
    let Some(path) = file("said", "log") else { return };
    ONCE.call_once(|| {
        let log = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(Mutex::new(log))
            .finish();
        // A test that listens to the log itself goes on doing so.
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
}

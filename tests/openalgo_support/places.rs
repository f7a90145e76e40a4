//! Where things are that tests start, and where they listen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// An interpreter with pyzmq and the `openalgo` package.
pub fn python() -> PathBuf {
    let made = here("target/venv/bin/python");
    let path = std::env::var_os("INTEROP_PYTHON").map_or(made, PathBuf::from);
    let imports = Command::new(&path).args(["-c", "import zmq, openalgo"]).output();
    let works = imports.is_ok_and(|output| output.status.success());
    assert!(works, "{}: no pyzmq and openalgo; run .ci/tools", path.display());
    path
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

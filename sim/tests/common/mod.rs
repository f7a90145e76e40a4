//! The program, and files for it.

use std::path::PathBuf;
use std::process::{Command, Output};

pub fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tickgate-sim"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("the program can be started")
}

pub fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub fn said(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(both).expect("it speaks UTF-8")
}

/// A scenario file that is removed in the end.
pub struct Scenario(tempfile::TempDir, PathBuf);

impl Scenario {
    pub fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("story.yaml");
        std::fs::write(&path, text).expect("it can be written");
        Self(directory, path)
    }

    pub fn path(&self) -> &str {
        let Self(_directory, path) = self;
        path.to_str().expect("it is UTF-8")
    }
}

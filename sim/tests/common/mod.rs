//! The program.

pub mod scenario;

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

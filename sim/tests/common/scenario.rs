//! A file for the program.

use std::path::PathBuf;

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

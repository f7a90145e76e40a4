//! Recordings on a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::path::Path;

use super::layout::BadRecording;
use super::reader::Reader;

/// Makes a file that its owner alone can read. One that is there already is replaced if `force`
/// says so.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] without `force`, or whatever the operating system says.
pub fn create(path: &Path, force: bool) -> io::Result<File> {
    if force {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Begins to read a file.
///
/// # Errors
///
/// Fails if it cannot be read or is no recording.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, BadRecording> {
    Reader::new(BufReader::new(File::open(path)?))
}

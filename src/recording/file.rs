//! Recordings on a disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::layout::BadRecording;
use super::reader::Reader;

/// A recording in the making.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    /// Where it is until it takes the place of another.
    beside: Option<PathBuf>,
}

/// Makes a file that its owner alone can read. One that is there already is replaced if `force`
/// says so, and stays until [`NewFile::keep`].
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] without `force`, or whatever the operating system says.
pub fn create(path: &Path, force: bool) -> io::Result<(NewFile, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let beside = match options.open(path) {
        Err(error) if force && error.kind() == io::ErrorKind::AlreadyExists => beside(path)?,
        opened => return Ok((NewFile { path: path.to_owned(), beside: None }, opened?)),
    };
    let file = options.open(&beside)?;
    Ok((NewFile { path: path.to_owned(), beside: Some(beside) }, file))
}

/// A name beside that of a file, by which its successor is known until it takes its place.
fn beside(path: &Path) -> io::Result<PathBuf> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

impl NewFile {
    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.beside.as_deref().unwrap_or(&self.path)
    }

    /// It is worth more than the one that was there, and takes its place, if it has not yet.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says; both are there then.
    pub fn keep(&mut self) -> io::Result<()> {
        let Some(beside) = &self.beside else { return Ok(()) };
        fs::rename(beside, &self.path)?;
        self.beside = None;
        Ok(())
    }

    /// It is nothing: it goes, and one that was there stays.
    pub fn discard(self) {
        // If it does not go, nobody takes it for the other.
        let _ = fs::remove_file(self.path());
    }
}

/// Begins to read a file.
///
/// # Errors
///
/// Fails if it cannot be read or is no recording.
pub fn open(path: &Path) -> Result<Reader<BufReader<File>>, BadRecording> {
    Reader::new(BufReader::new(File::open(path)?))
}

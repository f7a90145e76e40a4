//! The file: appended to, and rotated by size and age.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Audit as Config;

/// Bytes of the first line that are looked at to know how old a file is.
const FIRST_LINE_BYTES_MAX: u64 = 65_536;

/// A line that waits for the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// With its newline.
    pub bytes: Vec<u8>,
}

/// The file of an audit log and its older siblings, `name.1` the youngest of them.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    age_ms: u64,
    siblings_max: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    /// Time of the first record in it.
    since_ms: Option<u64>,
}

impl LogFile {
    /// The file at `path`; nothing is opened yet.
    #[must_use]
    pub fn new(path: PathBuf, config: &Config) -> Self {
        Self {
            path,
            bytes_max: config.rotate_bytes_max as u64,
            age_ms: config.rotate_age_ms,
            siblings_max: config.files_max,
            open: None,
        }
    }

    /// Opens the file, as the first write would.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn open(&mut self) -> io::Result<()> {
        self.opened().map(|_| ())
    }

    /// Writes lines and takes out those that are in the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be opened, written or rotated. What is left in `lines` can be tried
    /// again; a line of which only a part was written is ended and written once more as a whole.
    pub fn write(&mut self, lines: &mut VecDeque<Line>) -> io::Result<()> {
        while let Some(first) = lines.front() {
            let (bytes_max, age_ms) = (self.bytes_max, self.age_ms);
            let is_over = |open: &Open, bytes: u64, line: &Line| {
                let is_old = |since: u64| line.unix_ms >= since.saturating_add(age_ms);
                bytes > 0
                    && (bytes + line.bytes.len() as u64 > bytes_max
                        || open.since_ms.is_some_and(is_old))
            };
            let open = self.opened()?;
            if is_over(open, open.bytes, first) {
                self.rotate()?;
                continue;
            }
            open.since_ms.get_or_insert(first.unix_ms);
            let mut block = Vec::new();
            for line in &*lines {
                if is_over(open, open.bytes + block.len() as u64, line) {
                    break;
                }
                block.extend_from_slice(&line.bytes);
            }
            let (written, result) = write_all(&mut open.file, &block);
            open.bytes += written as u64;
            settle(lines, written);
            if result.is_err() {
                // It is opened anew, as it is by then.
                self.open = None;
                return result;
            }
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        // There are more if fewer are kept than were once.
        for number in self.siblings_max + 1.. {
            match std::fs::remove_file(sibling(&self.path, number)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        for number in (1..self.siblings_max).rev() {
            rename(&sibling(&self.path, number), &sibling(&self.path, number + 1))?;
        }
        rename(&self.path, &sibling(&self.path, 1))
    }
}

/// The file that is `number` rotations older than `path`.
#[must_use]
pub fn sibling(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut bytes = file.metadata()?.len();
    if !file.metadata()?.is_file() {
        return Ok(Open { file, bytes: 0, since_ms: None });
    }
    let since_ms = first_time(&mut file)?;
    if bytes > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            // Somebody was cut off in the middle of a line.
            file.write_all(b"\n")?;
            bytes += 1;
        }
    }
    Ok(Open { file, bytes, since_ms })
}

/// When the first record of a file was made; `None` if there is none that can be read.
fn first_time(file: &mut File) -> io::Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Timed {
        unix_ms: u64,
    }
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(file.take(FIRST_LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice::<Timed>(&line).ok().map(|timed| timed.unix_ms))
}

/// Writes a block; how much of it was taken, and how it ended.
fn write_all(file: &mut impl Write, block: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < block.len() {
        match file.write(&block[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Takes out the lines that were written as a whole.
fn settle(lines: &mut VecDeque<Line>, mut written: usize) {
    while let Some(line) = lines.front().filter(|line| line.bytes.len() <= written) {
        written -= line.bytes.len();
        lines.pop_front();
    }
}

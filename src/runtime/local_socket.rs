//! A socket in the file system, for programs of the same user on the same machine.
//!
//! The operating system says who may connect: the socket has mode 0600 from its first moment, since
//! it is made in a directory that nobody else can enter and then moved to its place. It must lie in
//! a directory of ours that nobody else can write to, or somebody could put another one there.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// A connection.
pub type LocalStream = UnixStream;

/// Write permissions of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Why there is no socket. Somebody has to change something before it can be.
#[derive(Debug, thiserror::Error)]
pub enum LocalSocketError {
    /// Somebody else could read or replace what is in the directory.
    #[error("{}: {reason}", .path.display())]
    Unsafe {
        /// The directory, or what is in the socket's place.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process listens there.
    #[error("{}: another gateway listens there", .0.display())]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("{}: {error}", .path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// Its reason.
        error: io::Error,
    },
}

/// A bound socket. It is removed from the file system when this is dropped.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file, so that nobody else's is removed.
    file: (u64, u64),
}

/// The number of the user that this process runs as.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl LocalListener {
    /// Makes the socket. Its directory is made if its parent is there, and nobody else may enter it
    /// then. Call it inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if the directory is not safe, if there is something else in the socket's place, or if
    /// somebody listens there.
    pub fn bind(path: &Path) -> Result<Self, LocalSocketError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(directory, error));
            }
            Ok(()) | Err(_) => {}
        }
        check_directory(directory)?;
        check_place(path)?;
        let private = directory.join(format!(".{}", std::process::id()));
        // A process of this number may have ended in between.
        clear_away(&private);
        DirBuilder::new().mode(0o700).create(&private).map_err(|error| failed(&private, error))?;
        let bound = bind_within(&private, path);
        clear_away(&private);
        bound
    }

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Fails if the operating system has no room for it.
    pub async fn accept(&self) -> io::Result<LocalStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether what lies in a directory is ours alone.
///
/// # Errors
///
/// Fails if it is somebody else's, if others can write to it, or if it cannot be looked at.
pub fn check_directory(directory: &Path) -> Result<(), LocalSocketError> {
    let unsafe_because =
        |reason| Err(LocalSocketError::Unsafe { path: directory.to_owned(), reason });
    let found = fs::symlink_metadata(directory).map_err(|error| failed(directory, error))?;
    if !found.is_dir() {
        return unsafe_because("is no directory");
    }
    if found.uid() != own_user() {
        return unsafe_because("belongs to another user");
    }
    if found.mode() & OTHERS_WRITE != 0 {
        return unsafe_because("others can write to it; take that permission away");
    }
    Ok(())
}

/// What lies in the socket's place already must be a socket on which nobody listens any more.
fn check_place(path: &Path) -> Result<(), LocalSocketError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            // One that listens and does not accept must not hold up the start.
            let full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
            match knock(path) {
                Ok(()) => Err(LocalSocketError::InUse(path.to_owned())),
                Err(error) if full(&error) => Err(LocalSocketError::InUse(path.to_owned())),
                Err(_) => Ok(()),
            }
        }
        Ok(_) => {
            let reason = "is there already and no socket";
            Err(LocalSocketError::Unsafe { path: path.to_owned(), reason })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path, error)),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// What cannot be removed does no harm.
fn clear_away(private: &Path) {
    let _ = fs::remove_file(private.join("s"));
    let _ = fs::remove_dir(private);
}

fn bind_within(private: &Path, path: &Path) -> Result<LocalListener, LocalSocketError> {
    let made = private.join("s");
    let listener = UnixListener::bind(&made).map_err(|error| failed(path, error))?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))
        .map_err(|error| failed(path, error))?;
    let found = fs::symlink_metadata(&made).map_err(|error| failed(path, error))?;
    fs::rename(&made, path).map_err(|error| failed(path, error))?;
    Ok(LocalListener { listener, path: path.to_owned(), file: identity(&found) })
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn failed(path: &Path, error: io::Error) -> LocalSocketError {
    LocalSocketError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        LocalListener::bind(path).expect_err("is refused").to_string()
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run/admin.sock");
        let listener = LocalListener::bind(&path).expect("binds");
        let mode = |path: &Path| fs::metadata(path).expect("is there").mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("one"))), (0o600, 0o700));
        assert!(refused(&path).ends_with("another gateway listens there"));
        let files = fs::read_dir(path.parent().expect("one")).expect("reads").count();
        assert_eq!(files, 1, "nothing else is left there");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_on_which_nobody_listens_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
        let first = LocalListener::bind(&path).expect("binds");
        fs::remove_file(&path).expect("removes");
        let second = LocalListener::bind(&path).expect("binds");
        drop(first);
        assert!(path.exists(), "that was the second one's");
        drop(second);
    }

    #[tokio::test]
    async fn an_unsafe_place_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").expect("writes");
        assert!(refused(&path).ends_with("is there already and no socket"));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "precious");
        let open = directory.path().join("open");
        fs::create_dir(&open).expect("creates");
        for mode in [0o770, 0o702] {
            fs::set_permissions(&open, Permissions::from_mode(mode)).expect("sets");
            let told = refused(&open.join("admin.sock"));
            assert!(told.ends_with("others can write to it; take that permission away"), "{told}");
        }
        let linked = directory.path().join("linked");
        std::os::unix::fs::symlink(directory.path(), &linked).expect("links");
        assert!(refused(&linked.join("admin.sock")).ends_with("is no directory"));
    }
}

//! Where the socket of `tickgate admin` is.

use std::path::{Path, PathBuf};

use crate::runtime::local_socket::own_user;

/// The socket of the gateway whose status page is on this port.
pub(super) fn of_port(port: u16) -> PathBuf {
    within(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref(), own_user(), port)
}

fn within(runtime_directory: Option<&Path>, user: u32, port: u16) -> PathBuf {
    let directory = match runtime_directory.filter(|path| path.is_absolute()) {
        Some(path) => path.join("tickgate"),
        None => PathBuf::from(format!("/tmp/tickgate-{user}")),
    };
    directory.join(format!("admin-{port}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_have_two_sockets() {
        let shown = |directory: Option<&str>, port| {
            within(directory.map(Path::new), 1000, port).display().to_string()
        };
        assert_eq!(shown(Some("/run/user/1000"), 1), "/run/user/1000/tickgate/admin-1.sock");
        assert_eq!(shown(None, 2), "/tmp/tickgate-1000/admin-2.sock");
        assert_eq!(shown(Some(""), 2), "/tmp/tickgate-1000/admin-2.sock");
    }
}

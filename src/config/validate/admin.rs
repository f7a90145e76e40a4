//! What the socket of `tickgate admin` must be.

use std::path::Path;

use super::Findings;
use crate::config::{Admin, SOCKET_AUTO};

/// Bytes of the socket's path. A system takes little more than 100, and the socket is made beside
/// its place and moved there.
const PATH_BYTES_MAX: usize = 90;

impl Findings {
    pub(super) fn admin_socket(&mut self, admin: &Admin) {
        let path = Path::new(&admin.socket);
        let is_path = path.is_absolute() && path.file_name().is_some();
        let fits = admin.socket.len() <= PATH_BYTES_MAX;
        if !admin.socket.is_empty() && admin.socket != SOCKET_AUTO && !(is_path && fits) {
            self.add(
                &["admin.socket"],
                format!(
                    "`admin.socket` must be \"auto\", \"\" or an absolute path of at most \
                     {PATH_BYTES_MAX} bytes, got {:?}",
                    admin.socket
                ),
            );
        }
    }
}

//! What the certificate's files must satisfy before anybody reads them.

use super::Findings;
use crate::config::Server;

impl Findings {
    pub(super) fn tls(&mut self, server: &Server) {
        let files = [
            ("server.tls_certificate", &server.tls_certificate),
            ("server.tls_key", &server.tls_key),
        ];
        for (key, path) in files {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                self.add(&[key], format!("`{key}` is empty; leave it out instead"));
            }
        }
        for [(set, path), (missing, other)] in [files, [files[1], files[0]]] {
            if path.is_some() && other.is_none() {
                self.add(
                    &[set],
                    format!("`{set}` is set and `{missing}` is not; TLS needs both files"),
                );
            }
        }
    }
}

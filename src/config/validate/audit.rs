//! What the audit log must be.

use super::Findings;
use crate::config::Audit;

impl Findings {
    pub(super) fn audit(&mut self, audit: &Audit) {
        if audit.file.as_ref().is_some_and(|path| path.file_name().is_none()) {
            self.add(
                &["audit.file"],
                "`audit.file` names no file; leave it out to have no audit log",
            );
        }
    }
}

//! `tickgate paper-host`: the paper broker as a process of its own.

use super::Failure;
use super::args::PaperHostArgs;

pub(super) fn run(_: &PaperHostArgs) -> Result<(), Failure> {
    Err(Failure::Runtime("this build has no paper host".into()))
}

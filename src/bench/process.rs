//! What the system knows of a process: its time on the processor and its memory. Linux alone.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Nanoseconds that all threads of a process have run so far. Threads that have ended are not
/// counted. `None`: the system does not tell.
pub(super) fn cpu_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(total)
}

/// Bytes of memory that a process holds. `None`: the system does not tell.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1_024)
}

/// Files that a process has open.
pub(super) fn open_files(pid: u32) -> Option<u64> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64)
}

/// Confines this thread, and what it starts from now on, to these cores. None: leaves it as it is.
///
/// # Errors
///
/// Fails if there is no such core.
pub(super) fn confine(cores: &[usize]) -> io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such core"));
        }
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The cores to which this thread is confined.
///
/// # Errors
///
/// Fails if the system does not tell.
pub(super) fn confined() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

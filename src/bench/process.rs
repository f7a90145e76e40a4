//! What the system knows of a process: its time on the processor and its memory. Linux alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long each thread of a process has run.
#[derive(Clone, Debug)]
pub(super) struct CpuTimes(BTreeMap<String, u64>);

impl CpuTimes {
    /// Those of a process so far. `None`: the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        let mut times = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let task = task.ok()?;
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let ns = text.split_whitespace().next()?.parse().ok()?;
            times.insert(task.file_name().to_string_lossy().into_owned(), ns);
        }
        Some(Self(times))
    }

    /// Nanoseconds that all threads have run since. What those did that have ended is not known.
    pub fn ns_since(&self, before: &Self) -> u64 {
        let since = |(thread, ns): (&String, &u64)| {
            ns.saturating_sub(before.0.get(thread).copied().unwrap_or(0))
        };
        self.0.iter().map(since).sum()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn times(threads: &[(&str, u64)]) -> CpuTimes {
        CpuTimes(threads.iter().map(|(thread, ns)| ((*thread).to_owned(), *ns)).collect())
    }

    #[test]
    fn a_thread_that_ends_takes_nothing_from_the_others() {
        let before = times(&[("1", 100), ("2", 5_000)]);
        assert_eq!(times(&[("1", 150), ("3", 7)]).ns_since(&before), 57);
    }

    #[test]
    fn this_process_has_threads_that_run() {
        let own = CpuTimes::of(std::process::id()).unwrap();
        assert!(own.0.values().any(|ns| *ns > 0));
        assert!(CpuTimes::of(u32::MAX).is_none());
    }
}

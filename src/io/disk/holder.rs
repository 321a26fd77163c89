//! Who holds a directory's lock, for the message of a refused open.
//!
//! The kernel lists advisory locks in `/proc/locks` by device and inode, with the process that *took* each.
//! That process may be gone: `flock` belongs to the open description, which forked children share, so a child
//! that lives keeps a dead owner's lock. Everything here is advice for a person; no decision rests on it.
#![expect(unsafe_code, reason = "kill with signal 0 asks whether a process exists")]

use super::sys;
use std::fs;
use std::io;
use std::os::fd::RawFd;

/// How often the kernel's list is read: one that changes between the reads of its parts may lack a lock.
const TRIES: usize = 10;

/// One sentence about who holds the lock of the directory behind `fd`.
pub(super) fn describe(fd: RawFd) -> String {
    let listed = || {
        let (stat, table) = (sys::stat(fd).ok()?, fs::read_to_string("/proc/locks").ok()?);
        Some(takers(&table, &inode_label(&stat)))
    };
    let takers = (0..TRIES).map_while(|_| listed()).find(|takers| !takers.is_empty()).unwrap_or_default();
    sentence(&takers, std::process::id(), is_running, name_of)
}

/// The file's identity as `/proc/locks` writes it.
fn inode_label(stat: &libc::stat) -> String {
    format!("{:02x}:{:02x}:{}", libc::major(stat.st_dev), libc::minor(stat.st_dev), stat.st_ino)
}

/// The processes that took a lock on `inode`; lines of waiters (`->`) do not count.
fn takers(table: &str, inode: &str) -> Vec<u32> {
    let taker = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _advisory, _mode) = (words.next()?, words.next()?, words.next()?);
        let (pid, file) = (words.next()?, words.next()?);
        if kind == "FLOCK" && file == inode { pid.parse().ok() } else { None }
    };
    table.lines().filter_map(taker).collect()
}

fn sentence(
    takers: &[u32],
    own: u32,
    is_running: impl Fn(u32) -> bool,
    name_of: impl Fn(u32) -> Option<String>,
) -> String {
    if takers.contains(&own) {
        return "this process has it open already".to_string();
    }
    if let Some(&pid) = takers.iter().find(|&&pid| is_running(pid)) {
        return match name_of(pid) {
            Some(name) => format!("process {pid} ({name}) has it open"),
            None => format!("process {pid} has it open"),
        };
    }
    match takers.first() {
        Some(pid) => format!(
            "process {pid} that took the lock is gone; a living child that inherited its descriptor may hold it"
        ),
        None => "another handle holds the lock and the system does not say whose; it may be a living child \
                 that inherited the descriptor of a process that is gone"
            .to_string(),
    }
}

/// Whether the process exists and has not ended: one that waits to be reaped holds nothing any more.
fn is_running(pid: u32) -> bool {
    let Ok(id) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 is never delivered; the call only looks the process up.
    if unsafe { libc::kill(id, 0) } == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) {
        return false;
    }
    // `pid (name) state ...`, and the name may hold anything, so the state follows the last parenthesis.
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(line) => !line.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) => true,
    }
}

fn name_of(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1: FLOCK  ADVISORY  WRITE 712 fd:01:131073 0 EOF\n\
                         2: POSIX  ADVISORY  WRITE 713 fd:01:131073 0 EOF\n\
                         3: FLOCK  ADVISORY  READ  714 fd:01:99 0 EOF\n\
                         3: -> FLOCK  ADVISORY  WRITE 715 fd:01:99 0 EOF\n\
                         4: FLOCK  ADVISORY  READ  716 fd:01:99 0 EOF\n";

    #[test]
    fn only_granted_flocks_of_the_inode_count() {
        assert_eq!(takers(TABLE, "fd:01:131073"), [712]);
        assert_eq!(takers(TABLE, "fd:01:99"), [714, 716]);
        assert_eq!(takers(TABLE, "fd:01:1310"), [0_u32; 0]);
    }

    #[test]
    fn a_living_taker_is_named_even_behind_a_dead_one() {
        let text = sentence(&[7, 8], 1, |pid| pid == 8, |_| Some("beam.smp".to_string()));
        assert_eq!(text, "process 8 (beam.smp) has it open");
    }

    #[test]
    fn no_known_taker_still_makes_a_sentence() {
        assert!(sentence(&[], 1, |_| true, |_| None).contains("does not say whose"));
    }

    #[test]
    fn this_process_is_running_and_an_impossible_one_is_not() {
        assert!(is_running(std::process::id()));
        assert!(!is_running(u32::MAX));
    }
}

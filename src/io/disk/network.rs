//! Which file systems are not on this machine.
//!
//! There a mapping is a hazard: another machine may cut the file, and a lost server is SIGBUS in the host
//! instead of an error. FUSE counts as remote, since the kernel does not tell sshfs or an object store from a
//! local driver, and an unneeded `pread` costs time where an unneeded mapping may cost the process. Cluster
//! file systems count as remote for the same reason.
#![expect(unsafe_code, reason = "fstatfs fills a structure through a pointer")]

use super::sys;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// `f_type` of the remote file systems of Linux, the low 32 bits.
const REMOTE_MAGICS: [(u64, &str); 19] = [
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse, virtiofs"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "openafs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncp"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x1983_0326, "beegfs"),
    (0xaad7_aaea, "panfs"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];

/// Whether the open file or directory lies on one of them; also when the system does not say.
pub(super) fn is_remote(fd: RawFd) -> bool {
    let mut stats = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `stats` is room for the structure the call fills.
    if sys::retry(|| unsafe { libc::fstatfs(fd, stats.as_mut_ptr()) }).is_err() {
        return true;
    }
    // SAFETY: the call answered success, so it has filled the whole structure.
    let stats = unsafe { stats.assume_init() };
    // The field's width and sign differ between targets; the magics are 32 bits everywhere.
    is_remote_magic(stats.f_type as u64 & 0xffff_ffff)
}

fn is_remote_magic(magic: u64) -> bool {
    REMOTE_MAGICS.iter().any(|&(remote, _)| remote == magic)
}

#[cfg(test)]
mod tests {
    use super::is_remote_magic;

    #[test]
    fn nfs_smb_and_fuse_are_remote_and_ext4_tmpfs_xfs_btrfs_overlay_are_not() {
        for remote in [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997] {
            assert!(is_remote_magic(remote), "{remote:#x}");
        }
        for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert!(!is_remote_magic(local), "{local:#x}");
        }
    }
}

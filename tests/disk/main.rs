//! The real disk behind `io::env`, against the real kernel.
//!
//! Whatever changes a whole process (umask, limits, signals) happens in a forked child.
#![expect(unsafe_code, reason = "fork, umask, limits and device nodes have no safe interface")]

#[path = "../support/skipped.rs"]
mod skipped;
mod support;

mod descriptors_in_children;
mod directories;
mod files;
mod full_disks;
mod hostile_files;
mod locks;
mod mappings;
mod threads;

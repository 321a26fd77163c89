//! The suites that run the engine on the simulated machine, a module each.
//!
//! They are one program, because each program compiles the engine for that machine anew. `cargo test --test sim crash::`
//! runs one suite. What sets something that is the process's own, as a listener of the log, is a program of its own.

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod beside;
mod checkpoints;
mod compression;
mod crash;
mod damage;
mod delete_range;
mod dictionaries;
mod expiry;
mod fail_every_call;
mod feed_cursors;
mod feeds;
mod merges;
mod model;
mod once_broken;
mod refresh;
mod regressions;
mod regressions_crashed;
mod repair;
mod replicas;
mod scans;
mod verify;
mod writes;

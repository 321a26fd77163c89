//! What is on disk, byte for byte.
//!
//! Three nets for a change of format: every structure against a literal, the worked example of `docs/FORMAT.md`
//! against what the code writes, and a small store against files committed in `tests/fixtures/v1`. The fixtures
//! are never written anew to make a test pass: a library that writes other bytes needs fixtures of its own beside
//! them, and goes on reading these.

mod fixtures;
mod structures;
mod worked_example;

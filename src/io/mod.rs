//! The only door to the operating system: files, clock, randomness, threads.

pub mod disk;
pub mod env;
pub mod patient;
#[doc(hidden)]
pub mod sim;
pub mod whole;

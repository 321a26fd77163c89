//! The one door to locks and atomics.
//!
//! Every other file takes them from here, so that a model checker can put its own in their place.

pub use parking_lot::{Condvar, Mutex, MutexGuard};
pub use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub use std::sync::{Arc, Weak};

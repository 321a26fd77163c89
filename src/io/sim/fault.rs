//! Failing the calls that a test chooses.
//!
//! A plan counts the calls that match it from the moment it is laid, so "the Nth write" means the same in
//! every replay. A fault fires before the call touches the disk, unless the plan says that the work was done
//! and only the answer was an error.

use super::disk::Dirty;
use crate::sync::Arc;

/// The kinds of calls that can be counted and failed. `Lock` stands for locking and unlocking; `now_ns`,
/// `process_token` and `map` cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is named after the call")]
pub enum Call {
    OpenDir,
    Lock,
    Names,
    Open,
    Create,
    Link,
    Rename,
    Remove,
    SyncDir,
    Len,
    Read,
    Write,
    Truncate,
    SyncData,
    Random,
    Spawn,
}

impl Call {
    /// How many kinds there are.
    pub const COUNT: usize = Call::Spawn as usize + 1;

    /// All kinds.
    pub const ALL: [Call; Call::COUNT] = [
        Call::OpenDir,
        Call::Lock,
        Call::Names,
        Call::Open,
        Call::Create,
        Call::Link,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
        Call::Len,
        Call::Read,
        Call::Write,
        Call::Truncate,
        Call::SyncData,
        Call::Random,
        Call::Spawn,
    ];

    /// The kinds that change the disk or make changes durable.
    pub const CHANGING: [Call; 8] = [
        Call::Create,
        Call::Link,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
        Call::Write,
        Call::Truncate,
        Call::SyncData,
    ];
}

/// Which call fails and how.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    nth: u64,
    calls: u32,
    name_part: Option<Arc<str>>,
    errno: i32,
    sticky: bool,
    short_bytes: Option<usize>,
    then_error: bool,
    done: bool,
    dirty: Dirty,
}

impl FaultPlan {
    /// Fails the `nth` call of any kind with `EIO`, once. The first call is 1.
    pub fn nth(nth: u64) -> Self {
        assert!(nth > 0, "calls are counted from 1");
        FaultPlan {
            nth,
            calls: u32::MAX,
            name_part: None,
            errno: libc::EIO,
            sticky: false,
            short_bytes: None,
            then_error: false,
            done: false,
            dirty: Dirty::Dropped,
        }
    }

    /// Counts and fails these kinds of calls only.
    #[must_use]
    pub fn only(mut self, calls: &[Call]) -> Self {
        self.calls = calls.iter().fold(0, |set, call| set | 1 << *call as u8);
        self
    }

    /// Counts and fails calls only on files whose name contains `part`. Calls without a file never match.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        self.name_part = Some(part.into());
        self
    }

    /// The error to answer.
    #[must_use]
    pub fn errno(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }

    /// Fails the nth call and every matching one after it, until [`crate::io::sim::Sim::clear_faults`].
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// Reads and writes transfer only this many bytes and answer OK; other calls fail as usual.
    #[must_use]
    pub fn short(mut self, bytes: usize) -> Self {
        self.short_bytes = Some(bytes);
        self
    }

    /// After a short transfer the next matching call fails with the error.
    #[must_use]
    pub fn then_error(mut self) -> Self {
        self.then_error = true;
        self
    }

    /// The call does its work in full and yet answers the error.
    #[must_use]
    pub fn done_anyway(mut self) -> Self {
        self.done = true;
        self
    }

    /// What becomes of the unsynced changes when the failed call is a sync.
    #[must_use]
    pub fn dirty(mut self, dirty: Dirty) -> Self {
        self.dirty = dirty;
        self
    }
}

/// What is to happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing out of the ordinary.
    Pass,
    /// Transfer at most so many bytes.
    Short(usize),
    /// Answer the error; `done` when the work is done all the same.
    Fail { errno: i32, done: bool, dirty: Dirty },
}

struct Laid {
    plan: FaultPlan,
    matched: u64,
}

impl Laid {
    fn judge(&mut self, call: Call, name: Option<&str>) -> Verdict {
        let plan = &self.plan;
        let kind_matches = plan.calls & 1 << call as u8 != 0;
        let name_matches =
            plan.name_part.as_deref().is_none_or(|part| name.is_some_and(|name| name.contains(part)));
        if !kind_matches || !name_matches {
            return Verdict::Pass;
        }
        self.matched += 1;
        let fail = Verdict::Fail { errno: plan.errno, done: plan.done, dirty: plan.dirty };
        let transfers = matches!(call, Call::Read | Call::Write);
        match plan.short_bytes {
            Some(bytes) if transfers && self.matched == plan.nth => Verdict::Short(bytes),
            Some(_) if plan.then_error && self.matched == plan.nth + 1 => fail,
            Some(_) if plan.then_error && plan.sticky && self.matched > plan.nth => fail,
            Some(bytes) if transfers && plan.sticky && self.matched > plan.nth => Verdict::Short(bytes),
            Some(_) if transfers => Verdict::Pass,
            _ if self.matched == plan.nth || plan.sticky && self.matched > plan.nth => fail,
            _ => Verdict::Pass,
        }
    }
}

/// The plans that are laid.
#[derive(Default)]
pub(super) struct Faults {
    plans: Vec<Laid>,
    fired: u64,
}

impl Faults {
    pub(super) fn lay(&mut self, plan: FaultPlan) {
        self.plans.push(Laid { plan, matched: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.plans.clear();
    }

    /// How many calls were failed or shortened by plans.
    pub(super) fn fired(&self) -> u64 {
        self.fired
    }

    /// Every plan counts the call; the first that has something to say decides.
    pub(super) fn judge(&mut self, call: Call, name: Option<&str>) -> Verdict {
        let mut verdict = Verdict::Pass;
        for laid in &mut self.plans {
            let said = laid.judge(call, name);
            if verdict == Verdict::Pass {
                verdict = said;
            }
        }
        self.fired += u64::from(verdict != Verdict::Pass);
        verdict
    }
}

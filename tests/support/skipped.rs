//! How a test says that it cannot run here.

use std::io::Write;

/// Says why the test of this thread is skipped. Straight to stderr, past the test harness, which shows nothing of
/// what a passing test prints.
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "skipped: {test}: {reason}").expect("stderr can be written");
}

#!/bin/sh
# Everything that must hold before a change is taken, in the order of cost. Goes on after a failure, so that one
# run tells all; ends non-zero when anything failed. The last line is "N passed, N failed": each step without
# tests of its own counts as one, each test of `cargo test` as one.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${CARGO:=cargo}"
export CARGO

# Here a test whose tool is missing fails instead of being skipped.
export CI="${CI:-true}"

passed=0
failed=0
failures=
log=$(mktemp) || exit 1
trap 'rm -f "$log" "$log.status"' EXIT
trap 'exit 1' HUP INT TERM

finish() {
    if [ "$failed" -gt 0 ]; then
        printf '\nfailed:\n%s' "$failures"
    fi
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}
fail() {
    failed=$((failed + $1))
    failures="$failures  $2
"
}

# step NAME COMMAND...: the command's success is one claim.
step() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        fail 1 "$name"
    fi
}

# tests NAME COMMAND...: the command's tests are counted by the closing lines of its test programs.
tests() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    { "$@" 2>&1; echo $? >"$log.status"; } | tee "$log"
    status=$(cat "$log.status")
    # Failed tests are named once a program, below its second "failures:".
    eval "$(awk '
        /^test result: / {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^passed/) p += $i
                if ($(i + 1) ~ /^failed/) f += $i
            }
        }
        END { printf "p=%d f=%d\n", p, f }' "$log")"
    passed=$((passed + p))
    if [ "$f" -gt 0 ]; then
        fail "$f" "$name: $(awk '/^test .* \.\.\. FAILED/ { printf "%s%s", sep, $2; sep = ", " }' "$log")"
    elif [ "$status" -ne 0 ]; then
        fail 1 "$name (ended with $status and no failed test: did it compile?)"
    fi
    # A test program that died names no result at all.
    if [ "$p" -eq 0 ] && [ "$f" -eq 0 ] && [ "$status" -eq 0 ]; then
        fail 1 "$name (ran no test)"
    fi
    if grep -q '^skipped: ' "$log"; then
        fail 1 "$name (skipped something)"
    fi
}

echo '== tools'
if ! sh tools/rust.sh; then
    fail 1 "rust"
    finish
fi
if [ "$(id -u)" -eq 0 ] && ! [ -t 0 ]; then
    sh tools/deps.sh || { fail 1 "tools"; finish; }
else
    sh tools/deps.sh --check || {
        echo "error: run 'make deps' as root, or install these by hand" >&2
        fail 1 "tools"
        finish
    }
fi

step 'formatting' "$CARGO" fmt --check
step 'lints' "$CARGO" clippy --all-targets -- -D warnings
step 'documentation' env RUSTDOCFLAGS='-D warnings' "$CARGO" doc --no-deps --quiet
tests 'imports only fall' "$CARGO" test --test layering
# The rest of the tests, the header's drift among them; packages and other languages have lines of their own,
# since they build and install the release libraries.
tests 'library and C face' sh tools/cargo-tests.sh
tests 'packages' "$CARGO" test --no-fail-fast --test packages
tests 'other languages' "$CARGO" test --no-fail-fast --test languages
step 'demo' env MAKEFLAGS= "${MAKE:-make}" demo

finish

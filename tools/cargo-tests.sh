#!/bin/sh
# `cargo test` of everything but the suites that tools/test.sh runs under a name of their own.
set -eu
cd "$(dirname "$0")/.."

set -- --lib --examples
for file in tests/*.rs tests/*/main.rs; do
    name=${file#tests/}
    name=${name%/main.rs}
    name=${name%.rs}
    case $name in
        layering | packages | languages) ;;
        *) set -- "$@" --test "$name" ;;
    esac
done
status=0
"$CARGO" test --no-fail-fast "$@" || status=$?
"$CARGO" test --no-fail-fast --doc || status=$?
exit "$status"

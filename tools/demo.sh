#!/bin/sh
# Compiles examples-c/packages.c against build/lib with the plain C compiler and runs it.
#
# From the environment: DEMO_FILE, a JSON Lines file (default: the one in examples-c/data); DEMO_KEY, the JSON
# pointer of the key (default /name); DEMO_SHOW, pointers of fields to print samples of, separated by blanks;
# DEMO_ARGS, more arguments for the program. With --compile it is compiled only.
set -eu
cd "$(dirname "$0")/.."

if ! command -v "${CC:=cc}" >/dev/null 2>&1; then
    echo "error: no C compiler: '$CC' was not found (Debian: apt-get install gcc libc6-dev)" >&2
    exit 1
fi

# $ORIGIN is the loader's: the program finds the library beside itself, wherever the tree is.
# shellcheck disable=SC2016,SC2086
"$CC" -std=c11 ${CFLAGS:--O2 -g} -Wall -Wextra -pedantic -Iinclude examples-c/packages.c -o build/packages \
    -Lbuild/lib -lbitcask -Wl,-rpath,'$ORIGIN/lib'

if [ "${1:-}" = --compile ]; then
    exit 0
fi
if [ -z "${DEMO_FILE:-}" ]; then
    DEMO_FILE=examples-c/data/debian-packages.jsonl
    : "${DEMO_SHOW:=/version /section /summary}"
fi
case $DEMO_FILE in
    -*) DEMO_FILE=./$DEMO_FILE ;;
esac
set -- --key "${DEMO_KEY:-/name}"
for pointer in ${DEMO_SHOW:-}; do
    set -- "$@" --show "$pointer"
done
# shellcheck disable=SC2086
exec build/packages ${DEMO_ARGS:-} "$@" "$DEMO_FILE"

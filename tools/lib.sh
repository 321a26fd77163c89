#!/bin/sh
# Builds the release libraries into build/lib, under the names they are installed by:
#
#   libbitcask.so.1.0.0, libbitcask.so.1, libbitcask.so     the shared library and its links
#   libbitcask.a                                            the static library
#   static-libs                                             what a program linking libbitcask.a needs besides
#
# One `cargo rustc` per kind: building both at once silently loses link-time optimisation. Where cargo puts an
# artifact depends on CARGO_TARGET_DIR, CARGO_BUILD_TARGET and configuration files, so cargo is asked.
set -eu
cd "$(dirname "$0")/.."
: "${CARGO:=cargo}"

version=$(sed -n 's/^version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
major=${version%%.*}

# `sudo make install` often runs without the user's cargo: what `make` built before is then good.
if ! command -v "$CARGO" >/dev/null 2>&1 && [ -f build/lib/static-libs ]; then
    echo "$CARGO was not found: taking the libraries that are in build/lib" >&2
    exit 0
fi
sh tools/rust.sh

mkdir -p build/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# build KIND SUFFIX [rustc arguments]: the path of the artifact, on stdout.
build() {
    kind=$1 suffix=$2
    shift 2
    "$CARGO" rustc --release --lib --crate-type "$kind" --message-format=json-render-diagnostics -- "$@" \
        >"$work/messages" || return 1
    # The artifact's line is the last that names a file with this suffix; JSON escapes are undone for \ and ".
    path=$(sed -n 's/.*"reason":"compiler-artifact".*"filenames":\["\(\([^"\\]\|\\.\)*\.'"$suffix"'\)".*/\1/p' \
        "$work/messages" | tail -n 1 | sed 's/\\\(["\\]\)/\1/g')
    if [ ! -f "$path" ]; then
        echo "error: cargo named no .$suffix for crate type $kind" >&2
        return 1
    fi
    printf '%s\n' "$path"
}

# put FILE NAME: copied beside its place, then renamed, so that neither a program that runs from it nor another run of
# this script is disturbed.
put() {
    if ! cmp -s "$1" "build/lib/$2"; then
        cp "$1" "build/lib/$2.new.$$"
        mv "build/lib/$2.new.$$" "build/lib/$2"
    fi
}

echo "building the shared library (release)"
shared=$(build cdylib so)
put "$shared" "libbitcask.so.$version"
ln -sf "libbitcask.so.$version" "build/lib/libbitcask.so.$major"
ln -sf "libbitcask.so.$major" build/lib/libbitcask.so

echo "building the static library (release)"
# The list comes as a note on stderr, which cargo repeats when there was nothing to build.
if ! static=$(build staticlib a --print native-static-libs 2>"$work/notes"); then
    cat "$work/notes" >&2
    exit 1
fi
sh tools/private-symbols.sh "$static" "$work/libbitcask.a"
put "$work/libbitcask.a" libbitcask.a

# The compiler driver adds libc and libgcc_s itself, and the latter has no static form, so `cc -static` could
# not link with them named.
libs=$(sed -n 's/.*native-static-libs: *//p' "$work/notes" | tail -n 1 |
    awk '{ for (i = 1; i <= NF; i++) if ($i != "-lc" && $i != "-lgcc_s" && !seen[$i]++) out = out " " $i }
         END { print substr(out, 2) }')
if [ -z "$libs" ]; then
    echo "error: rustc did not say which native libraries libbitcask.a needs" >&2
    exit 1
fi
printf '%s\n' "$libs" >"$work/static-libs"
put "$work/static-libs" static-libs

echo "build/lib: libbitcask.so.$version, libbitcask.a; header: include/bitcask.h"

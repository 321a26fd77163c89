#!/bin/sh
# Names the tools that the tests use and `command -v` does not find; then, as root on Debian, installs them.
#
#   tools/deps.sh            print, install, look again
#   tools/deps.sh --check    print only; non-zero when something is missing
#
# Rust is not among them: Debian's is too old, see tools/rust.sh.
set -eu

# missing: one "command package" a line. Headers are looked for by preprocessing a file that includes one.
missing() {
    while read -r tool package; do
        command -v "$tool" >/dev/null 2>&1 || printf '%s %s\n' "$tool" "$package"
    done <<'LIST'
cc gcc
g++ g++
clang clang
clang++ clang
make make
cmake cmake
pkg-config pkg-config
readelf binutils
objcopy binutils
valgrind valgrind
strace strace
mkfs.ext4 e2fsprogs
mount mount
python3 python3
node nodejs
ruby ruby
go golang-go
LIST
    if command -v cc >/dev/null 2>&1; then
        while read -r header package; do
            echo "#include <$header>" | cc -E -x c - >/dev/null 2>&1 || printf '%s %s\n' "$header" "$package"
        done <<'LIST'
stdio.h libc6-dev
zdict.h libzstd-dev
LIST
    fi
    # A Node from elsewhere brings its npm, and Debian's would conflict with it: Debian's npm is for Debian's
    # node, or for no node at all.
    if ! command -v npm >/dev/null 2>&1; then
        if command -v node >/dev/null 2>&1 && ! dpkg -S "$(readlink -f "$(command -v node)")" >/dev/null 2>&1; then
            echo 'npm -'
        else
            echo 'npm npm'
        fi
    fi
    # gcc without its headers is of no use, and they come apart where recommended packages are not installed.
    command -v cc >/dev/null 2>&1 || printf '%s\n' 'stdio.h libc6-dev' 'zdict.h libzstd-dev'
}

lacking=$(missing)
if [ -z "$lacking" ]; then
    echo "deps: every tool is there"
    exit 0
fi
echo "deps: missing: $(printf '%s\n' "$lacking" | awk '{ printf "%s%s", sep, $1; sep = ", " }')"
if [ "${1:-}" = --check ]; then
    exit 1
fi

if printf '%s\n' "$lacking" | grep -q '^npm -$'; then
    echo "error: this node is not Debian's and has no npm: install npm the way node was installed" >&2
    exit 1
fi
packages=$(printf '%s\n' "$lacking" | awk '{ printf "%s%s", sep, $2; sep = " " }')
if ! command -v apt-get >/dev/null 2>&1 || ! grep -Eq '^ID(_LIKE)?=.*debian' /etc/os-release 2>/dev/null; then
    echo "error: this is no Debian: install these by hand (Debian's names: $packages)" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "error: not root: run 'sudo apt-get install $packages'" >&2
    exit 1
fi
echo "deps: apt-get install $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# Unquoted on purpose: a list of package names.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $packages

lacking=$(missing)
if [ -n "$lacking" ]; then
    echo "error: still missing: $(printf '%s\n' "$lacking" | awk '{ printf "%s%s", sep, $1; sep = ", " }')" >&2
    exit 1
fi

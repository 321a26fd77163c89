#!/bin/sh
# Ends non-zero, saying what to do, unless a cargo is there that is new enough for Cargo.toml's rust-version.
set -eu
cd "$(dirname "$0")/.."

need=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
advice="Install Rust $need or newer with rustup (https://rustup.rs), then run 'rustup default stable'."

if ! command -v "${CARGO:=cargo}" >/dev/null 2>&1; then
    echo "error: '$CARGO' was not found. $advice" >&2
    exit 1
fi

have=$("$CARGO" --version | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
# 1.95 -> 1095: the shell compares integers only.
number() { echo "$1" | awk -F. '{ print $1 * 1000 + $2 }'; }
if [ "$(number "${have:-0.0}")" -lt "$(number "$need")" ]; then
    echo "error: this cargo is ${have:-of an unknown version}; bitcask needs $need. $advice" >&2
    exit 1
fi

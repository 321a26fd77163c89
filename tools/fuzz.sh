#!/bin/sh
# Runs every target of fuzz/ under libFuzzer with AddressSanitizer, one after another. Ends at the first failure; the
# input is then in fuzz/artifacts, and belongs in fuzz/seeds once its fault is mended.
#
#   FUZZ_SECONDS    how long each target runs (30)
#   FUZZ_TARGETS    which ones (all)
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CARGO:=cargo}"
: "${FUZZ_SECONDS:=30}"

case $FUZZ_SECONDS in
    '' | *[!0-9]*)
        echo "error: SECONDS=$FUZZ_SECONDS is not a number of seconds" >&2
        exit 2
        ;;
esac
sh tools/rust.sh || exit 2
if ! "$CARGO" fuzz --version >/dev/null 2>&1; then
    echo "error: there is no cargo-fuzz. Get it with: cargo install --locked cargo-fuzz" >&2
    exit 2
fi

# Its flags are those of a nightly compiler; a stable one takes them too, if it is told to.
export RUSTC_BOOTSTRAP=1
for program in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$program" .rs)
    case " ${FUZZ_TARGETS:-$target} " in
        *" $target "*) ;;
        *) continue ;;
    esac
    echo "== $target, $FUZZ_SECONDS s"
    mkdir -p "fuzz/corpus/$target"
    "$CARGO" fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$FUZZ_SECONDS" \
        -max_len=2000 -print_final_stats=1 || exit 1
done
echo "every target ran for $FUZZ_SECONDS s without a failure"

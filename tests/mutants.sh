#!/bin/sh
# Seeds known bugs into a copy of the engine, one at a time, and expects the suite named in the patch to go red.
#
#   tests/mutants.sh            all patches of tests/mutants
#   tests/mutants.sh NAME...    these alone
#
# A mutant that survives, a patch that no longer applies and a mutant that does not compile all fail the run. The
# copy and its build stay in target/mutants (or $MUTANTS_DIR), so that a second run is quicker.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
work=${MUTANTS_DIR:-$root/target/mutants}
tree=$work/tree
log=$work/log
command -v patch >/dev/null || { echo "skipped: there is no patch command"; exit 3; }
rm -rf "$tree"
mkdir -p "$tree" || exit 2
git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$tree" || exit 2
export CARGO_TARGET_DIR="$work/build"
cd "$tree" || exit 2

# The arguments of `cargo test` for a suite: a module of tests/sim, or a program.
chosen() {
    if [ -f "$root/tests/sim/$1.rs" ]; then echo "--test sim $1::"; else echo "--test $1"; fi
}

patches=$root/tests/mutants/*.patch
[ $# -gt 0 ] && patches=$(printf "$root/tests/mutants/%s.patch " "$@")
suites=$(sed -n 's/^suite: //p' $patches | sort -u)

echo "without a mutant: $(echo $suites)"
for suite in $suites; do
    cargo test --quiet $(chosen "$suite") >"$log" 2>&1 || { tail -40 "$log"; exit 1; }
done

failed=0
for patch in $patches; do
    name=$(basename "$patch" .patch)
    suite=$(sed -n 's/^suite: //p' "$patch")
    if ! patch -p1 -s -F3 --no-backup-if-mismatch <"$patch" >"$log" 2>&1; then
        echo "$name: the patch does not apply"; failed=1
        rm -rf src && cp -r "$root/src" . && continue
    fi
    if ! cargo test --quiet $(chosen "$suite") --no-run >"$log" 2>&1; then
        echo "$name: does not compile"; grep -m3 '^error' "$log"; failed=1
    elif timeout 600 cargo test --quiet $(chosen "$suite") >"$log" 2>&1; then
        echo "$name: SURVIVED $suite"; failed=1
    else
        echo "$name: caught by $suite: $(grep -A1 -m1 'panicked at' "$log" | tail -1 | cut -c1-150)"
    fi
    patch -p1 -s -R -F3 --no-backup-if-mismatch <"$patch" || exit 2
done
exit $failed

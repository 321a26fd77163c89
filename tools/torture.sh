#!/bin/sh
# The long test run: round after round of the suites that draw what they do from a seed, until the time is over.
# The last round is finished, so that even the shortest run has had every suite. Ends at the first failure, with the
# command that reproduces it.
#
#   SEED     the first round's seed (random); the seeds that later rounds print will do as well
#   HOURS    how long (1); 0.01 will do
set -u
cd "$(dirname "$0")/.." || exit 2
: "${CARGO:=cargo}"

# Seeds that one round uses up: a round's suites take theirs from its own seed on.
stride=1000
cut_loop=power_cuts::what_a_shut_down_ext4_keeps_is_a_prefix_no_shorter_than_the_last_sync
kill_loop=kills::no_acknowledged_write_is_lost_by_kill_9

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
case $seed in
    # So short that neither the shell nor a suite gets to the end of its integers; 010 would be octal.
    '' | *[!0-9]* | 0?* | ????????????????*)
        echo "error: SEED=$seed is not a decimal number of at most 15 digits" >&2
        exit 2
        ;;
esac
seconds=$(echo "${HOURS:=1}" | awk '/^([0-9]+[.]?[0-9]*|[.][0-9]+)$/ { printf "%d", $1 * 3600 }')
if [ "${seconds:-0}" -eq 0 ]; then
    echo "error: HOURS=$HOURS is not a number of hours" >&2
    exit 2
fi

sh tools/rust.sh || exit 2
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
trap 'exit 130' HUP INT TERM

# run "NAME=VALUE ..." "ARGUMENTS OF cargo test": one suite of the round.
run() {
    began=$(date +%s)
    # Words by intent: neither list has a space or a pattern within a word.
    # shellcheck disable=SC2086
    if env $1 "$CARGO" test --quiet $2 --nocapture >"$log" 2>&1 &&
        # A filter that no test answers to passes as well.
        grep -q '^test result: ok\. [1-9]' "$log"; then
        echo "  ok, $(($(date +%s) - began)) s: $1 $2"
        return 0
    fi
    cat "$log"
    echo
    echo "failed in round $round, seed $seed. To see it again:"
    echo "  $1 $CARGO test $2 --nocapture"
    exit 1
}

echo "SEED=$seed HOURS=$HOURS"
"$CARGO" test --quiet --no-run --test sim --test fuzz --test real_disk || exit 2
end=$(($(date +%s) + seconds))
round=1
while [ "$(date +%s)" -lt "$end" ]; do
    echo "round $round, seed $seed"
    run "BITCASK_CRASH_FIRST_SEED=$seed BITCASK_CRASH_SEEDS=20" "--test sim crash:: --"
    run "BITCASK_FAULT_FIRST_HISTORY=$seed BITCASK_FAULT_HISTORIES=2" "--test sim fail_every_call:: --"
    run "BITCASK_MODEL_SEED=$seed BITCASK_MODEL_CASES=4000" "--test sim model:: --"
    run "BITCASK_DAMAGE_SEED=$seed" "--test sim damage:: --"
    run "BITCASK_KILL_SEED=$seed BITCASK_KILL_ROUNDS=50" "--test real_disk -- --exact $kill_loop"
    run "BITCASK_POWER_CUT_SEED=$seed BITCASK_POWER_CUTS=100" "--test real_disk -- --exact $cut_loop"
    run "BITCASK_FUZZ_SEED=$seed" "--test fuzz --"
    round=$((round + 1))
    seed=$((seed + stride))
done
echo "rounds without a failure: $((round - 1))"

#!/usr/bin/env bash
# Replays every input in fuzz/seeds/ with the fuzz targets as built (KELVIN_BUILD, default build): a target without
# seeds, seeds without a target, or one that crashes fails. fuzz/README.md says how to fuzz.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
build=${KELVIN_BUILD:-build}
count=0

report() {
    count=$((count + 1))
    echo "$1 $count - $2"
}

for source in fuzz/*.c; do
    name=$(basename "$source" .c)
    log=$(mktemp)
    if [ ! -d "fuzz/seeds/$name" ]; then
        report 'not ok' "$name has seeds"
    elif "$build/fuzz/fuzz_$name" "fuzz/seeds/$name" >"$log" 2>&1; then
        report ok "$name: $(grep -c '^# fuzz/' "$log") inputs"
    else
        report 'not ok' "$name"
        tail -30 "$log" | sed 's/^/# /'
    fi
    rm -f "$log"
done
for seeds in fuzz/seeds/*/; do
    name=$(basename "$seeds")
    [ -e "fuzz/$name.c" ] || report 'not ok' "$seeds has a target"
done
echo "1..$count"

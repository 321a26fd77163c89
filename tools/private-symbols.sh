#!/bin/sh
# tools/private-symbols.sh FROM TO: copies a static library and gives what its C parts, Zstandard's, define names of
# its own. A program may then link another Zstandard beside it, in any order, and each gets the one it was built for.
#
# What rustc made keeps its names, and so do the compiler's own helpers, which begin with two underscores. NM and
# OBJCOPY name other tools, for cross builds.
set -eu
from=$1 to=$2
: "${NM:=nm}"
: "${OBJCOPY:=objcopy}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# A line is "ARCHIVE:MEMBER:ADDRESS KIND NAME". Of members without symbols nm complains, which is of no interest.
"$NM" -A -g --defined-only "$from" 2>"$work/complaints" >"$work/symbols" || {
    cat "$work/complaints" >&2
    exit 1
}
awk 'NF == 3 && $1 !~ /\.rcgu\.o:[0-9a-f]*$/ && $3 !~ /^(__|bitcask_)/ { print $3, "bitcask_private_" $3 }' \
    "$work/symbols" | sort -u >"$work/names"
if ! grep -q '^ZSTD_compress2 ' "$work/names"; then
    echo "error: no Zstandard was found in $from" >&2
    exit 1
fi
"$OBJCOPY" -D --redefine-syms="$work/names" "$from" "$work/library"
mv "$work/library" "$to"

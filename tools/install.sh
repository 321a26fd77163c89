#!/bin/sh
# Installs what tools/lib.sh built, or with --uninstall removes what was installed.
#
# From the environment: PREFIX, LIBDIR, INCLUDEDIR, DOCDIR (absolute), DESTDIR (put in front of each of them
# while copying, never written into a file). The CMake package and bitcask.pc find the tree from their own
# place, so it may be moved as a whole, unless LIBDIR or INCLUDEDIR lies outside PREFIX.
set -eu
cd "$(dirname "$0")/.."

: "${PREFIX:=/usr/local}"
: "${LIBDIR:=$PREFIX/lib}"
: "${INCLUDEDIR:=$PREFIX/include}"
: "${DOCDIR:=$PREFIX/share/doc/bitcask}"
: "${DESTDIR:=}"

# plain NAME: its value without doubled or trailing slashes; it must be absolute and one line.
plain() {
    eval "value=\$$1"
    case $value in
        /*) ;;
        *) echo "error: $1 must be an absolute path, not '$value'" >&2; exit 1 ;;
    esac
    case $value in
        *'"'* | *'\'* | *'$'* | *';'* | *'
'*) echo "error: $1 holds a character that CMake or pkg-config cannot quote: '$value'" >&2; exit 1 ;;
    esac
    printf '%s\n' "$value" | sed 's://*:/:g; s:\(.\)/$:\1:'
}
PREFIX=$(plain PREFIX)
LIBDIR=$(plain LIBDIR)
INCLUDEDIR=$(plain INCLUDEDIR)
DOCDIR=$(plain DOCDIR)

version=$(sed -n 's/^version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
major=${version%%.*}
shared=libbitcask.so.$version
cmakedir=$LIBDIR/cmake/bitcask
pcdir=$LIBDIR/pkgconfig
# Below DOCDIR they lie as in the source tree, so that the links from one to another lead somewhere.
documents="README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE $(echo docs/*.md)"

if [ "${1:-}" = --uninstall ]; then
    for file in "$LIBDIR/$shared" "$LIBDIR/libbitcask.so.$major" "$LIBDIR/libbitcask.so" "$LIBDIR/libbitcask.a" \
        "$INCLUDEDIR/bitcask.h" "$pcdir/bitcask.pc"; do
        rm -f "$DESTDIR$file"
    done
    rm -rf "$DESTDIR$cmakedir"
    for file in $documents; do
        rm -f "$DESTDIR$DOCDIR/$file"
    done
    # DOCDIR may be one that others use too: it goes when nothing is left in it.
    rmdir "$DESTDIR$DOCDIR/docs" "$DESTDIR$DOCDIR" 2>/dev/null || :
    echo "removed bitcask $version from $DESTDIR$PREFIX"
    exit 0
fi

# below DIR: DIR's path under PREFIX, or nothing when it is not below it.
below() {
    case $1 in
        "${PREFIX%/}"/*) printf '%s\n' "${1#"${PREFIX%/}"/}" ;;
    esac
}
# up PATH: one ".." for each of its components.
up() { printf '%s\n' "$1" | sed 's:[^/][^/]*:..:g'; }

lib_below=$(below "$LIBDIR")
if [ -n "$lib_below" ]; then
    cmake_prefix="\${_bitcask_here}/$(up "$lib_below/cmake/bitcask")"
    pc_prefix="\${pcfiledir}/$(up "$lib_below/pkgconfig")"
    cmake_lib="\${_bitcask_prefix}/$lib_below"
    pc_lib="\${prefix}/$lib_below"
else
    cmake_prefix=$PREFIX pc_prefix=$PREFIX cmake_lib=$LIBDIR pc_lib=$LIBDIR
fi
include_below=$(below "$INCLUDEDIR")
if [ -n "$include_below" ]; then
    cmake_include="\${_bitcask_prefix}/$include_below" pc_include="\${prefix}/$include_below"
else
    cmake_include=$INCLUDEDIR pc_include=$INCLUDEDIR
fi
static_libs=$(cat build/lib/static-libs)

# blanks PATH: with its blanks escaped, as pkg-config does it for ${pcfiledir} of its own accord.
blanks() { printf '%s\n' "$1" | sed 's/ /\\ /g'; }

# fill TEMPLATE TARGET: each @NAME@ replaced. Values reach awk by the environment, where nothing is an escape.
fill() {
    VERSION=$version MAJOR=$major SHARED=$shared STATIC_LIBS=$static_libs \
        CMAKE_STATIC_LIBS=$(printf '%s\n' "$static_libs" | sed 's/-l//g; s/  */;/g') \
        CMAKE_PREFIX=$cmake_prefix CMAKE_LIB=$cmake_lib CMAKE_INCLUDE=$cmake_include \
        PC_PREFIX=$(blanks "$pc_prefix") PC_LIB=$(blanks "$pc_lib") PC_INCLUDE=$(blanks "$pc_include") \
        awk '{
            out = ""
            while (match($0, /@[A-Z_]+@/)) {
                name = substr($0, RSTART + 1, RLENGTH - 2)
                if (!(name in ENVIRON)) { print FILENAME ": no value for " name > "/dev/stderr"; exit 1 }
                out = out substr($0, 1, RSTART - 1) ENVIRON[name]
                $0 = substr($0, RSTART + RLENGTH)
            }
            print out $0
        }' "$1" >"$work/filled"
    install -m 644 "$work/filled" "$DESTDIR$2"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

install -d "$DESTDIR$LIBDIR" "$DESTDIR$INCLUDEDIR" "$DESTDIR$cmakedir" "$DESTDIR$pcdir" "$DESTDIR$DOCDIR/docs"
install -m 755 "build/lib/$shared" "$DESTDIR$LIBDIR/$shared"
ln -sf "$shared" "$DESTDIR$LIBDIR/libbitcask.so.$major"
ln -sf "libbitcask.so.$major" "$DESTDIR$LIBDIR/libbitcask.so"
install -m 644 build/lib/libbitcask.a "$DESTDIR$LIBDIR/libbitcask.a"
install -m 644 include/bitcask.h "$DESTDIR$INCLUDEDIR/bitcask.h"
fill cmake/bitcask-config.cmake.in "$cmakedir/bitcask-config.cmake"
fill cmake/bitcask-config-version.cmake.in "$cmakedir/bitcask-config-version.cmake"
fill cmake/bitcask.pc.in "$pcdir/bitcask.pc"
for file in $documents; do
    install -m 644 "$file" "$DESTDIR$DOCDIR/$file"
done
echo "installed bitcask $version in $DESTDIR$PREFIX"

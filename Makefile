# libbitcask: build, install, test.
#
#   make                     the release libraries, in build/lib
#   make demo                compile and run examples-c/packages.c on real data
#   make demo FILE=f.jsonl KEY=/id [SHOW='/a /b']       the same on another JSON Lines file
#   make test                everything that CI checks; the last line says how many passed and failed
#   make install             PREFIX (/usr/local), LIBDIR (PREFIX/lib), INCLUDEDIR, DOCDIR, DESTDIR
#   make uninstall           what install put there
#   make deps                print, then (as root, on Debian) install what the tests need and is missing
#   make bench               the benchmarks, with cargo bench
#   make torture             the long test run: SEED (random), HOURS (1; 0.01 will do)
#   make fuzz                each fuzz target under libFuzzer: SECONDS (30); needs cargo-fuzz
#   make clean
#
# The recipes only name the scripts in tools/: these take their settings from the environment, so that no
# path is ever pasted into a command line.

CARGO ?= cargo
CC ?= cc
CFLAGS ?= -O2 -g

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR ?= $(PREFIX)/share/doc/bitcask

.DEFAULT_GOAL := lib
.PHONY: all lib demo test deps install uninstall bench torture fuzz fmt lint doc clean help

export CARGO CC CFLAGS

all lib:
	@sh tools/lib.sh

demo: export DEMO_FILE := $(FILE)
demo: export DEMO_KEY := $(KEY)
demo: export DEMO_SHOW := $(SHOW)
demo: export DEMO_ARGS := $(ARGS)
demo: lib
	@sh tools/demo.sh

test:
	@sh tools/test.sh

deps:
	@sh tools/deps.sh

install uninstall: export PREFIX := $(PREFIX)
install uninstall: export LIBDIR := $(LIBDIR)
install uninstall: export INCLUDEDIR := $(INCLUDEDIR)
install uninstall: export DOCDIR := $(DOCDIR)
install uninstall: export DESTDIR := $(DESTDIR)
install: lib
	@sh tools/install.sh

uninstall:
	@sh tools/install.sh --uninstall

bench:
	@sh tools/rust.sh
	"$${CARGO}" bench $(BENCH_ARGS)

torture: export SEED := $(SEED)
torture: export HOURS := $(HOURS)
torture:
	@sh tools/torture.sh

fuzz: export FUZZ_SECONDS := $(SECONDS)
fuzz:
	@sh tools/fuzz.sh

fmt:
	"$${CARGO}" fmt

lint:
	"$${CARGO}" fmt --check
	"$${CARGO}" clippy --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' "$${CARGO}" doc --no-deps

clean:
	"$${CARGO}" clean
	rm -rf build

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

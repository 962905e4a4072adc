# SPDX-License-Identifier: MIT
# A thin front for Meson and Ninja. Every target installs the Debian packages it needs when run by root, and names them
# otherwise (scripts/packages).
BUILD ?= build

.PHONY: all build demo test bench check mutants necessity explore tsan clean

# build/pagefold and build/pagefold-judge
all: build
	@scripts/need $(BUILD)/pagefold cli
	@scripts/need $(BUILD)/pagefold-judge cli

# Whatever there is
build:
	@scripts/packages build
	@scripts/configure $(BUILD)
	@ninja -C $(BUILD)

# Records real programs and replays them: a table and a picture
demo: all
	@scripts/packages demo
	@scripts/demo $(BUILD)

# Unit tests and scenarios; ends with a line "N passed, N failed, N skipped"
test: build
	@scripts/run-tests --build $(BUILD)

# Prints a table and writes $(BUILD)/bench.json
bench: build
	@scripts/packages bench
	@scripts/need $(BUILD)/bench/pagefold-bench bench
	@$(BUILD)/bench/pagefold-bench --output $(BUILD)/bench.json

check: build
	@scripts/packages check
	@scripts/check --build $(BUILD)

mutants: all
	@scripts/mutants --build $(BUILD)

necessity: all
	@scripts/necessity

# What races, in every order within three preemptions; make test has those of each file, two mostly
explore: build
	@$(BUILD)/pagefold run --preemptions 3 scenarios/c2-*.pf

# The library on real threads under ThreadSanitizer: `make tsan SECONDS=60`
SECONDS ?= 10
tsan:
	@scripts/packages build
	@scripts/tsan $(BUILD)-tsan $(SECONDS)

clean:
	rm -rf $(BUILD) $(BUILD)-*

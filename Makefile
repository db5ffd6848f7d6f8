# make demo    runs the gateway in front of a simulated Bedrock: no AWS account, no setup
# make test    runs every check; installs what it needs under the build folder
# make bench   compares the gateway with a minimal proxy, in one table
# make catalogue   refreshes the facts and prices of models from public packages, and docs/models.md; see docs/catalog.md
# make proof   runs the tests of money at length: more random requests and kills
# make ledger  measures the gateway over a ledger of ten million records; needs 5 GB of disk
# make test-soak  attacks one gateway from all sides for five minutes while a well-behaved key calls; needs 16,000 file descriptors for the
#                 full storm, and an otherwise idle machine for its latencies
# make quota   compares the strategies of regions under quotas in simulated time, and writes the results into docs/regions.md
# make fuzz    fuzzes each target for FUZZ_SECONDS (120); never part of make test
# make micro   benchmarks decode, translate and SSE in isolation (Criterion)

TARGET := $(or $(CARGO_TARGET_DIR),target)
SDK := $(abspath $(TARGET))/sdk
CARGO_TEST := --workspace --exclude lintel-fuzz
FUZZ_SECONDS ?= 120

.PHONY: demo test proof fmt lint rust sdk rules tools bench ledger test-soak quota micro fuzz build catalogue

demo:
	scripts/tools.sh build
	cargo build --locked
	$(TARGET)/debug/lintel demo

test: tools fmt lint rust rules sdk
	@echo "make test: all green"

# System packages. Missing Debian packages are installed if run as root, and listed otherwise.
tools:
	scripts/tools.sh

fmt:
	cargo fmt --all --check

# Checks that the fuzz targets compile. This needs no C++ compiler, because libFuzzer itself is not built.
lint:
	cargo clippy --locked $(CARGO_TEST) --features lintel-bench/quota --all-targets -- -D warnings
	CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a cargo clippy --locked --package lintel-fuzz -- -D warnings

rust:
	cargo test --locked $(CARGO_TEST) --features lintel-bench/quota

# No bill exceeds its reservation; no call is lost or settled twice, however often the gateway is killed.
proof:
	LINTEL_PROPERTY_CASES=2000000 cargo test --locked --test worst_case -- --nocapture
	LINTEL_KILLS=100 cargo test --locked --test gateway -- --nocapture kills::

build:
	cargo build --locked

# Runs official clients against the built binary.
sdk: build $(SDK)/python.stamp $(SDK)/node.stamp
	cp tests/sdk/*.test.mjs $(SDK)/
	LINTEL=$(abspath $(TARGET))/debug/lintel NODE=$(SDK)/node_modules/.bin/node \
	SDK_NODE=$(SDK) $(SDK)/venv/bin/python -m pytest -q -p no:cacheprovider tests/sdk

# The requirements are complete, so pip resolves nothing. Instructor asks for an older jiter than the OpenAI SDK accepts, but
# works with it. Python compiles only what the tests import.
$(SDK)/python.stamp: tests/sdk/requirements.txt
	mkdir -p $(SDK)
	python3 -m venv $(SDK)/venv
	$(SDK)/venv/bin/pip install --quiet --no-deps --no-compile --disable-pip-version-check -r tests/sdk/requirements.txt
	touch $@

$(SDK)/node.stamp: tests/sdk/package.json tests/sdk/package-lock.json
	mkdir -p $(SDK)
	cp tests/sdk/package.json tests/sdk/package-lock.json $(SDK)/
	npm ci --prefix $(SDK) --no-audit --no-fund --loglevel=error
	touch $@

# Tests the alert rules against recorded series.
rules:
	promtool check rules dashboards/alerts.yml
	promtool test rules dashboards/alerts.test.yml

catalogue:
	python3 scripts/catalogue --folder $(TARGET)/catalogue $(ACCEPT)
	INSTA_UPDATE=always cargo test --locked --test gateway page_of_models

bench:
	scripts/tools.sh build
	cargo build --locked --release --workspace --exclude lintel-fuzz
	$(TARGET)/release/lintel-bench compare --lintel $(TARGET)/release/lintel

ledger:
	scripts/tools.sh build
	cargo build --locked --release --workspace --exclude lintel-fuzz
	$(TARGET)/release/lintel-bench ledger --lintel $(TARGET)/release/lintel --folder $(TARGET)/ledger

test-soak:
	scripts/tools.sh build
	cargo build --locked --release --workspace --exclude lintel-fuzz
	$(TARGET)/release/lintel-bench soak --lintel $(TARGET)/release/lintel
	LINTEL_CHAOS_SECONDS=1200 cargo test --locked --test gateway -- --nocapture row_106

quota:
	cargo run --locked --package lintel-bench --features quota -- quota --docs docs

micro:
	cargo bench --locked --bench micro

# Uses the stable compiler with debug assertions. Seeds are the golden requests, the recorded streams and fuzz/seeds.
fuzz:
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	for run in "decode tests/golden/requests" "frames tests/golden/recorded" "heads fuzz/seeds/heads" \
		"proxy_header fuzz/seeds/proxy_header" "translate tests/golden/requests"; do \
		set -- $$run; \
		mkdir -p fuzz/corpus/$$1; \
		RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo fuzz run --dev $$1 fuzz/corpus/$$1 $$2 -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 || exit 1; \
	done

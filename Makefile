# Every target sets up what it needs in ./.venv. `make` alone lists them.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
# What `make quick` leaves out: comparisons with other programs and with files of theirs, random cases, long work.
QUICK := not (slow or peers or corpus or property or fuzz or boot)
SELECT ?= $(QUICK)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
VENV := .venv/.made
DEV := .venv/.dev-installed
RUN := .venv/.installed
PEERS := .venv/.peers-tried
ROOMS ?= tests
# Containers often forbid files of bytecode. Then every process of pytest would compile all tests anew (8 s), and each of
# the programs that tests start all of vhdx (0.15 s).
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test quick thorough windows coverage lint format docs bench bench-check matrix soak fuzz damaged-volumes boot false-alarms peers merge-soak in-place-soak many clean
.DEFAULT_GOAL := help

help:  ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(RUN)  ## show the tool at work on images it makes itself: installs vhdx alone, without what develops it
	$(BIN)/vhdx demo

test: $(DEV) $(PEERS)  ## run the whole test suite (JOBS=n processes)
	$(BIN)/pytest -n $(JOBS) --dist worksteal

quick: $(DEV)  ## the tests that take less than a minute together: no peers, corpus, random cases, nothing slow
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m '$(QUICK)'

thorough: $(DEV) $(PEERS)  ## run the tests that quick leaves out
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not fuzz and not boot and not ($(QUICK))'

windows:  ## run the tests by a Windows Python (VHDX_WINDOWS_PYTHON=COMMAND, ROOMS=folders)
	@test -n "$(VHDX_WINDOWS_PYTHON)" || { echo 'say what takes what python takes: VHDX_WINDOWS_PYTHON=COMMAND'; exit 1; }
	$(VHDX_WINDOWS_PYTHON) -m pytest -q -p no:cacheprovider -m 'not fuzz and not boot and not peers' $(ROOMS)

coverage: $(DEV)  ## run the quick tests (or SELECT='not fuzz', all) and report the lines that they leave out
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal -m '$(SELECT)'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(DEV)  ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## put the code into the one format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(DEV)  ## make the pages that are made from the code
	$(BIN)/python -m analyzer.examine.explain > docs/findings.md
	$(BIN)/python -m tests.project.commands_page > docs/commands.md
	$(BIN)/python -m tests.project.man_pages

bench: $(DEV) $(PEERS)  ## measure
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-only

bench-check: $(DEV) $(PEERS)  ## run the benchmark files once, as tests
	$(BIN)/pytest benchmarks --benchmark-disable -n $(JOBS) --dist worksteal

matrix: $(DEV) $(PEERS)  ## lose every structure of real disks, alone and in pairs, and write what comes back
	$(BIN)/python -m tests.analyzer.recover.matrix docs/recovery.md
	$(BIN)/python -m tests.analyzer.recover.disasters docs/recovery.md

TRIALS ?= 20000
soak: $(DEV)  ## 20,000 random disasters over random chains (TRIALS=n, SEED=first, SECONDS=most, JOBS=n, PAGE=docs/recovery.md)
	$(BIN)/python -m tests.analyzer.recover.disasters.soak --trials $(TRIALS) --seed $(or $(SEED),0) --jobs $(JOBS) \
		--seconds $(or $(SECONDS),1000000) $(if $(PAGE),--page $(PAGE))

fuzz: $(DEV)  ## the long fuzz runs
	$(BIN)/pytest -m fuzz -n $(JOBS) --dist worksteal

damaged-volumes: $(DEV) $(PEERS)  ## read, extract and recover 2,000 damaged ext, NTFS, FAT and exFAT volumes, and interrupt that
	$(BIN)/pytest -m fuzz -n $(JOBS) --dist worksteal tests/analyzer/guest/filesystems/test_damaged.py

boot: $(DEV)  ## boot guests from disks that are served (Debian: qemu-system-x86, ovmf, libnbd-bin, mtools, dosfstools)
	$(BIN)/pytest -m boot tests/analyzer/serve/test_boot.py

false-alarms: $(DEV)  ## judge 2,500 healthy and trimmed disks and chains, and hold 2,700 against their places: none may be doubted
	$(BIN)/pytest -m fuzz -n $(JOBS) --dist worksteal -k "not_refused or not_in_doubt" tests/analyzer/judgement/test_false_alarms.py \
		tests/analyzer/witnesses/test_false_alarms.py

merge-soak: $(DEV) $(PEERS)  ## merge 100,000 random chains in place, and kill 300 merges (MERGE_CHAINS, MERGE_KILLS, MERGE_SEED)
	$(BIN)/pytest -m fuzz -n 0 tests/analyzer/merge/test_soak.py

in-place-soak: $(DEV)  ## make files smaller and disks of another size in place, 300 times each, while that is killed (KILLS, SEED)
	$(BIN)/pytest -m fuzz -n 0 tests/analyzer/compact/test_soak.py

many: $(DEV)  ## check, scan and hash 5,000 chains by one process, by two, by a fleet, and with a worker killed (CHAINS=n)
	$(BIN)/pytest -m fuzz -n 0 tests/cli/test_jobs_thousands.py

peers: $(DEV)  ## install other readers and the file-system library, or fail
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[peers,filesystems]'
	@touch $(PEERS)

clean:  ## remove all that was made here, .venv too
	rm -rf .venv .boot build dist *.egg-info .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without build isolation the build uses the pinned setuptools, and the editable install asks no network for another.
$(VENV): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'vhdx needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo 'This Python cannot make virtual environments: apt-get install python3-venv'; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PIP) install --constraint constraints.txt setuptools
	@touch $@

$(RUN): $(VENV) pyproject.toml
	@echo 'installing vhdx and what it needs into .venv'
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

$(DEV): $(VENV) pyproject.toml
	@echo 'installing vhdx and what develops it into .venv'
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $(RUN) $@

# Peers are welcome, not needed: a platform may have no wheel of one. The stamp says they were tried, so that it is
# tried once; `make peers` insists.
$(PEERS): $(DEV)
	@$(MAKE) --no-print-directory peers \
		|| echo 'The peers could not be installed: tests that compare with them will be skipped.'
	@touch $@

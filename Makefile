# Two commands for a newcomer: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The releases that the tests passed with. CONSTRAINTS= takes the newest that pyproject.toml admits.
CONSTRAINTS ?= constraints.txt
PIP = $(BIN)/python -m pip --quiet
HELD = $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: demo test intents tatoeba setup ui lint test-slow docs clean bench-setup refresh wheels

demo: setup
	@$(BIN)/penstock run demo

ui: setup
	@$(BIN)/penstock ui

test: setup lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

# DATA: a folder with the reference data. See benchmarks/reference_texts.py and docs/results.md.
intents: setup
	@test -n "$(DATA)" || { echo "say where the reference data is: make intents DATA=../shared/data"; exit 1; }
	@$(BIN)/python benchmarks/reference_texts.py "$(DATA)" .penstock/texts
	@$(BIN)/penstock run intents

# PAIRS: a file of English, tab, German, such as Tatoeba's deu.txt. See docs/results.md.
tatoeba: setup
	@test -n "$(PAIRS)" || { echo "say where the sentence pairs are: make tatoeba PAIRS=deu.txt"; exit 1; }
	@$(BIN)/python benchmarks/split_pairs.py "$(PAIRS)" .penstock/tatoeba
	@$(BIN)/penstock run tatoeba

test-slow: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: setup
	@$(BIN)/penstock schema --markdown > docs/recipe.md

setup: $(VENV)/.installed

# Where pip would fetch gigabytes of CUDA that the machine cannot use: set TORCH_INDEX to the address
# of the index that has the CPU builds of torch.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("Penstock needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some minutes the first time) ..."
	@$(PIP) install --upgrade $(HELD) "pip>=25.3" setuptools
	@test -z "$(TORCH_INDEX)" || $(PIP) install $(HELD) "torch>=2.11,<2.14" --index-url "$(TORCH_INDEX)"
	@$(PIP) install $(HELD) $(subst --,--build-,$(HELD)) --editable . --group dev
	@$(BIN)/python -m llm.corpus.compile
	@$(BIN)/python -m llm.tokens.compile
	@$(BIN)/python -m llm.models.compile
	@touch $@

# Take the newest releases that pyproject.toml admits, run the tests with them in an environment of
# its own, and write them down if the tests pass.
refresh:
	@rm -rf .venv-next
	@$(MAKE) test VENV=.venv-next CONSTRAINTS=
	@{ echo "# The releases that the tests passed with. Made by \`make refresh\` on $$(date +%F) with $$(.venv-next/bin/python --version)."; \
	   .venv-next/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	@rm -rf .venv-next
	@$(MAKE) wheels

# Every dependency must have wheels for each Python that we support: resolves, installs nothing. Torch
# is looked up only: pip would download it.
wheels: setup
	@for version in 3.11 3.12 3.13; do \
	   wanted="--python-version $$version --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64"; \
	   grep -v '^torch==' constraints.txt | $(PIP) install --dry-run --no-deps --ignore-installed \
	     --only-binary=:all: $$wanted --target $(VENV)/none --requirement /dev/stdin || exit 1; \
	   $(BIN)/python -m pip index versions torch --only-binary=:all: $$wanted | tr ' ,' '\n\n' \
	     | grep -qxF "$$(sed -n 's/^torch==//p' constraints.txt)" || { echo "no wheel of torch for Python $$version"; exit 1; }; \
	   echo "wheels for Python $$version: all there"; \
	 done

# The tools that benchmarks/ compare with, in an environment of their own. litgpt asks for an older
# huggingface-hub than datatrove does; its model needs none.
LITGPT := litgpt==0.5.13

bench-setup: .venv-bench/.installed

.venv-bench/.installed: benchmarks/requirements.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@test -z "$(TORCH_INDEX)" || .venv-bench/bin/python -m pip install --quiet "torch>=2.11,<2.14" --index-url "$(TORCH_INDEX)"
	@.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@.venv-bench/bin/python -m pip install --quiet --no-deps "$(LITGPT)"
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-next .penstock

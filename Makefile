# Two commands for a newcomer: `make demo` and `make test`. Each does its own set-up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup ui lint test-slow docs clean bench-setup

demo: setup
	@$(BIN)/penstock run demo

ui: setup
	@$(BIN)/penstock ui

test: setup lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: setup
	@$(BIN)/penstock schema --markdown > docs/recipe.md

setup: .venv/.installed

# Where pip would fetch gigabytes of CUDA that the machine cannot use: set TORCH_INDEX to the address
# of the index that has the CPU builds of torch.
.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Penstock needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (some minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@test -z "$(TORCH_INDEX)" || $(BIN)/python -m pip install --quiet "torch>=2.11,<2.14" --index-url "$(TORCH_INDEX)"
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@$(BIN)/python -m llm.corpus.compile
	@$(BIN)/python -m llm.tokens.compile
	@$(BIN)/python -m llm.models.compile
	@touch $@

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
	rm -rf .venv .venv-bench .penstock

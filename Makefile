# Two commands do everything on a machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo

.PHONY: help venv demo test lint format clean

help:
	@echo "make demo   tokenize, train, evaluate and sample two models on Python's own reference text"
	@echo "make test   lint, type-check and test"
	@echo "make venv   only set up $(VENV)"
	@echo "make format let ruff rewrite the code"
	@echo "make clean  remove $(VENV) and $(DEMO)/"

venv: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: venv
	$(BIN)/lmtool tokenize --tokenizer bpe --set tokenizer.vocab_size=2000 --train 'builtin:pydoc#train' --valid 'builtin:pydoc#valid' --test 'builtin:pydoc#test' -o $(DEMO)/data
	$(BIN)/lmtool train --model ngram --set model.order=5 --data $(DEMO)/data -o $(DEMO)/ngram
	$(BIN)/lmtool train configs/demo-lstm.toml --data $(DEMO)/data -o $(DEMO)/lstm
	$(BIN)/lmtool eval $(DEMO)/ngram $(DEMO)/lstm
	$(BIN)/lmtool generate $(DEMO)/ngram --prompt 'The value of' --max-tokens 30 --seed 1
	$(BIN)/lmtool generate $(DEMO)/lstm --prompt 'The value of' --max-tokens 30 --seed 1
	@echo "the runs lie in $(DEMO)/ngram and $(DEMO)/lstm"

test: venv lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO)

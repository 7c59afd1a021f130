# make install   an environment in .venv, with every dependency pinned
# make demo      an explanation first, then what else XSER does, in minutes; make demo AUDIO=recording.wav explains your own recording too
# make test      lint and all tests, on two cores, without a network
# make lint      ruff alone
# make results   measure the shipped model anew (docs/results/*.json), then make figures
# make figures   the tables of README.md and of docs, from docs/results/*.json
# make checkpoint-code   put this version of the code beside the shipped models
# make clean     remove caches and what the demo left; the environment and the runs stay

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test lint results figures checkpoint-code clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Python {v[0]}.{v[1]} is too old: use 3.11 or newer, as in make install PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools
	$(BIN)/python -m pip install --no-build-isolation -c constraints.txt -e '.[espeak,dev]'
	touch $@

demo: install
	$(BIN)/python examples/demo.py $(if $(AUDIO),--audio "$$AUDIO")

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

results: install
	$(BIN)/python eval.py --model checkpoints/xser-tiny --corpus espeak --split test --output docs/results/espeak-test.json
	$(BIN)/python eval.py --model checkpoints/xser-tiny --corpus espeak --split test_unseen --output docs/results/espeak-test-unseen.json
	$(BIN)/python benchmarks/batch_invariance.py --output docs/results/batch-invariance.json
	$(BIN)/python benchmarks/forward_cost.py --output docs/results/forward-cost.json
	$(BIN)/python benchmarks/explain_cost.py --output docs/results/explain-cost.json
	$(BIN)/python examples/explain.py --picture docs/explanation.png --output docs/results/explanation.json
	$(BIN)/python benchmarks/f0_accuracy.py --output docs/results/f0-accuracy.json
	$(BIN)/python benchmarks/levels.py --train_limit 24000 --output docs/results/levels.json
	$(BIN)/python benchmarks/emphasis.py --limit 500 --output docs/results/emphasis.json
	$(BIN)/python benchmarks/tower_step.py configs/pretraining/30-minutes.yaml --output docs/results/tower-step.json
	$(BIN)/python -m xser.evaluation.figures

figures: install
	$(BIN)/python -m xser.evaluation.figures

checkpoint-code:
	for name in xser-tiny xser-nemo xser-base; do cp *_xser.py checkpoints/$$name/; done

clean:
	rm -rf build demo .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

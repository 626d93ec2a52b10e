# Every target makes and uses its own .venv; nothing is installed outside of this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The torch that is tested; pyproject.toml takes newer ones too.
TORCH ?= torch==2.13.0
# Where pytorch.org/get-started sends machines without a GPU. Asked only if the default package
# index would bring gigabytes of CUDA to such a machine.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
DEMO := demo
DEMO_BUDGET ?= 6m
SETS ?= ../shared/data
BENCH ?= bench
GENERAL ?= general
RUN = IMAGEGEN_HOME=$(DEMO)/home $(BIN)/imagegen

.PHONY: help install demo test check lint types bench bench-train bench-sample bench-evidence bench-budget bench-watching bench-families bench-labels bench-steps bench-peer bench-words bench-autoencoders bench-stacked bench-likelihood bench-post bench-segmentation general purposes finishes torture test-slow clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed  ## Make .venv with everything in it

$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { set -e; index=; \
	if ! command -v nvidia-smi >/dev/null 2>&1; then \
		plan=$$($(BIN)/pip install --quiet --dry-run --report - '$(TORCH)'); \
		if echo "$$plan" | grep -qE '"name": "(nvidia|cuda|triton)'; then \
			index='--index-url $(TORCH_INDEX)'; fi; fi; \
	echo "installing $(TORCH) $$index"; \
	$(BIN)/pip install --quiet '$(TORCH)' $$index; }
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

demo: install  ## Train on the bundled pictures, generate, post-process; 10 minutes on 2 cores
	$(RUN) train sample:smileys --preset smileys --budget $(DEMO_BUDGET)
	$(RUN) generate -m smileys --seed 42 -n 16 -o $(DEMO)/pictures --grid $(DEMO)/sheet.png
	$(RUN) postprocess $(DEMO)/pictures --preset post/clean -o $(DEMO)/finished
	@echo; echo "The sheet:          $(DEMO)/sheet.png"
	@echo "The pictures:       $(DEMO)/pictures/"
	@echo "Post-processed:     $(DEMO)/finished/"

test: install  ## Run the tests
	$(BIN)/pytest -n 2 -m "not slow"

check: lint types test  ## What must be clean before every commit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

bench: bench-train bench-sample bench-evidence bench-budget  ## The quick benchmarks; all tables are in tests/bench/RESULTS.md

bench-train: install  ## How much of the machine's convolution rate training reaches
	$(BIN)/python -m tests.bench.train_rate

bench-sample: install  ## How quickly each family draws, beside one pass of its network
	$(BIN)/python -m tests.bench.sample_rate

bench-evidence: install  ## Known answers for all that evaluate measures; SETS=folder of the sets
	$(BIN)/python -m tests.bench.evidence $(SETS)

bench-budget: install  ## Whether training ends on time; 18 minutes, on a quiet machine
	$(BIN)/python -m tests.bench.budget

bench-watching: install  ## What training says of a collapse, and of twenty pictures; half an hour
	$(BIN)/python -m tests.bench.watching

bench-families: install  ## Each family on three sets, ten minutes each; BENCH=folder keeps them
	$(BIN)/python -m tests.bench.families $(BENCH)

bench-labels: install  ## The digit asked for, after half an hour of gan, flow and rnn
	$(BIN)/python -m tests.bench.families $(BENCH) --minutes 30 --sets mnist --families gan flow rnn
	$(BIN)/python -m tests.bench.labels $(BENCH) mnist-gan-30m mnist-flow-30m mnist-rnn-30m

bench-steps: install  ## A flow of digits in 20, 10, 4, 2 steps and one, after half an hour
	$(BIN)/python -m tests.bench.families $(BENCH) --minutes 30 --sets mnist --families flow
	$(BIN)/python -m tests.bench.steps $(BENCH) mnist-flow-30m

bench-peer: install  ## What another trainer makes of mnist in 10 minutes and in 60
	test -d $(BENCH)/peer || { $(PYTHON) -m venv $(BENCH)/peer && \
		$(BENCH)/peer/bin/pip install --quiet denoising-diffusion-pytorch==2.3.4; }
	test -d $(BENCH)/mnist || $(BIN)/python -m zipfile -e $(SETS)/mnist.zip $(BENCH)/mnist
	$(BENCH)/peer/bin/python tests/bench/peer.py $(BENCH)/mnist $(BENCH)/by-peer --minutes 10 60
	for minutes in 10 60; do \
		$(BIN)/imagegen evaluate --pictures $(BENCH)/by-peer/$${minutes}m $(SETS)/mnist.zip; done

bench-words: install  ## Emoji asked for in words, after an hour
	IMAGEGEN_HOME=$(BENCH) $(BIN)/imagegen train $(SETS)/emoji.zip --preset icons --name icons --budget 1h
	$(BIN)/python -m tests.bench.words $(BENCH) icons --guidance 1 1.5 2 4 --sheet $(BENCH)/icons.png

bench-autoencoders: install  ## How much comes back, beside a small picture of as many numbers
	$(BIN)/python -m tests.bench.autoencoders $(BENCH)

bench-stacked: install  ## How many of 1,000 modes a GAN finds, with its penalties and without
	$(BIN)/python -m tests.bench.stacked --sets $(SETS)

bench-likelihood: install  ## Nats of a handwritten digit after an hour; the scan beside nn.GRU
	$(BIN)/python -m tests.bench.likelihood

bench-post: install  ## Post-processing beside ImageMagick, 200 pictures; ten minutes
	$(BIN)/python -m tests.bench.post

bench-segmentation: install  ## Regions found beside the true ones; SETS=folder of the sets
	SETS=$(SETS) $(BIN)/python -m tests.bench.segmentation

general: install  ## Rebuild the general collection, codec and flow; resumable, a day or two on a CPU
	$(BIN)/pip install --quiet -r recipes/general/requirements.txt
	$(BIN)/python -m recipes.general.collect $(GENERAL)
	IMAGEGEN_HOME=$(GENERAL)/home $(BIN)/imagegen train $(GENERAL)/collection.zip \
		--preset codec --name codec --steps 20000
	IMAGEGEN_HOME=$(GENERAL)/home $(BIN)/python -m recipes.general.package codec codec
	$(BIN)/python -m recipes.general.embedding $(GENERAL)/collection.zip
	IMAGEGEN_HOME=$(GENERAL)/home $(BIN)/imagegen train $(GENERAL)/collection.zip \
		--preset general --name general --steps 60000

purposes: install  ## Train each preset by purpose, draw docs/purposes.png; two hours
	test -d $(BENCH)/head || { $(BIN)/pip download --quiet --no-deps --dest $(BENCH) nilearn && \
		$(BIN)/python -m tests.bench.slices $(BENCH)/nilearn-*.whl $(BENCH)/head; }
	SETS=$(SETS) $(BIN)/python -m tests.bench.purposes $(BENCH)/purposes $(BENCH)/head \
		--sheet docs/purposes.png

finishes: install  ## Draw docs/finishes.jpg: what each chain of presets/post does
	$(BIN)/python docs/finishes.py

torture: install  ## Kill, damage and starve trainings; its table is in tests/torture/README.md
	$(BIN)/python -m tests.torture.torture

test-slow: install  ## The tests that take minutes
	$(BIN)/pytest -m slow

clean:  ## Remove what make made, the demo's model included
	rm -rf $(VENV) $(DEMO)

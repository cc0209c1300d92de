# What people and CI run. A fresh machine needs Python 3.11+ with venv, git and GNU make (3.81 or newer); the rest is
# installed into folders of this project.
.DEFAULT_GOAL := help
.PHONY: help setup doctor repro summary exps plots mlflow track adopt data check test-data test-model review comment outdated allowed join publish rebuild audit gc changed gate serve predict model image image-test scan test test-fast lint format lock hooks clean ready

UV_VERSION := 0.13.8
own_uv := .tools/uv/complete-$(UV_VERSION)
uv := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
run := $(uv) run --frozen
all_tests := pytest
fast_tests := pytest -m 'not slow and not results'

# An inherited PYTHONDONTWRITEBYTECODE makes every process compile everything again: importing scikit-learn takes 4.2 s
# in place of 1.5 s. An inherited VIRTUAL_ENV is some other project's.
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

# In the order in which one meets them; files that are included add theirs. A target in none of these comes last, and a
# name that is no target is left out.
groups := Begin: help setup doctor hooks adopt data check; \
	Make a model: repro summary exps plots mlflow track; \
	Judge it: test-data test-model review rebuild lock; \
	Serve it: serve predict model image image-test scan; \
	Look after the project: test test-fast lint format audit gc clean;
last_groups := What workflows run: changed comment outdated allowed join publish gate; Others:

help: ## List the targets
	@awk -F ':.*## ' -v groups='$(groups) $(last_groups)' ' \
		function tell(name,   words, count, line, i) { \
			line = sprintf("  %-10s", name); \
			count = split(said[name], words, " "); \
			for (i = 1; i <= count; i++) { \
				if (length(line words[i]) > 78) { print line; line = sprintf("%12s", "") } \
				line = line " " words[i]; \
			} \
			print line; \
			delete said[name]; \
		} \
		/^[a-z-]+:.*## / { said[$$1] = $$2; names[++all] = $$1 } \
		END { \
			print "make TARGET, where TARGET is one of:"; \
			parts = split(groups, part, "; *"); \
			for (p = 1; p <= parts; p++) { \
				split(part[p], half, ":"); \
				heading = "\n" half[1]; \
				count = split(half[2], listed, " "); \
				if (p == parts) for (count = 0; count < all; count++) listed[count + 1] = names[count + 1]; \
				for (n = 1; n <= count; n++) if (listed[n] in said) { \
					if (heading) print heading; \
					heading = ""; \
					tell(listed[n]); \
				} \
			} \
		}' $(MAKEFILE_LIST)

setup: ready ## Install everything that uv.lock lists into .venv
	@$(uv) sync --frozen

doctor: ready ## Check what first runs fail on, and say how to mend it; ARGS=--update asks for a newer template
	@$(run) slipway doctor $(ARGS)

repro: ready ## Data to tested model: pull the data, run what changed, show the summary; ARGS go to dvc repro
	@$(run) slipway repro $(ARGS)

summary: ready ## Show the last run: metrics against thresholds, worst slice, suites
	@$(run) slipway summary $(ARGS)

exps: ready ## Show experiments beside the last commit; ARGS="-n 3" shows those of the last three
	@$(run) slipway exps $(ARGS)

plots: ready ## Draw the last run over the last commit, in dvc_plots/index.html
	@$(run) dvc plots diff $(ARGS)

mlflow: ready ## Show the runs in MLflow's UI, on http://127.0.0.1:5000
	@$(run) slipway mlflow $(ARGS)

track: ready ## Upload the runs that the server of MLFLOW_TRACKING_URI did not take when they happened
	@$(run) slipway track $(ARGS)

adopt: ready ## Bring your own data: make adopt FILE=my.csv TARGET=churned ARGS="--id customer"
	@$(run) slipway adopt $(if $(FILE),"$(FILE)") $(if $(TARGET),--target "$(TARGET)") $(ARGS)

data: ready ## After changing files in data/: version them with DVC, push them, and let git see them
	@$(run) slipway data $(ARGS)

check: ready ## Check that params.yaml and the data contract are sound and fit together
	@$(run) slipway check $(ARGS)

test-data: ready ## Test the data: the contract, deepchecks' conditions, freshness; JUnit XML goes to reports/
	@$(run) pytest tests/data --junitxml reports/test-data.xml $(ARGS)

test-model: ready ## Test the model file: thresholds, deepchecks' conditions, behaviour, parity, budgets
	@$(run) pytest tests/model --junitxml reports/test-model.xml $(ARGS)

# Values that a workflow hands over, such as names of branches, reach the shell as variables: none is pasted into a line.
review: ready ## Judge the model against the default branch's; ARGS="--base HEAD~1" names another revision
	@$(run) slipway review $${BASE:+--base "$$BASE"} $${INTO:+--into "$$INTO"} $(ARGS)

comment: ready ## In GitHub Actions: the report to the job's summary and the pull request
	@$(run) slipway comment $${VERDICT:+--verdict "$$VERDICT"}

outdated: ready ## In GitHub Actions: tell the pull requests that results just pushed are in conflict with
	@$(run) slipway outdated

allowed: ready ## In GitHub Actions: whether who asked for /reproduce may
	@$(run) slipway allowed

rebuild: ready ## Run the last commit again from the raw data alone; its metrics must come out again
	@$(run) slipway rebuild $(ARGS)

audit: ready ## Look up known vulnerabilities of what uv.lock lists; needs the network
	@$(uv) audit --frozen --preview-features audit-command $(ARGS)

join: ready ## Merge origin's BASE into this branch if it has got other results, which `make repro` then makes anew
	@$(run) slipway join --base "$$BASE"

publish: ready ## Push results to DVC's remote, dvc.lock and reports to BRANCH
	@$(run) slipway publish --branch "$$BRANCH"

gc: ready ## Remove from DVC's cache what this tree does not use
	@$(run) dvc gc --workspace --force --quiet

model: ready ## Have the model that dvc.lock names, from here or from DVC; nothing is trained
	@$(run) slipway model $(ARGS)

image: ready ## Build the container image of the last run's model; ARGS="--base NAME" names another base
	@$(run) slipway image $(ARGS)

image-test: ready ## Run that image as a cluster would, ask it, stop it under load, and look inside
	@$(run) slipway image-test $(ARGS)

scan: ready ## List what that image consists of with syft, and look up with grype what is known to be wrong with it
	@$(run) slipway scan $(ARGS)

changed: ## In GitHub Actions: whether a pull request changes more than documents
	@python3 -I src/slipway/delivery/github/jobs.py changed

gate: ## In GitHub Actions: whether every job ran that had to, and passed; reads NEEDS
	@python3 -I src/slipway/delivery/github/jobs.py gate

serve: ready ## Serve the model on http://127.0.0.1:3000; ARGS="--fallback HEAD~1" has that one help out
	@$(run) slipway serve $(ARGS)

predict: ready ## Ask a running service for its example; ARGS=request.json sends that file
	@$(run) slipway predict $(ARGS)

test: ready ## Run all tests; those of the data and the model need the results of `make repro`
	@$(run) $(all_tests) $(ARGS)

test-fast: ready ## Run the tests that need no results and little time
	@$(run) $(fast_tests) $(ARGS)

lint: ready ## Run every check of .pre-commit-config.yaml: ruff, mypy, settings, secrets, large files, dvc.lock
	@$(run) pre-commit run --all-files $(if $(NO_COLOR),--color never)

format: ready ## Mend what ruff can mend
	@$(run) ruff check --fix-only --quiet .
	@$(run) ruff format .

lock: ready ## Prove from git alone that dvc.lock belongs to this tree
	@$(run) slipway lock $(ARGS)

hooks: ready ## Have git check every commit, check data out with a branch, and merge dvc.lock and data
	@$(run) pre-commit install
	@git config merge.remade.driver true
	@git config merge.dvc.driver '.venv/bin/dvc git-hook merge-driver --ancestor %O --our %A --their %B'

clean: ## Remove caches and test reports; data, models, runs and environments stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov .bench dvc_plots
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

ready: $(if $(filter .tools/%,$(uv)),$(own_uv))
	@said=$$(LC_ALL=C git rev-parse --git-dir 2>&1 >/dev/null) || { \
		case "$$said" in \
			*'not a git repository'*) said='this folder is not a git repository; run: git init';; \
			*) command -v git >/dev/null || said='git is missing; install it';; \
		esac; echo "error: $$said" >&2; exit 2; }

# The marker is written last, so an interrupted installation is done over. A pip that can install for another Python
# saves installing one.
$(own_uv):
	@python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "error:" \
		"python3 must be 3.11 or newer and have venv (Debian: apt install python3-venv); this one is:" \
		"$$(python3 --version 2>&1)" >&2; exit 2; }
	@echo "installing uv $(UV_VERSION) into .tools/uv"
	@rm -rf .tools/uv
	@if python3 -m pip help 2>/dev/null | grep -q -- --python; \
		then python3 -m venv --without-pip .tools/uv && pip="python3 -m pip --python .tools/uv/bin/python"; \
		else python3 -m venv .tools/uv && pip=.tools/uv/bin/pip; fi && \
		$$pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# What only some projects have.
include $(wildcard */*.mk)

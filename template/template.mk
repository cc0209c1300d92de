# What the template needs, and no project made of it has.
.PHONY: bench own project docs reference links
groups += Look after the template: bench own project docs reference links;

mine := --group template pytest -n 2 --dist worksteal tests/slipway tests/template tests/unit
all_tests = $(mine) --cov --cov-fail-under 90
fast_tests = $(mine) -m 'not slow'

bench: ready ## Measure speed and memory; prints a table and writes JSON
	@$(run) --group template python benchmarks/run.py $(ARGS)

own: ready ## Turn a copy of the template into a project of its own; ARGS="-d project_name=churn" answers in advance
	@$(run) --group template python template/own.py $(ARGS)

project: ready ## Make PROJECT of tests/template/test_projects.py, such as no-deployment, and run it to its end
	@$(run) --group template pytest -v tests/template/test_projects.py -k "$$PROJECT"

docs: ready ## Build the documentation into site/, strictly; ARGS=serve shows it as you write, on http://127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 $(run) --group template mkdocs $(or $(ARGS),build)

reference: ready ## Write docs/reference anew from the code
	@$(run) --group template python docs/generate.py

links: docs ## Ask every address that the documentation names whether it is still there; needs the network
	@$(run) --group template python docs/links.py site

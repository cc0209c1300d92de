.PHONY: deploy
groups += Run it on this machine: deploy;

deploy: ready ## Have this machine run what git says of ENVIRONMENT (production); ARGS="--watch 60" follows it
	@$(run) slipway deploy "$${ENVIRONMENT:-production}" $(ARGS)

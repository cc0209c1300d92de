# From a merged commit to what runs, and back.
.PHONY: release sign promote rollback lineage
groups += Release it: release promote rollback lineage sign;

release: ready ## Release HEAD: push its image, commit its digest; ARGS="--to oci:artifacts/images" needs no registry
	@$(run) slipway release $${TO:+--to "$$TO"} $(ARGS)

sign: ## Sign IMAGE@DIGEST, and its SBOM, with cosign: without a key, as the workflow that runs
	@command -v cosign >/dev/null || { \
		echo 'error: cosign is missing; https://docs.sigstore.dev/cosign/system_config/installation' >&2; exit 2; }
	@cosign sign --yes "$$IMAGE@$$DIGEST"
	@cosign attest --yes --type spdxjson --predicate "$$SBOM" "$$IMAGE@$$DIGEST"

promote: ready ## Open a pull request that has production run what staging runs; FROM and INTO name others
	@$(run) slipway promote "$${FROM:-staging}" "$${INTO:-production}" $(ARGS)

rollback: ready ## Have ENVIRONMENT (production) run what it ran before, or TO; ARGS=--now needs no pull request
	@$(run) slipway rollback "$${ENVIRONMENT:-production}" $${TO:+--to "$$TO"} $(ARGS)

lineage: ready ## Say where what runs came from; OF is an environment (production), a release, a digest or a URL
	@$(run) slipway lineage "$${OF:-production}" $(ARGS)

"""MLflow's model registry as a mirror of git: a version for each release, and aliases for what runs where."""

import os
from typing import Any

import typer

from slipway.about import project_name
from slipway.delivery.release.branch import checked_out, fetch, tip_of
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.overlay import deployed, environments
from slipway.errors import warn
from slipway.tracking import mlflow_module

ALIASES = {"staging": "challenger", "production": "champion"}
DIGEST_TAG = "slipway.image_digest"


def mirror(branch: str) -> None:
    """Register what runs in each environment at the server of MLFLOW_TRACKING_URI, if there is one.

    git is right whatever the registry says, so nothing that goes wrong there is more than a warning.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://", "databricks")):
        return
    fetch()
    try:
        with checked_out(tip_of(branch)) as root:
            found = {name: deployed(name, root) for name in environments(root)}
        client = mlflow_module().MlflowClient(uri, uri)
        for environment, lineage in found.items():
            if lineage is not None:
                version, alias = _register(client, lineage), ALIASES.get(environment, environment)
                client.set_registered_model_alias(project_name(), alias, version)
                typer.echo(f"MLflow: version {version} of {project_name()}, {lineage.name}, is {alias}")
    except Exception as error:  # whatever the server or the network does, what was released is released
        said = " ".join(str(error).split())[:160]
        warn("registry", f"{uri} does not mirror what was released ({said}); `make release` tries again")


def _register(client: Any, lineage: Lineage) -> str:
    """The version of a release; one is made where there is none."""
    from mlflow.exceptions import MlflowException

    name = project_name()
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(DIGEST_TAG) == lineage.digest:
            return str(version.version)
    facts = {"commit": lineage.commit, "data": lineage.data, "lock": lineage.lock, "verdict": lineage.verdict}
    tags = {f"slipway.{key}": text for key, text in facts.items() if text}
    tags |= {DIGEST_TAG: lineage.digest, "slipway.release": lineage.name}
    source = f"oci://{lineage.image}@{lineage.digest}"  # the image is what was released; runs are training's
    return str(client.create_model_version(name, source, tags=tags, description=lineage.name).version)

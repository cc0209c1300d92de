"""What is below deploy/, as a cluster would get it, and what it is held against: schemas, and rules of our own."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock
from helpers import ROOT
from jsonschema import Draft202012Validator
from kubernetes_validate import ValidationError, validate
from ruamel.yaml import YAML

Object = dict[str, Any]

KUBERNETES = ("1.31", "1.37")  # the oldest and the newest that the manifests are for
# The projects' own definitions, from the modules that they publish for Go: version, checksum, files.
MODULES = {
    "github.com/argoproj/argo-rollouts": (
        "v1.9.1",
        "h1:+oZciUkeJYVb1vPMOhat4JQlk525j/aT2yizEkVkjLs=",
        ("manifests/crds/rollout-crd.yaml", "manifests/crds/analysis-template-crd.yaml"),
    ),
    "github.com/argoproj/argo-cd/v3": (
        "v3.5.1",
        "h1:jtwPLEFX9mNj3jSq88ugFcScGnOZVs2DWaXFuZxrRT8=",
        ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml"),
    ),
    "github.com/prometheus-operator/prometheus-operator": (
        "v0.93.0",
        "h1:AohlYJT+En8TmNpAcEUJ3GsaJTAqfEBwHmGTVpRm/Io=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ),
    ),
    "sigs.k8s.io/gateway-api": (
        "v1.6.1",
        "h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY=",
        ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    ),
    "github.com/fluxcd/kustomize-controller": (
        "v1.9.6",
        "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
        ("config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",),
    ),
    "github.com/fluxcd/source-controller": (
        "v1.9.6",
        "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        ("config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",),
    ),
}
CUSTOM = ("argoproj.io/", "monitoring.coreos.com/", "gateway.networking.k8s.io/", "toolkit.fluxcd.io/")
METADATA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}},
    },
}
WORKLOADS = ("Rollout", "Deployment")
IMAGE = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
ARGUMENT = re.compile(r"\{\{args\.([\w-]+)\}\}")
SCRAPED = {"namespace", "pod", "rollouts_pod_template_hash", "le"}  # labels that Prometheus or the PodMonitor adds


class UnavailableError(Exception):
    """A tool, or the network, is not there."""


def objects(text: str) -> list[Object]:
    """The objects of a YAML stream."""
    return [content for content in YAML(typ="safe").load_all(text) if content]


def dumped(content: Any) -> str:
    """Something as YAML."""
    out = StringIO()
    YAML(typ="safe").dump(content, out)
    return out.getvalue()


@cache
def find_kustomize() -> str:
    """The path of kustomize.

    Raises:
        UnavailableError: There is none, and it cannot be installed.
    """
    (ROOT / ".tools").mkdir(exist_ok=True)
    with FileLock(ROOT / ".tools/kustomize.lock"):
        done = subprocess.run([ROOT / ".ci/kustomize"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise UnavailableError(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build(folder: Path) -> list[Object]:
    """What kustomize makes of a folder."""
    done = subprocess.run([find_kustomize(), "build", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # such as of fields that are deprecated
    return objects(done.stdout)


def definitions() -> dict[str, Any]:
    """The schemas of custom resources, by `apiVersion/kind`, as the projects publish them; kept in .tools.

    Raises:
        UnavailableError: Go or the network is missing.
    """
    found: dict[str, Any] = {}
    for module, (version, checksum, files) in MODULES.items():
        kept = ROOT / ".tools/definitions" / f"{module.replace('/', '-')}-{version}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_suffix(".lock")):
            if not kept.exists():
                fetched = fetch(module, version, checksum, files)
                kept.with_suffix(".part").write_text(json.dumps(fetched))
                kept.with_suffix(".part").rename(kept)
        found |= json.loads(kept.read_text())
    return found


def fetch(module: str, version: str, checksum: str, files: tuple[str, ...]) -> dict[str, Any]:
    """Get definitions out of a module, by Go.

    Raises:
        UnavailableError: Go or the network is missing.
        AssertionError: The module is another one than it was.
    """
    if shutil.which("go") is None:
        raise UnavailableError("Go is not here, so custom resources were not held against their definitions")
    # Go need not be new enough to build the module: `local` keeps it from getting itself anew.
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
    command = ["go", "mod", "download", "-json", f"{module}@{version}"]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout or "{}")
    if "Zip" not in told:
        raise UnavailableError(
            f"Go could not get {module}, so custom resources were not held against their definitions"
        )
    assert told["Sum"] == checksum, f"{module}@{version} is another one than it was: {told['Sum']}"
    found = {}
    with zipfile.ZipFile(told["Zip"]) as archive:
        for file in files:
            spec = YAML(typ="safe").load(archive.read(f"{module}@{version}/{file}"))["spec"]
            for one in spec["versions"]:
                schema = one["schema"]["openAPIV3Schema"]
                found[f"{spec['group']}/{one['name']}/{spec['names']['kind']}"] = schema
    return found


def strict(schema: Any, closed: bool = True) -> Any:
    """A schema of OpenAPI as one of JSON Schema in which unknown fields are faults.

    Args:
        schema: As a CustomResourceDefinition has it.
        closed: Whether fields that are not listed are faults; not so where a schema only adds conditions to another.
    """
    if not isinstance(schema, dict):
        return schema
    kept = (
        "type",
        "enum",
        "required",
        "pattern",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    )
    made = {key: schema[key] for key in (*kept, "minProperties", "maxProperties") if key in schema}
    made |= {key: [strict(one, False) for one in schema[key]] for key in ("allOf", "anyOf", "oneOf") if key in schema}
    if "not" in schema:
        made["not"] = strict(schema["not"], False)
    if "items" in schema:
        made["items"] = strict(schema["items"], closed)
    if "properties" in schema:
        made["properties"] = {name: strict(one, closed) for name, one in schema["properties"].items()}
    if "additionalProperties" in schema:
        made["additionalProperties"] = strict(schema["additionalProperties"], closed)
    elif closed and "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def validators(found: dict[str, Any]) -> dict[str, Draft202012Validator]:
    """What tells whether a custom resource is one, by `apiVersion/kind`."""
    made = {}
    for name, schema in found.items():
        content = strict(schema)
        content["properties"]["metadata"] = METADATA
        made[name] = Draft202012Validator(content)
    return made


def is_custom(one: Object) -> bool:
    """Whether the kind is none of Kubernetes' own."""
    return any(group in one["apiVersion"] for group in CUSTOM)


def schema_faults(one: Object, custom: dict[str, Draft202012Validator]) -> list[str]:
    """What a schema has against an object."""
    if not is_custom(one):
        return [fault for version in KUBERNETES for fault in _core_faults(json.dumps(one), version)]
    errors = custom[f"{one['apiVersion']}/{one['kind']}"].iter_errors(one)
    return [f"{name_of(one)}: {error.json_path}: {error.message[:300]}" for error in errors]


@cache
def _core_faults(text: str, version: str) -> list[str]:
    one = json.loads(text)
    try:
        validate(one, version, strict=True)
    except ValidationError as error:
        path = ".".join(map(str, error.path))
        return [f"{name_of(one)}: {path}: {error.message[:300]} (Kubernetes {version})"]
    return []


def name_of(one: Object) -> str:
    """Kind and name."""
    return f"{one['kind']}/{one['metadata']['name']}"


def pod_templates(all_objects: list[Object]) -> Iterator[tuple[str, Object, bool]]:
    """Every pod template, with a name for it, and whether it runs on."""
    for one in all_objects:
        if one["kind"] in WORKLOADS:
            yield name_of(one), one["spec"]["template"], True
        if one["kind"] == "AnalysisTemplate":
            for metric in one["spec"]["metrics"]:
                if "job" in metric["provider"]:
                    yield f"{name_of(one)}/{metric['name']}", metric["provider"]["job"]["spec"]["template"], False


def queries(all_objects: list[Object]) -> Iterator[tuple[str, str]]:
    """Every expression in PromQL, with a name for it."""
    for one in all_objects:
        if one["kind"] == "AnalysisTemplate":
            for metric in one["spec"]["metrics"]:
                if "prometheus" in metric["provider"]:
                    yield f"{name_of(one)}/{metric['name']}", metric["provider"]["prometheus"]["query"]
        if one["kind"] == "PrometheusRule":
            for group in one["spec"]["groups"]:
                for rule in group["rules"]:
                    yield f"{name_of(one)}/{rule['alert']}", rule["expr"]


def query_faults(all_objects: list[Object], exposed: dict[str, set[str]]) -> list[str]:
    """Series or labels that an expression asks for and the service does not have.

    Args:
        all_objects: What is deployed.
        exposed: The labels of each series of the service.
    """
    faults = []
    for where, query in queries(all_objects):
        names = set(re.findall(r"\b(?:slipway|bentoml)_\w+", query))
        faults += [f"{where}: the service has no series {name}" for name in sorted(names - exposed.keys())]
        if not names:
            faults.append(f"{where}: asks for nothing of the service")
        for name, matchers in re.findall(r"\b(slipway_\w+)\{([^}]*(?:\}\}[^}]*)*)\}", query):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))
            faults += [
                f"{where}: {name} has no label {label}"
                for label in sorted(labels - exposed.get(name, labels) - SCRAPED)
            ]
    return faults


def faults(all_objects: list[Object], *, user: int, port: int, grace: int) -> list[str]:
    """What our rules have against all that is deployed to a namespace.

    Args:
        all_objects: What is deployed.
        user: The number of the image's user.
        port: The port that the image listens on.
        grace: Seconds that the image lets requests in work take after SIGTERM.
    """
    found: list[str] = []
    for name, template, runs_on in pod_templates(all_objects):
        found += [f"{name}: {fault}" for fault in _pod_faults(template["spec"], user)]
        if runs_on:
            found += [f"{name}: {fault}" for fault in _service_pod_faults(template["spec"], port, grace)]
    rules = (_workload_faults, _selector_faults, _service_faults, _analysis_faults, _namespace_faults)
    return [*found, *(fault for rule in rules for fault in rule(all_objects))]


def _pod_faults(pod: Object, user: int) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") != user:
        yield f"does not run as the image's user, {user}"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "gets a token of the cluster"
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace with its node"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for volume in volumes.values():
        if not {"emptyDir", "configMap"} & volume.keys():
            yield f"volume {volume['name']} is of a kind that is not needed"
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        yield from _container_faults(container)
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"mounts {mount['name']}, which is no volume"


def _container_faults(container: Object) -> Iterator[str]:
    if not IMAGE.fullmatch(container["image"]):
        yield f"image {container['image']} is not named by its digest alone"
    own = container.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "may become another user"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root file system"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if {"runAsUser", "runAsNonRoot"} & own.keys():
        yield "a container has a user of its own"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "does not say what processor and memory it needs"
    if "memory" not in resources.get("limits", {}):
        yield "has no limit of memory"


def _service_pod_faults(pod: Object, port: int, grace: int) -> Iterator[str]:
    container = pod["containers"][0]
    ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
    if ports.get("http") != port:
        yield f"port http is not {port}, where the image listens"
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path:
            yield f"{probe} does not ask {path}"
        elif asked["port"] not in ports:
            yield f"{probe} asks port {asked['port']}, which is none of the container's"
    wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not wait:
        yield "stops while requests still come"
    if pod.get("terminationGracePeriodSeconds", 30) < wait + grace + 5:
        yield "is killed before requests in work have had their time"
    empty = {volume["name"] for volume in pod.get("volumes", []) if "emptyDir" in volume}
    if "/tmp" not in {mount["mountPath"] for mount in container.get("volumeMounts", []) if mount["name"] in empty}:  # noqa: S108
        yield "cannot write to /tmp"


def _workload_faults(all_objects: list[Object]) -> Iterator[str]:
    workloads = [one for one in all_objects if one["kind"] in WORKLOADS]
    if len(workloads) != 1:
        yield f"there are {len(workloads)} workloads"
    yield from (f"{name_of(one)}: replicas at {path}" for one in all_objects for path in _keys(one, "replicas"))
    for one in workloads:
        if not one["spec"].get("strategy"):
            yield f"{name_of(one)}: has no strategy"
        account = one["spec"]["template"]["spec"].get("serviceAccountName")
        accounts = [other for other in all_objects if other["kind"] == "ServiceAccount"]
        if account not in {other["metadata"]["name"] for other in accounts}:
            yield f"{name_of(one)}: service account {account} is missing"
    references = {(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in workloads}
    scalers = [one for one in all_objects if one["kind"] == "HorizontalPodAutoscaler"]
    if len(scalers) != 1:
        yield f"there are {len(scalers)} autoscalers"
    for one in scalers:
        target = one["spec"]["scaleTargetRef"]
        if (target["apiVersion"], target["kind"], target["name"]) not in references:
            yield f"{name_of(one)}: scales {target['kind']}/{target['name']}, which is not there"
        if not 2 <= one["spec"].get("minReplicas", 1) <= one["spec"]["maxReplicas"]:
            yield f"{name_of(one)}: one pod alone would serve"
    budgets = [one for one in all_objects if one["kind"] == "PodDisruptionBudget"]
    if len(budgets) != 1:
        yield f"there are {len(budgets)} disruption budgets"
    for one in budgets:
        if not one["spec"].get("maxUnavailable"):
            yield f"{name_of(one)}: lets no node be drained"


def _keys(content: Any, key: str, path: str = "") -> Iterator[str]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, inner in pairs:
        if name == key:
            yield f"{path}/{name}"
        yield from _keys(inner, key, f"{path}/{name}")


def _selector_faults(all_objects: list[Object]) -> Iterator[str]:
    templates = {name: template for name, template, _ in pod_templates(all_objects)}
    running = {name: template for name, template, runs_on in pod_templates(all_objects) if runs_on}
    for one in all_objects:
        spec, name = one.get("spec", {}), name_of(one)
        selectors: list[tuple[Object, dict[str, Any]]] = []
        if one["kind"] in WORKLOADS:
            selectors = [(spec["selector"]["matchLabels"], running)]
            spreads = spec["template"]["spec"].get("topologySpreadConstraints", [])
            selectors += [(spread["labelSelector"]["matchLabels"], running) for spread in spreads]
        elif one["kind"] == "Service":
            selectors = [(spec.get("selector", {}), running)]
        elif one["kind"] in {"PodDisruptionBudget", "PodMonitor"}:
            selectors = [(spec["selector"]["matchLabels"], running)]
        elif one["kind"] == "NetworkPolicy":
            peers = [peer for way, side in (("ingress", "from"), ("egress", "to")) for rule in spec.get(way, [])
                     for peer in rule.get(side, []) if "podSelector" in peer]  # fmt: skip
            chosen = [spec["podSelector"], *(peer["podSelector"] for peer in peers)]
            # The smoke test is there with a rollout only.
            pods = templates if len(templates) > 1 else {**templates, "smoke": _labelled("model-smoke")}
            selectors = [(selector["matchLabels"], pods) for selector in chosen if selector]
        for labels, among in selectors:
            matched = [
                other
                for other, template in templates.items()
                if labels.items() <= template["metadata"]["labels"].items()
            ]
            if not labels or not [
                other for other, template in among.items() if labels.items() <= template["metadata"]["labels"].items()
            ]:
                yield f"{name}: selects {labels}, which no pod has"
            elif among is running and set(matched) - running.keys():
                yield f"{name}: selects pods of an analysis as well"


def _labelled(name: str) -> Object:
    return {"metadata": {"labels": {"app.kubernetes.io/name": name}}}


def _service_faults(all_objects: list[Object]) -> Iterator[str]:
    numbers = {
        port["name"]: port["containerPort"]
        for _, template, runs_on in pod_templates(all_objects)
        if runs_on
        for port in template["spec"]["containers"][0].get("ports", [])
    }
    services = {one["metadata"]["name"]: one for one in all_objects if one["kind"] == "Service"}
    routes = {one["metadata"]["name"] for one in all_objects if one["kind"] == "HTTPRoute"}
    for one in all_objects:
        spec, name = one.get("spec", {}), name_of(one)
        asked: list[Any] = []
        if one["kind"] == "Service":
            asked = [port["targetPort"] for port in spec["ports"]]
        elif one["kind"] == "PodMonitor":
            asked = [endpoint["port"] for endpoint in spec["podMetricsEndpoints"]]
        elif one["kind"] == "NetworkPolicy":
            rules = [*spec.get("ingress", []), *spec.get("egress", [])]
            asked = [port["port"] for rule in rules for port in rule.get("ports", []) if port["port"] != 53]  # DNS
        yield from (
            f"{name}: no container has port {port}" for port in asked if port not in {*numbers, *numbers.values()}
        )
        if one["kind"] == "HTTPRoute":
            for backend in [backend for rule in spec["rules"] for backend in rule["backendRefs"]]:
                service = services.get(backend["name"], {"spec": {"ports": []}})
                if backend["port"] not in {port["port"] for port in service["spec"]["ports"]}:
                    yield f"{name}: service {backend['name']} with port {backend['port']} is missing"
        if one["kind"] == "Rollout":
            canary, blue_green = (
                spec.get("strategy", {}).get("canary", {}),
                spec.get("strategy", {}).get("blueGreen", {}),
            )
            fields = ("canaryService", "stableService", "activeService", "previewService")
            for service_name in [side[field] for side in (canary, blue_green) for field in fields if field in side]:
                if service_name not in services:
                    yield f"{name}: service {service_name} is missing"
            for plugin in canary.get("trafficRouting", {}).get("plugins", {}).values():
                if plugin["httpRoute"] not in routes:
                    yield f"{name}: route {plugin['httpRoute']} is missing"


def analyses(rollout: Object) -> Iterator[tuple[Object, bool]]:
    """Every analysis of a Rollout, and whether it goes on in the background."""
    canary = rollout["spec"].get("strategy", {}).get("canary", {})
    blue_green = rollout["spec"].get("strategy", {}).get("blueGreen", {})
    if "analysis" in canary:
        yield canary["analysis"], True
    yield from ((step["analysis"], False) for step in canary.get("steps", []) if "analysis" in step)
    yield from (
        (blue_green[key], False) for key in ("prePromotionAnalysis", "postPromotionAnalysis") if key in blue_green
    )


def _analysis_faults(all_objects: list[Object]) -> Iterator[str]:
    templates = {one["metadata"]["name"]: one for one in all_objects if one["kind"] == "AnalysisTemplate"}
    services = {one["metadata"]["name"] for one in all_objects if one["kind"] == "Service"}
    maps = {one["metadata"]["name"] for one in all_objects if one["kind"] == "ConfigMap"}
    for rollout in (one for one in all_objects if one["kind"] == "Rollout"):
        for analysis, background in analyses(rollout):
            given = {arg["name"]: arg.get("value") for arg in analysis.get("args", [])}
            known: set[str] = set()
            for template in (reference["templateName"] for reference in analysis["templates"]):
                if template not in templates:
                    yield f"{name_of(rollout)}: analysis template {template} is missing"
                    continue
                spec = templates[template]["spec"]
                own = {arg["name"]: arg.get("value") for arg in spec["args"]}
                known |= own.keys()
                missing = [name for name, value in own.items() if value is None and name not in given]
                yield from (f"{name_of(rollout)}: {template} is not given {name}" for name in missing)
                # Argo Rollouts refuses a step without an end by what the template says, whatever it is given.
                count = given.get("count") if background else own.get("count", "1")
                if "count" in own and (count == "0") != background:
                    yield f"{name_of(rollout)}: {template} goes on for {count} measurements"
            yield from (f"{name_of(rollout)}: no template takes {name}" for name in sorted(given.keys() - known))
            if "host" in given and given["host"] not in services:
                yield f"{name_of(rollout)}: service {given['host']} is missing"
    for name, template in templates.items():
        args = {arg["name"] for arg in template["spec"]["args"]}
        used = set(ARGUMENT.findall(json.dumps(template["spec"]["metrics"])))
        yield from (f"AnalysisTemplate/{name}: there is no argument {arg}" for arg in sorted(used - args))
        yield from (f"AnalysisTemplate/{name}: argument {arg} is not used" for arg in sorted(args - used))
        for metric in template["spec"]["metrics"]:
            if "prometheus" in metric["provider"] and "len(result)" not in metric.get("successCondition", ""):
                yield f"AnalysisTemplate/{name}/{metric['name']}: does not say what no result means"
    for name, template, _ in pod_templates(all_objects):
        for volume in template["spec"].get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{name}: config map {volume['configMap']['name']} is missing"


def _namespace_faults(all_objects: list[Object]) -> Iterator[str]:
    spaces = {one["metadata"]["name"] for one in all_objects if one["kind"] == "Namespace"}
    if len(spaces) != 1:
        yield f"there are {len(spaces)} namespaces"
    for one in all_objects:
        labels = one["metadata"].get("labels", {})
        if one["kind"] == "Namespace":
            if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
                yield f"{name_of(one)}: does not hold pods to the restricted standard"
        elif one["metadata"].get("namespace") not in spaces:
            yield f"{name_of(one)}: is in another namespace"
        if "app.kubernetes.io/part-of" not in labels:
            yield f"{name_of(one)}: has no label app.kubernetes.io/part-of"

"""deploy/: what kustomize makes of it is what a cluster takes and our rules allow; and each rule is seen to fail."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import manifests
import pytest
from helpers import ROOT, made_once
from jsonschema import Draft202012Validator
from manifests import Object, build, dumped, name_of, objects
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from releases import churned, make_release
from ruamel.yaml import YAML
from servers import serving

from slipway.service.metrics import PATHS, Metrics
from slipway.service.release import MODEL, load_release
from slipway.signature import load_signature

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
ENVIRONMENTS = ("staging", "production")
STRATEGIES = ("rollout-canary", "rollout-blue-green", "plain-deployment")
EXTRAS = ((), ("monitoring",), ("network-policy",), ("monitoring", "network-policy"))
COMBINATIONS = [
    *((strategy, *extra) for strategy in STRATEGIES for extra in EXTRAS),
    *(("rollout-canary", "gateway", *extra) for extra in EXTRAS),
]
ALL = ("rollout-canary", "gateway", "monitoring", "network-policy")
DIGEST = f"sha256:{'4f' * 32}"
LINEAGE = {
    f"slipway.dev/{name}": value * 10 for name, value in zip(("commit", "data", "lock", "verdict"), "abcd", strict=True)
}


@pytest.fixture(scope="session", autouse=True)
def kustomize() -> str:
    try:
        return manifests.find_kustomize()
    except manifests.UnavailableError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def custom() -> dict[str, Draft202012Validator]:
    try:
        return manifests.validators(manifests.definitions())
    except manifests.UnavailableError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here, so alerts and analyses were not tried on series")
    return found


@pytest.fixture(scope="session")
def image() -> dict[str, int]:
    """What the manifests have to fit: the image's user, port, and time for requests in work."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    patterns = {
        "user": r"^USER (\d+):",
        "port": r"^EXPOSE (\d+)",
        "grace": r'^CMD .*"--timeout-graceful-shutdown", "(\d+)"',
    }
    return {name: int(re.findall(pattern, dockerfile, re.MULTILINE)[0]) for name, pattern in patterns.items()}


def combined(folder: Path, *components: str, **rest: Any) -> list[Object]:
    """The base with components, as an overlay of one's own would have them."""
    kubernetes = os.path.relpath(KUBERNETES, folder.resolve())
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "slipway-staging",
        "resources": [f"{kubernetes}/base", "namespace.yaml"],
        "components": [f"{kubernetes}/components/{name}" for name in components],
        "labels": [{"pairs": {"app.kubernetes.io/part-of": "slipway"}, "includeTemplates": True}],
        "images": [{"name": "model", "newName": "ghcr.io/owner/slipway", "digest": DIGEST}],
    }
    shutil.copy(KUBERNETES / "overlays/staging/namespace.yaml", folder)
    (folder / "kustomization.yaml").write_text(dumped(content | rest))
    return build(folder)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """All there is with a canary; not to be changed."""
    return combined(tmp_path_factory.mktemp("everything"), *ALL)


def one(among: list[Object], kind: str, name: str = "model") -> Object:
    """The object of a kind and name."""
    (found,) = (each for each in among if name_of(each) == f"{kind}/{name}")
    return found


def workload(among: list[Object]) -> Object:
    (found,) = (each for each in among if each["kind"] in manifests.WORKLOADS)
    return found


def container(among: list[Object]) -> Object:
    found: Object = workload(among)["spec"]["template"]["spec"]["containers"][0]
    return found


# What is deployed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_keeps_to_the_rules(environment, image):
    built = build(KUBERNETES / "overlays" / environment)
    assert {each["kind"] for each in built} >= {"Rollout", "AnalysisTemplate", "PodMonitor", "PrometheusRule"}
    assert manifests.faults(built, **image) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_keeps_to_the_schemas(environment, custom):
    built = build(KUBERNETES / "overlays" / environment)
    assert [fault for each in built for fault in manifests.schema_faults(each, custom)] == []


@pytest.mark.parametrize("components", COMBINATIONS, ids="+".join)
def test_a_combination_of_components_keeps_to_the_schemas(components, tmp_path, custom):
    built = combined(tmp_path, *components)
    assert [fault for each in built for fault in manifests.schema_faults(each, custom)] == []


@pytest.mark.parametrize("components", COMBINATIONS, ids="+".join)
def test_a_combination_of_components_keeps_to_the_rules(components, tmp_path, image):
    built = combined(tmp_path, *components)
    assert manifests.faults(built, **image) == []
    assert workload(built)["kind"] == ("Deployment" if "plain-deployment" in components else "Rollout")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_prefix_reaches_every_name_that_another_object_uses(strategy, tmp_path, image):
    components = (strategy, *ALL[1:]) if strategy == "rollout-canary" else (strategy, *ALL[2:])
    built = combined(tmp_path, *components, namePrefix="other-")
    assert {each["metadata"]["name"].startswith("other-") for each in built if each["kind"] != "Namespace"} == {True}
    assert manifests.faults(built, **image) == []


def test_a_pod_template_of_a_rollout_is_one_that_kubernetes_takes(everything):
    rollout = workload(everything)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model"},
        "spec": {key: rollout["spec"][key] for key in ("selector", "template")},
    }
    assert manifests.schema_faults(deployment, {}) == []


def rewritten(overlay: Path, **values: Any) -> list[Object]:
    """What comes of an overlay with other values in its kustomization.yaml; None takes one away."""
    yaml = YAML()
    content = yaml.load(overlay / "kustomization.yaml")
    for key, value in values.items():
        content.pop(key, None)
        if value is not None:
            content[key] = value
    yaml.dump(content, overlay / "kustomization.yaml")
    return build(overlay)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_release_reaches_every_image_and_its_lineage_the_pods(environment, tmp_path, image):
    # Given an environment, as if nothing had been released yet
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes/overlays" / environment
    (content,) = objects((overlay / "kustomization.yaml").read_text())
    (entry,) = content["images"]
    assert entry.keys() == {"name", "newName", "digest"}
    before = rewritten(overlay, commonAnnotations=None)
    # When a release writes its digest, its lineage as annotations, and a file beside
    (overlay / "lineage.json").write_text("{}")
    name = "registry.example.org:5000/team/other"
    released = [{"name": entry["name"], "newName": name, "digest": DIGEST}]
    after = rewritten(overlay, images=released, commonAnnotations=LINEAGE)
    # Then pods and jobs have the image, pods have the annotations, and there is nothing else
    templates = [template for _, template, _ in manifests.pod_templates(after)]
    assert {each["image"] for template in templates for each in template["spec"]["containers"]} == {f"{name}@{DIGEST}"}
    rollout = workload(after)
    assert LINEAGE.items() <= rollout["metadata"]["annotations"].items()
    assert rollout["spec"]["template"]["metadata"]["annotations"] == LINEAGE
    assert workload(before)["spec"]["template"]["metadata"].get("annotations") is None
    assert manifests.faults(after, **image) == []
    assert len(after) == len(before)


def test_without_the_fields_of_rollouts_lineage_does_not_reach_the_pods(tmp_path):
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    base, overlay = tmp_path / "kubernetes/base/kustomization.yaml", tmp_path / "kubernetes/overlays/staging"
    base.write_text(re.sub(r"(?s)configurations:.*", "", base.read_text()))
    built = rewritten(overlay, commonAnnotations=LINEAGE)
    assert "annotations" not in workload(built)["spec"]["template"]["metadata"]


def test_the_table_of_components_is_of_these():
    text = (KUBERNETES / "README.md").read_text()
    rows = re.findall(r"(?m)^\| `([\w-]+)` \|.*\|.*\|\s*(yes)?\s*\|\s*(yes)?\s*\|$", text)
    assert {name for name, *_ in rows} == {folder.name for folder in (KUBERNETES / "components").iterdir()}
    for place, environment in enumerate(ENVIRONMENTS, 1):
        (content,) = objects((KUBERNETES / "overlays" / environment / "kustomization.yaml").read_text())
        listed = {Path(path).name for path in content["components"]} | {"analysis"}
        assert {row[0] for row in rows if row[place]} == listed


# Each rule is seen to fail


def setting(find: Callable[[list[Object]], Any], **values: Any) -> Callable[[list[Object]], object]:
    """Set keys of something; None removes one."""

    def mutate(among: list[Object]) -> None:
        found = find(among)
        for key, value in values.items():
            found.pop(key, None) if value is None else found.update({key: value})

    return mutate


def pod(among: list[Object]) -> Object:
    found: Object = workload(among)["spec"]["template"]["spec"]
    return found


def spec(kind: str, name: str = "model") -> Callable[[list[Object]], Any]:
    return lambda among: one(among, kind, name)["spec"]


def job(among: list[Object]) -> Object:
    found: Object = one(among, "AnalysisTemplate", "model-smoke")["spec"]["metrics"][0]["provider"]["job"]["spec"]
    return found["template"]["spec"]["containers"][0]


def without(kind: str, name: str = "model") -> Callable[[list[Object]], object]:
    return lambda among: among.remove(one(among, kind, name))


def canary(among: list[Object]) -> Object:
    found: Object = workload(among)["spec"]["strategy"]["canary"]
    return found


BREAKS: dict[str, tuple[Callable[[list[Object]], object], str]] = {
    "a tag": (
        setting(container, image="ghcr.io/owner/slipway:v1"),
        "image ghcr.io/owner/slipway:v1 is not named by its",
    ),
    "a tag and a digest": (setting(container, image=f"ghcr.io/o/s:v1@{DIGEST}"), "is not named by its digest alone"),
    "a short digest": (setting(container, image="ghcr.io/o/s@sha256:00"), "is not named by its digest alone"),
    "no image in place": (setting(container, image="model"), "is not named by its digest alone"),
    "a tag in a job": (setting(job, image="python:3.12"), "model-smoke/smoke: image python:3.12 is not named"),
    "root": (setting(lambda among: pod(among)["securityContext"], runAsUser=0), "does not run as the image's user"),
    "a user without a number": (
        setting(lambda among: pod(among)["securityContext"], runAsUser=None),
        "does not run as the image's user",
    ),
    "perhaps root": (setting(lambda among: pod(among)["securityContext"], runAsNonRoot=None), "as the image's user"),
    "a user of the container": (
        setting(lambda among: container(among)["securityContext"], runAsUser=0),
        "a container has a user of its own",
    ),
    "no seccomp profile": (
        setting(lambda among: pod(among)["securityContext"], seccompProfile=None),
        "seccomp profile",
    ),
    "a token": (setting(pod, automountServiceAccountToken=None), "gets a token of the cluster"),
    "the node's network": (setting(pod, hostNetwork=True), "shares a namespace with its node"),
    "the node's files": (
        lambda among: pod(among)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        "volume host is of a kind",
    ),
    "another user": (
        setting(lambda among: container(among)["securityContext"], allowPrivilegeEscalation=None),
        "may become another user",
    ),
    "privileges": (setting(lambda among: container(among)["securityContext"], privileged=True), "become another user"),
    "a root file system to write to": (
        setting(lambda among: container(among)["securityContext"], readOnlyRootFilesystem=False),
        "may write to its root file system",
    ),
    "capabilities": (
        setting(lambda among: container(among)["securityContext"], capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
        "keeps capabilities",
    ),
    "capabilities of a job": (setting(lambda among: job(among)["securityContext"], capabilities=None), "keeps capab"),
    "no limit": (setting(lambda among: container(among)["resources"]["limits"], memory=None), "has no limit of memory"),
    "no limit of a job": (setting(lambda among: job(among)["resources"], limits=None), "smoke: has no limit of memory"),
    "no request": (
        setting(lambda among: container(among)["resources"]["requests"], cpu=None),
        "does not say what processor and memory",
    ),
    "no volume": (setting(pod, volumes=[]), "mounts tmp, which is no volume"),
    "nowhere to write": (setting(container, volumeMounts=[]), "cannot write to /tmp"),
    "another port": (
        lambda among: container(among)["ports"][0].update(containerPort=8080),
        "port http is not 3000, where the image listens",
    ),
    "no readiness": (setting(container, readinessProbe=None), "readinessProbe does not ask /readyz"),
    "readiness that asks for life": (
        setting(lambda among: container(among)["readinessProbe"]["httpGet"], path="/livez"),
        "readinessProbe does not ask /readyz",
    ),
    "life that asks for readiness": (
        setting(lambda among: container(among)["livenessProbe"]["httpGet"], path="/readyz"),
        "livenessProbe does not ask /livez",
    ),
    "no startup": (setting(container, startupProbe=None), "startupProbe does not ask /livez"),
    "a probe of no port": (
        setting(lambda among: container(among)["livenessProbe"]["httpGet"], port="web"),
        "livenessProbe asks port web",
    ),
    "no wait": (setting(container, lifecycle=None), "stops while requests still come"),
    "too little time": (setting(pod, terminationGracePeriodSeconds=40), "killed before requests in work"),
    "replicas": (setting(spec("Rollout"), replicas=3), "Rollout/model: replicas at /spec/replicas"),
    "no strategy": (setting(spec("Rollout"), strategy=None), "has no strategy"),
    "no workload": (lambda among: among.remove(workload(among)), "there are 0 workloads"),
    "no service account": (without("ServiceAccount"), "service account model is missing"),
    "no autoscaler": (without("HorizontalPodAutoscaler"), "there are 0 autoscalers"),
    "an autoscaler of something else": (
        setting(lambda among: spec("HorizontalPodAutoscaler")(among)["scaleTargetRef"], kind="Deployment"),
        "scales Deployment/model, which is not there",
    ),
    "one pod": (setting(spec("HorizontalPodAutoscaler"), minReplicas=1), "one pod alone would serve"),
    "no budget": (without("PodDisruptionBudget"), "there are 0 disruption budgets"),
    "a budget that blocks": (setting(spec("PodDisruptionBudget"), maxUnavailable=0), "lets no node be drained"),
    "a selector of nothing": (
        setting(lambda among: spec("Rollout")(among)["selector"], matchLabels={"app.kubernetes.io/name": "other"}),
        "Rollout/model: selects",
    ),
    "a service of nothing": (
        setting(spec("Service"), selector={"app": "model"}),
        "Service/model: selects {'app': 'model'}",
    ),
    "a service of everything": (setting(spec("Service"), selector={}), "Service/model: selects {}"),
    "a budget of nothing": (
        setting(lambda among: spec("PodDisruptionBudget")(among)["selector"], matchLabels={"app": "x"}),
        "PodDisruptionBudget/model: selects",
    ),
    "a monitor of nothing": (
        setting(lambda among: spec("PodMonitor")(among)["selector"], matchLabels={"app": "x"}),
        "PodMonitor/model: selects",
    ),
    "a policy of nothing": (
        setting(lambda among: spec("NetworkPolicy")(among)["podSelector"], matchLabels={"app": "x"}),
        "NetworkPolicy/model: selects",
    ),
    "a spread of nothing": (
        lambda among: pod(among)["topologySpreadConstraints"][0]["labelSelector"].update(matchLabels={"app": "x"}),
        "Rollout/model: selects {'app': 'x'}",
    ),
    "a label of a job": (
        lambda among: one(among, "AnalysisTemplate", "model-smoke")["spec"]["metrics"][0]["provider"]["job"]["spec"][
            "template"
        ]["metadata"]["labels"].update({"app.kubernetes.io/name": "model"}),
        "Service/model: selects pods of an analysis as well",
    ),
    "a service's port": (
        lambda among: spec("Service")(among)["ports"][0].update(targetPort="web"),
        "Service/model: no container has port web",
    ),
    "a monitor's port": (
        lambda among: spec("PodMonitor")(among)["podMetricsEndpoints"][0].update(port="web"),
        "PodMonitor/model: no container has port web",
    ),
    "a policy's port": (
        lambda among: spec("NetworkPolicy")(among)["ingress"][0]["ports"][0].update(port=8080),
        "NetworkPolicy/model: no container has port 8080",
    ),
    "a route's port": (
        lambda among: spec("HTTPRoute")(among)["rules"][0]["backendRefs"][0].update(port=3000),
        "service model-stable with port 3000 is missing",
    ),
    "a canary's service": (without("Service", "model-canary"), "Rollout/model: service model-canary is missing"),
    "a stable service": (without("Service", "model-stable"), "Rollout/model: service model-stable is missing"),
    "a route": (without("HTTPRoute"), "Rollout/model: route model is missing"),
    "a template": (without("AnalysisTemplate", "model-health"), "analysis template model-health is missing"),
    "an argument that is not given": (
        lambda among: canary(among)["analysis"]["args"].pop(0),
        "model-health is not given namespace",
    ),
    "an argument that nobody takes": (
        lambda among: canary(among)["analysis"]["args"].append({"name": "hsah", "value": "x"}),
        "no template takes hsah",
    ),
    "a background that ends": (
        lambda among: canary(among)["analysis"]["args"][3].update(value="5"),
        "goes on for 5 measurements",
    ),
    "a step without an end": (
        lambda among: (
            canary(among)["steps"].append({"analysis": {"templates": [{"templateName": "model-health"}]}})
            or one(among, "AnalysisTemplate", "model-health")["spec"]["args"][3].update(value="0")
        ),
        "goes on for 0 measurements",
    ),
    "a host that is no service": (
        lambda among: canary(among)["steps"][1]["analysis"]["args"][0].update(value="model-carnary"),
        "service model-carnary is missing",
    ),
    "an argument without a name": (
        lambda among: spec("AnalysisTemplate", "model-health")(among)["args"].pop(1),
        "there is no argument hash",
    ),
    "an argument without use": (
        lambda among: spec("AnalysisTemplate", "model-health")(among)["args"].append({"name": "x", "value": "y"}),
        "argument x is not used",
    ),
    "no condition": (
        lambda among: spec("AnalysisTemplate", "model-health")(among)["metrics"][1].pop("successCondition"),
        "model-health/errors: does not say what no result means",
    ),
    "a config map": (without("ConfigMap", "model-smoke"), "config map model-smoke is missing"),
    "no namespace": (without("Namespace", "slipway-staging"), "there are 0 namespaces"),
    "another namespace": (
        setting(lambda among: one(among, "Service")["metadata"], namespace="default"),
        "Service/model: is in another namespace",
    ),
    "pods of any kind": (
        lambda among: one(among, "Namespace", "slipway-staging")["metadata"].update(labels={}),
        "restricted standard",
    ),
    "no label": (
        setting(lambda among: one(among, "Service")["metadata"], labels={}),
        "has no label app.kubernetes.io/part-of",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_rule_names_what_breaks_it(name, everything, image):
    mutate, message = BREAKS[name]
    broken = json.loads(json.dumps(everything))
    assert manifests.faults(broken, **image) == []
    mutate(broken)
    assert message in "\n".join(manifests.faults(broken, **image))


MISTAKES: dict[str, tuple[Callable[[list[Object]], object], str]] = {
    "Rollout": (setting(spec("Rollout"), replica=3), "'replica'"),
    "Rollout, deep": (lambda among: canary(among)["steps"][0].update(weight=20), "'weight'"),
    "Rollout, pod": (lambda among: container(among)["securityContext"].update(readOnly=True), "'readOnly'"),
    "Rollout, type": (setting(canary, canaryService=3), "canaryService"),
    "AnalysisTemplate": (
        lambda among: spec("AnalysisTemplate", "model-health")(among)["metrics"][0].update(succesCondition="true"),
        "'succesCondition'",
    ),
    "AnalysisTemplate, job": (lambda among: job(among).update(imagePullPolicies="Always"), "'imagePullPolicies'"),
    "PodMonitor": (setting(spec("PodMonitor"), targetLabels=["x"]), "'targetLabels'"),
    "PrometheusRule": (lambda among: spec("PrometheusRule")(among)["groups"][0]["rules"][0].update(fro="5m"), "'fro'"),
    "HTTPRoute": (lambda among: spec("HTTPRoute")(among)["rules"][0].update(match=[]), "'match'"),
    "HorizontalPodAutoscaler": (setting(spec("HorizontalPodAutoscaler"), min=2), "'min'"),
    "PodDisruptionBudget": (setting(spec("PodDisruptionBudget"), maxUnavailable=[1]), "maxUnavailable"),
    "NetworkPolicy": (setting(spec("NetworkPolicy"), egres=[]), "'egres'"),
    "Service": (lambda among: spec("Service")(among)["ports"][0].update(target="http"), "'target'"),
    "ServiceAccount": (setting(lambda among: one(among, "ServiceAccount"), automount=False), "'automount'"),
    "metadata": (setting(lambda among: workload(among)["metadata"], label={}), "'label'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_schema_names_the_field_that_it_does_not_know(name, everything, custom):
    mutate, message = MISTAKES[name]
    broken = json.loads(json.dumps(everything))
    mutate(broken)
    found = [fault for each in broken for fault in manifests.schema_faults(each, custom)]
    assert message in "\n".join(found)
    assert all(name.partition(",")[0] in fault or name == "metadata" for fault in found)


def test_another_file_than_the_pinned_one_is_not_taken(custom):
    (module, (version, _, files)), *_ = manifests.MODULES.items()
    try:
        with pytest.raises(AssertionError, match="is another one than it was"):
            manifests.fetch(module, version, "h1:other", files)
    except manifests.UnavailableError as missing:
        pytest.skip(str(missing))


# Argo CD and Flux


def applications() -> dict[str, Object]:
    return {name: objects((DEPLOY / f"argocd/{name}.yaml").read_text())[0] for name in ENVIRONMENTS}


def project() -> Object:
    (found,) = objects((DEPLOY / "argocd/project.yaml").read_text())
    return found


def flux() -> list[Object]:
    return [each for file in sorted((DEPLOY / "flux").glob("*.yaml")) for each in objects(file.read_text())]


def test_what_argo_cd_and_flux_read_is_theirs(custom):
    given = [project(), *applications().values(), *flux()]
    assert [fault for each in given for fault in manifests.schema_faults(each, custom)] == []
    for each in given:
        each["spec"]["nonsense"] = 1
        assert "'nonsense'" in "\n".join(manifests.schema_faults(each, custom))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_application_deploys_its_environment_and_leaves_alone_what_otherssetting(environment):
    given = applications()[environment]["spec"]
    assert given["source"]["path"] == f"deploy/kubernetes/overlays/{environment}"
    assert given["project"] == project()["metadata"]["name"]
    assert given["source"]["repoURL"] in project()["spec"]["sourceRepos"]
    assert given["destination"] in project()["spec"]["destinations"]
    (overlay,) = objects((KUBERNETES / "overlays" / environment / "kustomization.yaml").read_text())
    assert given["destination"]["namespace"] == overlay["namespace"]
    sync = given["syncPolicy"]
    assert sync["automated"] == {"prune": True, "selfHeal": True}
    assert sync["retry"]["limit"] > 0
    # A server-side apply would own the whole selector of a Service, and take away what Argo Rollouts puts there.
    assert "RespectIgnoreDifferences=true" in sync["syncOptions"]
    assert "ServerSideApply=true" not in sync["syncOptions"]
    left = {(each.get("group", ""), each["kind"]): each for each in given["ignoreDifferences"]}
    assert left["argoproj.io", "Rollout"]["jsonPointers"] == ["/spec/replicas"]
    assert left["apps", "Deployment"]["jsonPointers"] == ["/spec/replicas"]
    assert left["", "Service"]["jsonPointers"] == ["/spec/selector/rollouts-pod-template-hash"]


@pytest.mark.parametrize("components", COMBINATIONS, ids="+".join)
def test_the_project_allows_what_is_deployed(components, tmp_path):
    allowed = {(each["group"], each["kind"]) for each in project()["spec"]["namespaceResourceWhitelist"]}
    allowed |= {(each["group"], each["kind"]) for each in project()["spec"]["clusterResourceWhitelist"]}
    for each in combined(tmp_path, *components):
        group = each["apiVersion"].rpartition("/")[0]
        assert (group, each["kind"]) in allowed


def test_flux_deploys_the_environments_and_leaves_services_alone(tmp_path):
    repository, environments = [each for each in flux() if each["kind"] == "GitRepository"], [
        each for each in flux() if each["kind"] == "Kustomization"
    ]  # fmt: skip
    assert [each["spec"]["path"] for each in environments] == [
        f"./deploy/kubernetes/overlays/{name}" for name in ENVIRONMENTS
    ]
    for each in environments:
        assert each["spec"]["sourceRef"]["name"] == repository[0]["metadata"]["name"]
        built = combined(tmp_path, *ALL, patches=each["spec"]["patches"], commonAnnotations=LINEAGE)
        services = [service["metadata"]["annotations"] for service in built if service["kind"] == "Service"]
        assert services == [LINEAGE | {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}] * 3


# What the service has to say


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        before = Path.cwd()
        os.chdir(folder)
        try:
            make_release(folder / "release", churned)
        finally:
            os.chdir(before)

    return made_once(tmp_path_factory, "manifests", make) / "release"


@pytest.fixture(scope="session")
def exposed(release: Path) -> dict[str, set[str]]:
    """The labels of each series that the service can have."""
    registry = CollectorRegistry()
    metrics = Metrics(load_signature(release / MODEL), load_release(release), registry)
    metrics.request("/predict", 200, 0.001)
    metrics.logged("written")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_queries_ask_for_series_that_the_service_has(everything, exposed):
    assert len(list(manifests.queries(everything))) > 10
    assert manifests.query_faults(everything, exposed) == []
    text = " ".join(query for _, query in manifests.queries(everything))
    assert set(re.findall(r'path="([^"]*)"', text)) <= {*PATHS}
    assert {"/predict"} == set(re.findall(r'path="([^"]*)"', text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slipway_fallback_total", "slipway_fallbacks_total", "has no series slipway_fallbacks_total"),
        ("slipway_requests_total", "bentoml_service_request_total", "has no series bentoml_service_request_total"),
        ("code=", "status=", "slipway_requests_total has no label status"),
    ],
)
def test_a_query_of_a_series_that_the_service_has_not_is_found(old, new, message, everything, exposed):
    broken = json.loads(json.dumps(everything).replace(old, new))
    assert message in "\n".join(manifests.query_faults(broken, exposed))


def test_what_is_scraped_is_kept_and_nothing_else(everything, exposed):
    (endpoint,) = one(everything, "PodMonitor")["spec"]["podMetricsEndpoints"]
    (keep,) = endpoint["metricRelabelings"]
    assert (keep["action"], keep["sourceLabels"], endpoint["path"]) == ("keep", ["__name__"], "/metrics")
    assert endpoint["path"] in PATHS
    assert all(re.fullmatch(keep["regex"], name) for name in exposed)
    assert not re.fullmatch(keep["regex"], "bentoml_service_request_total")


def smoke(server: Any) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-I",
        KUBERNETES / "components/analysis/smoke.py",
        server.url.removeprefix("http://"),
        "0",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_smoke_test_passes_where_the_model_answers(release, tmp_path, exposed):
    with serving(release, tmp_path) as server:
        done = smoke(server)
        assert (done.returncode, done.stderr) == (0, "")
        assert "requests answered by version 1" in done.stdout
        told = {name.partition("{")[0] for name in server.metrics()}
    # What the tests above take for the service's series is what a scrape finds.
    assert {name for name in told if name.startswith("slipway_")} == {
        name for name in exposed if not name.startswith("slipway_prediction_log") and not name.endswith("_created")
    }


def test_the_smoke_test_fails_where_a_fallback_answers(release, tmp_path):
    broken = shutil.copytree(release, tmp_path / "release")
    (broken / MODEL / "model.onnx").write_bytes(b"no model")
    with serving(broken, tmp_path / "home", wait="/livez") as server:
        done = smoke(server)
    assert done.returncode == 1
    assert "prior answered in the model's place" in done.stderr


# Alerts and analyses, tried on series

CANARY, STABLE = "canary", "stable"
POD = 'namespace="production",pod="model-1"'


def checked(promtool: str, folder: Path, rules: list[Object], test: Object) -> subprocess.CompletedProcess[str]:
    """Have promtool try rules."""
    (folder / "rules.yaml").write_text(dumped({"groups": [{"name": "model", "rules": rules}]}))
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [{"interval": "15s", **test}]}
    (folder / "tests.yaml").write_text(dumped(content))
    return subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )


def bare(everything: list[Object]) -> list[Object]:
    """The rules without their annotations, which promtool would want to be told word by word."""
    rules = [rule for group in one(everything, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    return [{key: value for key, value in rule.items() if key != "annotations"} for rule in rules]


def requests(code: str, each: float, **labels: str) -> tuple[str, str]:
    """A series of requests, so many every 15 seconds."""
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return f'slipway_requests_total{{{POD},path="/predict",code="{code}"{more}}}', f"0+{each}x2000"


def gauge(name: str, values: str, **labels: str) -> tuple[str, str]:
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{POD}{more}}}", values


def seconds(fast: float, slow: float, **labels: str) -> list[tuple[str, str]]:
    """Answers within 10 ms, and answers within 1 s, so many every 15 seconds."""
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    name = "slipway_request_seconds"
    limits = {"0.01": fast, "0.5": fast, "1.0": fast + slow, "+Inf": fast + slow}
    made = [
        (f'{name}_bucket{{{POD},code="200",le="{limit}"{more}}}', f"0+{count}x2000") for limit, count in limits.items()
    ]
    return [*made, (f'{name}_count{{{POD},code="200"{more}}}', f"0+{fast + slow}x2000")]


Series = list[tuple[str, str]]
HERE = {"namespace": "production"}
# Of each alert: series, the moment, and the labels that it has then; None where it has to be quiet.
ALERTS: dict[str, tuple[str, Series, str, dict[str, str] | None]] = {
    "gone": ("ModelGone", [gauge("slipway_ready", "1x40 stale")], "20m", HERE),
    "not gone": ("ModelGone", [gauge("slipway_ready", "1x2000")], "20m", None),
    "gone a moment": ("ModelGone", [gauge("slipway_ready", "1x40 stale _x8 1x2000")], "14m", None),
    "taken down two days ago": ("ModelGone", [gauge("slipway_ready", "1x40 stale")], "48h", None),
    "not ready": ("ModelNotReady", [gauge("slipway_ready", "0x2000")], "15m", HERE | {"pod": "model-1"}),
    "not ready yet": ("ModelNotReady", [gauge("slipway_ready", "0x12 1x2000")], "15m", None),
    "errors": ("ModelErrors", [requests("200", 9), requests("500", 1)], "15m", HERE),
    "time-outs": ("ModelErrors", [requests("200", 9), requests("504", 1)], "15m", HERE),
    "few errors": ("ModelErrors", [requests("200", 99), requests("500", 1)], "15m", None),
    "errors of few requests": ("ModelErrors", [requests("200", 0.1), requests("500", 0.1)], "15m", None),
    "errors of callers": ("ModelErrors", [requests("200", 9), requests("422", 1)], "15m", None),
    "no traffic": ("ModelErrors", [requests("200", 0), requests("500", 0)], "15m", None),
    "slow": ("ModelSlow", seconds(9, 1), "30m", HERE),
    "fast": ("ModelSlow", seconds(99, 1), "30m", None),
    "neither": ("ModelSlow", seconds(0, 0), "30m", None),
    "overloaded": ("ModelOverloaded", [requests("200", 9), requests("429", 1)], "15m", HERE),
    "not overloaded": ("ModelOverloaded", [requests("200", 9), requests("422", 1)], "15m", None),
    "two versions": (
        "ModelVersionsMixed",
        [gauge("slipway_model_info", "1x2000", version="1"), gauge("slipway_model_info", "1x2000", version="2")],
        "3h",
        HERE,
    ),
    "two versions for an hour": (
        "ModelVersionsMixed",
        [gauge("slipway_model_info", "1x240 stale", version="1"), gauge("slipway_model_info", "1x2000", version="2")],
        "3h",
        None,
    ),
    "a version for each environment": (
        "ModelVersionsMixed",
        [
            gauge("slipway_model_info", "1x2000", version="1"),
            ('slipway_model_info{namespace="staging",version="2"}', "1x2000"),
        ],
        "3h",
        None,
    ),
    "fallback": (
        "ModelFallback",
        [requests("200", 10), gauge("slipway_fallback_total", "0+1x2000", source="prior")],
        "15m",
        HERE,
    ),
    "no fallback": (
        "ModelFallback",
        [requests("200", 10), gauge("slipway_fallback_total", "0x2000", source="prior")],
        "15m",
        None,
    ),
    "breaker open": ("ModelBreakerOpen", [gauge("slipway_breaker_open", "1x2000")], "5m", HERE | {"pod": "model-1"}),
    "breaker closed": ("ModelBreakerOpen", [gauge("slipway_breaker_open", "0x2000")], "5m", None),
    "refused": ("ModelRefusesRequests", [requests("200", 8), requests("422", 2)], "1h", HERE),
    "hardly refused": ("ModelRefusesRequests", [requests("200", 99), requests("422", 1)], "1h", None),
    "unusual": (
        "ModelUnusualValues",
        [
            gauge("slipway_rows_total", "0+10x2000"),
            gauge("slipway_feature_values_total", "0+4x2000", feature="age", kind="missing"),
        ],
        "2h",
        HERE | {"feature": "age", "kind": "missing"},
    ),
    "usual": (
        "ModelUnusualValues",
        [
            gauge("slipway_rows_total", "0+10x2000"),
            gauge("slipway_feature_values_total", "0+1x2000", feature="age", kind="missing"),
        ],
        "2h",
        None,
    ),
    "unusual values of few rows": (
        "ModelUnusualValues",
        [
            gauge("slipway_rows_total", "0+0.1x2000"),
            gauge("slipway_feature_values_total", "0+0.1x2000", feature="age", kind="missing"),
        ],
        "2h",
        None,
    ),
    "log loses": (
        "PredictionLogLosesRequests",
        [gauge("slipway_prediction_log_requests_total", "0+1x2000", outcome="dropped")],
        "1h",
        HERE | {"outcome": "dropped"},
    ),
    "log fails": (
        "PredictionLogLosesRequests",
        [gauge("slipway_prediction_log_requests_total", "0+1x2000", outcome="failed")],
        "1h",
        HERE | {"outcome": "failed"},
    ),
    "log keeps": (
        "PredictionLogLosesRequests",
        [gauge("slipway_prediction_log_requests_total", "0+1x2000", outcome="written")],
        "1h",
        None,
    ),
}


def test_prometheus_takes_the_rules(everything, promtool, tmp_path):
    groups = one(everything, "PrometheusRule")["spec"]["groups"]
    (tmp_path / "rules.yaml").write_text(dumped({"groups": groups}))
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = [rule["alert"] for group in groups for rule in group["rules"]]
    assert {*names} == {alert for alert, *_ in ALERTS.values()}
    assert {*names} == {alert for alert, *_, labels in ALERTS.values() if labels is not None}
    assert {*names} == {alert for alert, *_, labels in ALERTS.values() if labels is None}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_when_it_should_and_not_otherwise(name, everything, promtool, tmp_path):
    alert, series, moment, labels = ALERTS[name]
    (rule,) = (each for each in bare(everything) if each["alert"] == alert)

    def run(expected: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
        test = {
            "input_series": [{"series": each, "values": values} for each, values in series],
            "alert_rule_test": [
                {
                    "eval_time": moment,
                    "alertname": alert,
                    "exp_alerts": [] if expected is None else [{"exp_labels": rule["labels"] | expected}],
                }
            ],
        }
        return checked(promtool, tmp_path, [rule], test)

    done = run(labels)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(HERE if labels is None else None).returncode != 0


def both(code: str, canary_each: float, stable_each: float) -> Series:
    return [
        requests(code, canary_each, rollouts_pod_template_hash=CANARY),
        requests(code, stable_each, rollouts_pod_template_hash=STABLE),
    ]


def of_canary(name: str, values: str, **labels: str) -> tuple[str, str]:
    return gauge(name, values, rollouts_pod_template_hash=CANARY, **labels)


def asked_by_the_smoke_test(counted: str) -> Series:
    """A canary without other traffic, from 17 minutes on."""
    return [
        (requests("200", 0, rollouts_pod_template_hash=CANARY)[0], f"_x67 {counted}"),
        of_canary("slipway_fallback_total", "_x67 0x99", source="prior"),
    ]


ANSWERING = [*both("200", 10, 40), of_canary("slipway_fallback_total", "0x2000", source="prior")]
FALLING_BACK = [
    *both("200", 10, 40),
    of_canary("slipway_fallback_total", "0+10x2000", source="prior"),
    gauge("slipway_fallback_total", "0x2000", source="prior", rollouts_pod_template_hash=STABLE),
]
# Of each metric of an analysis: series, what the query gives for them (in eighths, which are exact), and the verdict.
ANALYSES: dict[str, tuple[str, str, Series, float | None, bool]] = {
    "measured": ("model-health", "measured", [of_canary("slipway_ready", "1x2000")], 1, True),
    "not measured": ("model-health", "measured", [], None, False),
    "only the stable release is measured": (
        "model-health",
        "measured",
        [gauge("slipway_ready", "1x2000", rollouts_pod_template_hash=STABLE)],
        None,
        False,
    ),
    "measured but not ready": ("model-health", "measured", [of_canary("slipway_ready", "0x2000")], None, False),
    "no errors": ("model-health", "errors", [*both("200", 10, 40), *both("500", 0, 0)], 0, True),
    "errors": ("model-health", "errors", [*both("200", 7.5, 40), *both("500", 2.5, 0)], 0.25, False),
    "errors of the stable release": ("model-health", "errors", [*both("200", 10, 10), *both("500", 0, 30)], 0, True),
    "no traffic": ("model-health", "errors", [], None, True),
    "errors of few requests": ("model-health", "errors", [*both("200", 0, 40), *both("500", 0.5, 0)], None, True),
    "errors alone": ("model-health", "errors", both("500", 10, 0), 1, False),
    "a fallback has no errors": ("model-health", "errors", [*FALLING_BACK, *both("500", 0, 0)], 0, True),
    "but is found": ("model-health", "fallback", FALLING_BACK, 1, False),
    "no fallback": ("model-health", "fallback", ANSWERING, 0, True),
    "fallback without traffic": (
        "model-health",
        "fallback",
        [*both("200", 0, 0), of_canary("slipway_fallback_total", "0x2000", source="prior")],
        None,
        True,
    ),
    "the smoke test's requests are enough": (
        "model-health",
        "fallback",
        asked_by_the_smoke_test("15 30 45 60x99"),
        0,
        True,
    ),
    "which they were not, all at once": ("model-health", "fallback", asked_by_the_smoke_test("60x99"), None, True),
    "breaker closed": ("model-health", "breaker", [of_canary("slipway_breaker_open", "0x2000")], 0, True),
    "breaker was open": ("model-health", "breaker", [of_canary("slipway_breaker_open", "0x66 1x4 0x2000")], 1, False),
    "the stable release's breaker": (
        "model-health",
        "breaker",
        [gauge("slipway_breaker_open", "1x2000", rollouts_pod_template_hash=STABLE)],
        None,
        True,
    ),
    "as fast": (
        "model-against-stable",
        "latency",
        [*seconds(9, 1, rollouts_pod_template_hash=CANARY), *seconds(9, 1, rollouts_pod_template_hash=STABLE)],
        1,
        True,
    ),
    "slower": (
        "model-against-stable",
        "latency",
        [*seconds(0, 10, rollouts_pod_template_hash=CANARY), *seconds(10, 0, rollouts_pod_template_hash=STABLE)],
        102.625,
        False,
    ),
    "fast enough": (
        "model-against-stable",
        "latency",
        [*seconds(10, 0, rollouts_pod_template_hash=CANARY), *seconds(10, 0, rollouts_pod_template_hash=STABLE)],
        None,
        True,
    ),
    "slower in few requests": (
        "model-against-stable",
        "latency",
        [*seconds(0, 0.1, rollouts_pod_template_hash=CANARY), *seconds(10, 0, rollouts_pod_template_hash=STABLE)],
        None,
        True,
    ),
    "slower than none": (
        "model-against-stable",
        "latency",
        [*seconds(0, 10, rollouts_pod_template_hash=CANARY), *seconds(0, 0, rollouts_pod_template_hash=STABLE)],
        None,
        True,
    ),
    "refuses as much": ("model-against-stable", "refused", [*both("200", 3, 3), *both("422", 1, 1)], 0, True),
    "refuses more": ("model-against-stable", "refused", [*both("200", 3, 4), *both("422", 1, 0)], 0.25, False),
    "refuses more than one that never did": (
        "model-against-stable",
        "refused",
        [*both("200", 3, 4), both("422", 1, 1)[0]],
        0.25,
        False,
    ),
    "refuses less": ("model-against-stable", "refused", [*both("200", 4, 3), *both("422", 0, 1)], -0.25, True),
    "refuses with nothing to compare": (
        "model-against-stable",
        "refused",
        [*both("200", 3, 0), *both("422", 1, 0)],
        None,
        True,
    ),
}


def healthy(condition: str, result: list[float]) -> bool:
    """What Argo Rollouts makes of a condition."""
    python = condition.replace("||", " or ").replace("&&", " and ")
    return bool(eval(python, {"len": len, "isNaN": math.isnan, "result": result}))  # noqa: S307


def analysed(everything: list[Object], template: str, metric: str) -> tuple[str, str]:
    """The query of a metric with its arguments filled in, and its condition."""
    content = one(everything, "AnalysisTemplate", template)["spec"]
    values = {arg["name"]: arg.get("value") for arg in content["args"]}
    values |= {"namespace": "production", "hash": CANARY, "stable-hash": STABLE}
    (found,) = (each for each in content["metrics"] if each["name"] == metric)
    query = manifests.ARGUMENT.sub(lambda match: values[match[1]], found["provider"]["prometheus"]["query"])
    return query, found["successCondition"]


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_tells_a_healthy_release_from_another(name, everything, promtool, tmp_path):
    template, metric, series, value, verdict = ANALYSES[name]
    query, condition = analysed(everything, template, metric)

    def run(expected: float | None) -> subprocess.CompletedProcess[str]:
        samples = [] if expected is None else [{"labels": "{}", "value": expected}]
        test = {
            "input_series": [{"series": each, "values": values} for each, values in series],
            "promql_expr_test": [{"expr": f"round(({query}), 0.125)", "eval_time": "20m", "exp_samples": samples}],
        }
        return checked(promtool, tmp_path, [], test)

    done = run(value)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(2 if value is None else None).returncode != 0
    assert healthy(condition, [] if value is None else [value]) is verdict


def test_every_metric_of_an_analysis_is_tried_both_ways(everything):
    metrics = {
        (each["metadata"]["name"], metric["name"])
        for each in everything
        if each["kind"] == "AnalysisTemplate"
        for metric in each["spec"]["metrics"]
        if "prometheus" in metric["provider"]
    }
    for verdict in (True, False):
        assert {
            (template, metric) for template, metric, _, _, judged in ANALYSES.values() if judged is verdict
        } == metrics

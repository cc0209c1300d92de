"""What deploy/ ships to watch a model with: its files, its queries, and what our rules have against them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from manifests import ARGUMENT, Object, dumped, objects
from ruamel.yaml import YAML

COMPOSE = ROOT / "deploy/compose"
MONITORING = COMPOSE / "monitoring"
DASHBOARD = MONITORING / "grafana/dashboards/model.json"
ANALYSES = ROOT / "deploy/kubernetes/components/analysis"
TOOLS = {"prometheus": "prometheus", "promtool": "prometheus", "haproxy": "haproxy"}
TOOLS |= {"prometheus-alertmanager": "prometheus-alertmanager", "amtool": "prometheus-alertmanager"}
NAMESPACE = "production"
HASH = "rollouts_pod_template_hash"  # which the PodMonitor adds
OF = {"green": "canary", "blue": "stable", "violet": "other"}
# The dashboard's range at a scrape every second, and not every 15 seconds. All other ranges are asked for as they are:
# what they look back at is longer than the service runs.
INTERVAL = "1m"
SHORTER = {"scrape_interval: 15s": "scrape_interval: 1s", "evaluation_interval: 15s": "evaluation_interval: 1s"}
ARGUMENTS = {"namespace": NAMESPACE, "hash": OF["green"], "stable-hash": OF["blue"], "min-requests": "20"}
VARIABLES = {"$namespace": NAMESPACE, "$__rate_interval": INTERVAL}
SERIES = re.compile(r"\b((?:slipway|haproxy)_\w+|up|ALERTS)\b(?:\s*\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\b(?:by|on|group_left|group_right|ignoring)\s*\(([^)]*)\)")


def where(name: str) -> str | None:
    """The path of a tool."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def need(*names: str) -> None:
    """Skip the test where a tool is not here."""
    for name in names:
        if where(name) is None:
            pytest.skip(f"{name} is not here (Debian's package {TOOLS[name]})")


def replace(file: Path, old: str, new: str) -> None:
    """Put something in the place of something that has to be there."""
    text = file.read_text()
    assert old in text, f"{old} is not in {file}"
    file.write_text(text.replace(old, new))


def services() -> dict[str, Any]:
    """The services of monitoring.yaml."""
    found: dict[str, Any] = YAML(typ="safe").load(COMPOSE / "monitoring.yaml")["services"]
    return found


def is_healthy(name: str, url: str, port: int) -> bool:
    """What the check of a service's health makes of one that is elsewhere than at its port."""
    tool, *words = (
        word.replace(f"http://127.0.0.1:{port}", url) for word in services()[name]["healthcheck"]["test"][1:]
    )
    tool = sys.executable if tool == "python" else str(where(tool))
    return subprocess.run([tool, *words], capture_output=True, check=False, timeout=30).returncode == 0


def service_faults(service: Object) -> list[str]:
    """What our rules have against a service of Compose."""
    rules = {
        "a root that is written to": service.get("read_only") is True,
        "capabilities": service.get("cap_drop") == ["ALL"],
        "privileges to gain": service.get("security_opt") == ["no-new-privileges:true"],
        "no restart": service.get("restart") == "unless-stopped",
        "no limit of memory": "mem_limit" in service,
        "no check of its health": "test" in service.get("healthcheck", {}),
        "an image without a version": re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z./-]+:v?\d+\.\d+\.\d+\}", service["image"]),
        "a port for everybody": all(re.match(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-", port) for port in service["ports"]),
        "a folder that it could change": all(
            each.endswith(":ro") for each in service["volumes"] if each.startswith((".", "/"))
        ),
    }
    return [fault for fault, kept in rules.items() if not kept]


def cluster_groups() -> list[dict[str, Any]]:
    """The groups of alerts that a cluster has, which `slipway deploy` writes for Compose."""
    (content,) = objects((ROOT / "deploy/kubernetes/components/monitoring/rules.yaml").read_text())
    groups: list[dict[str, Any]] = content["spec"]["groups"]
    return groups


def gateway_groups() -> list[dict[str, Any]]:
    (content,) = objects((MONITORING / "gateway-rules.yaml").read_text())
    groups: list[dict[str, Any]] = content["groups"]
    return groups


def configure(folder: Path, addresses: dict[str, str], alertmanager: str) -> Path:
    """Lay out what Compose mounts, with other addresses; gives the path of Prometheus's configuration."""
    home = folder / NAMESPACE
    shutil.copytree(MONITORING, home)
    (folder / "rules").mkdir()
    (folder / "rules/rules.yaml").write_text(dumped({"groups": cluster_groups()}))
    # Some alerts come after a second and not after minutes or hours; what they are about is as shipped.
    own = home / "gateway-rules.yaml"
    own.write_text(re.sub(r"for: \w+", "for: 1s", own.read_text()))
    replace(folder / "rules/rules.yaml", "for: 2h", "for: 1s")
    config = home / "prometheus.yaml"
    for old, new in (SHORTER | {"alertmanager:9093": alertmanager}).items():
        replace(config, old, new)
    slots = home / "targets/slots.yaml"
    for slot in ("blue", "green"):
        replace(slots, f'"{slot}:3000"', f'"{addresses[slot]}"')
    replace(home / "targets/gateway.yaml", "gateway:8404", addresses["gateway"])
    (found,) = objects(slots.read_text())
    found.append({"targets": [addresses["violet"]], "labels": {"pod": "violet"}})  # a model of the other task
    for target in found:
        target["labels"][HASH] = OF[target["labels"]["pod"]]
    slots.write_text(dumped(found))
    return config


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())


def dashboard_faults(content: Any) -> list[str]:
    """What Grafana would show wrongly, or not at all."""
    (source,) = objects((MONITORING / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    known = {each["uid"] for each in source["datasources"]}
    all_panels = content["panels"]
    asking = json.dumps([all_panels, content["templating"], content["annotations"]])
    found = [f"no data source is {uid}" for uid in re.findall(r'"uid": "([^"]*)"', asking) if uid not in known]
    ids = [panel["id"] for panel in all_panels]
    if len({*ids}) < len(ids):
        found.append("an id is there twice")
    for one_panel, other in combinations(all_panels, 2):
        if _overlap(one_panel["gridPos"], other["gridPos"]):
            found.append(f"{one_panel['title']} and {other['title']} overlap")
    for panel in all_panels:
        place, title = panel["gridPos"], panel["title"]
        if place["x"] + place["w"] > 24:  # what Grafana's grid has
            found.append(f"{title} goes beyond the edge")
        refs = [target["refId"] for target in panel["targets"]]
        if len({*refs}) < len(refs):
            found.append(f"{title} has a query twice")
        if not panel["description"] or not panel["fieldConfig"]["defaults"]["unit"]:
            found.append(f"{title} says too little")
        if panel["type"] == "timeseries" and not all(target["legendFormat"] for target in panel["targets"]):
            found.append(f"{title} has no legend")
        if any("$namespace" not in target["expr"] for target in panel["targets"]):
            found.append(f"{title} is of every environment")
    return found


def _overlap(one_place: Any, other: Any) -> bool:
    apart = any(
        first[at] + first[size] <= second[at]
        for at, size in (("x", "w"), ("y", "h"))
        for first, second in ((one_place, other), (other, one_place))
    )
    return not apart


def panels() -> dict[str, str]:
    """The expressions of the dashboard, its variables filled in."""
    content = dashboard()
    found = {
        f"panel {panel['title']}, {target['refId']}": target["expr"]
        for panel in content["panels"]
        for target in panel["targets"]
    }
    found |= {f"annotation {each['name']}": each["expr"] for each in content["annotations"]["list"]}
    for name, value in VARIABLES.items():
        found = {key: text.replace(name, value) for key, text in found.items()}
    assert "$" not in "".join(found.values())
    return found


def alerts() -> dict[str, str]:
    groups = [*cluster_groups(), *gateway_groups()]
    return {f"alert {rule['alert']}": rule["expr"] for group in groups for rule in group["rules"]}


def analyses() -> dict[str, str]:
    """The queries of the analyses, their arguments filled in."""
    templates = [
        each for name in ("health", "against-stable") for each in objects((ANALYSES / f"{name}.yaml").read_text())
    ]
    found = {
        f"analysis {metric['name']}": ARGUMENT.sub(
            lambda match: ARGUMENTS[match[1]], metric["provider"]["prometheus"]["query"]
        )
        for template in templates
        for metric in template["spec"]["metrics"]
    }
    # Below 50 ms nobody is slow, and this service is not: without that there is a ratio.
    latency = found["analysis latency"]
    assert latency.count("> 0.05") == 1
    return found | {"latency whatever it is": latency.replace("> 0.05", "> 0")}


def shipped() -> dict[str, str]:
    return panels() | alerts() | analyses()


def parts(expression: str) -> set[str]:
    """Queries that each find something if the series and labels of an expression exist, whatever their values.

    An expression may find nothing, as an alert does that is quiet, or something in any case, as with `or vector(0)`.
    """
    found, names = set(), set()
    for name, matchers in SERIES.findall(expression):
        labels = sorted(set(MATCHER.findall(matchers or "")))
        found.add(name + "{" + ", ".join(f'{label}!=""' for label in labels) + "}")
        names.add(name)
    any_of = "|".join(sorted(names))
    for labels in GROUPED.findall(expression):
        for label in filter(None, re.split(r"[\s,]+", labels)):
            found.add(f'{{__name__=~"{any_of}", {label}!=""}}')
    return found


def queries(expressions: Mapping[str, str]) -> set[str]:
    return {*expressions.values(), *(part for each in expressions.values() for part in parts(each))}

"""A Prometheus and an Alertmanager, as deploy/compose has them, around services that are really asked by a gateway.

Everything is started, asked, looked at and ended in one go; what was found is a `Record`, which tests read.
"""

import json
import os
import re
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import requests
from asked import Prometheus, QueryError, Sample, alerts_at, arrive, running, wait_for
from examples import diabetes
from monitoring import configure, is_healthy, where
from releases import churned, make_release, with_settings
from servers import Server, free_port, serving, until

from slipway.delivery.asking import ask
from slipway.delivery.deploy.host import Ports
from slipway.delivery.deploy.processes import ProcessGateway
from slipway.delivery.deploy.state import OTHER, Colour
from slipway.service.release import MODEL, RELEASE, example, load_golden
from slipway.signature import load_signature

ROW = {"age (years)": 40, "visits": 3, "city": "Lima", "postcode": "P001", "member": True}
ROW |= {"joined": "2020-05-01T00:00:00", "country": "XX"}
# A request of five rows: in two an age is missing, in one it is out of range, in one the city is unknown.
GOOD = [ROW, ROW | {"age (years)": None}, ROW | {"age (years)": None, "city": "Paris"}, ROW | {"age (years)": 130}, ROW]
BAD = [ROW | {"visits": "many"}]
# How many requests of each kind, in the order in which they are sent; no two shares are the same. What Prometheus sees
# of a counter is how it grows from the first time on, so that a fourth of each is sent before Prometheus starts.
SENT = {
    "green": {"good": 24, "bad": 12, "work": 8, "model": 8},
    "blue": {"good": 40, "bad": 4},
    "violet": {"good": 8},
}
FIRST = 4
CHECKS = {"prometheus": 9090, "alertmanager": 9093}
HELD = 20  # requests while a release is watched
STOOD_IN = 120  # requests while a slot stands in, which are more than all to the gateway before


@dataclass
class Record:
    """What was found: samples by query or why there are none, the rules by name, what reached Alertmanager.

    Once `answers` are there, those of the gateway are asked for again: while it retries what the slot answers with 500,
    when the other slot stands in, and when there is none left.
    """

    answers: dict[str, list[Sample]] = field(default_factory=dict)
    watched: dict[str, list[Sample]] = field(default_factory=dict)
    stood_in: dict[str, list[Sample]] = field(default_factory=dict)
    none_left: dict[str, list[Sample]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    early: list[dict[str, Any]] = field(default_factory=list)
    arrived: list[dict[str, Any]] = field(default_factory=list)
    inhibited: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    healthy: dict[str, bool] = field(default_factory=dict)

    @staticmethod
    def of(file: Path) -> "Record":
        return Record(**json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True)
class FreePorts(Ports):
    """Ports wherever some are free."""

    slots: dict[Colour, int]
    told: int

    def of(self, colour: Colour) -> int:
        return self.slots[colour]

    @property
    def about(self) -> int:
        return self.told


class ToldGateway(ProcessGateway):
    """The gateway as a process, with the metrics that it gives as a container."""

    def __init__(self, home: Path, ports: Ports) -> None:
        super().__init__(str(where("haproxy")), home, "127.0.0.1", ports)
        self._place = replace(self._place, exporter=True)


def send(url: str, home: Path, counts: dict[str, int], content: Any, parts: int = 1) -> None:
    """Send requests to a slot, whose faults are in its folder."""
    expected = {"good": 200, "model": 200, "bad": 422, "work": 500}
    for kind, count in counts.items():
        (home / "fault").write_text(kind if kind in {"model", "work"} else "")
        for _ in range(count // parts):
            answer = requests.post(f"{url}/predict", json=BAD if kind == "bad" else content, timeout=10)
            assert answer.status_code == expected[kind], answer.text
            if answer.ok:
                assert (answer.json()["fallback"] is not None) == (kind == "model")
    (home / "fault").write_text("")


def observe(folder: Path, queries: set[str]) -> Record:
    """Start everything, ask the services, and see what Prometheus and Alertmanager make of it."""
    before = Path.cwd()
    os.chdir(folder)  # where the training of the small models leaves its files
    try:
        made = {"blue": make_release(folder / "blue", churned), "violet": make_release(folder / "violet", diabetes)}
    finally:
        os.chdir(before)
    made["green"] = Path(shutil.copytree(made["blue"], folder / "green"))
    about = made["green"] / RELEASE
    about.write_text(json.dumps(json.loads(about.read_text()) | {"version": "2"}))
    with ExitStack() as stack:
        homes = {slot: folder / f"home-{slot}" for slot in made}
        start = [sys.executable, "-m", "slipway.service.start", "faulty:Slipway", "--host", "127.0.0.1"]
        servers = {
            slot: stack.enter_context(
                serving(
                    with_settings(release, predictions={"to": str(folder / f"log-{slot}")}),
                    homes[slot],
                    wait=None,
                    start=start,
                    PYTHONPATH=str(Path(__file__).parent),
                )
            )
            for slot, release in made.items()
        }
        return _observe(folder, stack, servers, homes, queries)


def _observe(
    folder: Path, stack: ExitStack, servers: dict[str, Server], homes: dict[str, Path], queries: set[str]
) -> Record:
    """What comes once the services are started."""
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in ("gateway", "metrics", "prometheus", "alertmanager")}
    at = {name: url.removeprefix("http://") for name, url in urls.items()}
    at |= {slot: server.url.removeprefix("http://") for slot, server in servers.items()}
    config = configure(folder / "site", {**at, "gateway": at["metrics"]}, at["alertmanager"])
    # While the services get ready, so do these; they are told of the services once those have counted something.
    targets = {path: path.read_text() for path in (config.parent / "targets").iterdir()}
    for path in targets:
        path.write_text("[]")
    listen, alerts = "--web.listen-address={}".format, f"--config.file={config.parent / 'alertmanager.yaml'}"
    options = ["--storage.path=alerts", "--cluster.listen-address=", listen(at["alertmanager"])]
    stack.enter_context(running(folder, "prometheus-alertmanager", alerts, *options, url=urls["alertmanager"]))
    options = [f"--config.file={config}", "--storage.tsdb.path=series", listen(at["prometheus"])]
    stack.enter_context(running(folder, "prometheus", *options, url=urls["prometheus"]))
    for server in servers.values():
        until(server, "/readyz")
    places = {slot: port(servers[slot].url) for slot in OTHER}
    gateway = ToldGateway(folder, FreePorts(port(urls["gateway"]), places, port(urls["metrics"])))
    stack.callback(gateway.stop)
    gateway.give_to("blue", "alone")
    wait_for(lambda: requests.post(f"{urls['gateway']}/predict", json=GOOD, timeout=10).ok, "the gateway answers")
    gateway.give_to("green", "helped")
    asked = {"green": urls["gateway"], "blue": servers["blue"].url, "violet": servers["violet"].url}
    model = folder / "violet" / MODEL
    contents = {"green": GOOD, "blue": GOOD, "violet": [example(load_signature(model), load_golden(model))]}
    for slot, counts in SENT.items():
        send(asked[slot], homes[slot], counts, contents[slot], FIRST)
    for path, text in targets.items():
        path.write_text(text)
    prometheus, record = Prometheus(urls["prometheus"]), Record()
    twice = "count(count_over_time(up[1m]) >= 2) == 4"
    wait_for(lambda: prometheus.query(twice), "the slots and the gateway are scraped twice")
    counted = 'sum(slipway_requests_total{path="/predict"})'
    ((_, before),) = prometheus.query(counted)
    for slot, counts in SENT.items():
        send(asked[slot], homes[slot], counts, contents[slot])
    after = before + sum(sum(counts.values()) for counts in SENT.values())
    wait_for(lambda: prometheus.query(f"{counted} == {after}"), "every request is counted")
    time.sleep(3)  # the longer between the first scrape and the last, the less is guessed of what is before and after
    _look(prometheus, queries, record)
    checks = [(name, of, urls[name]) for name, of in CHECKS.items()]
    checks += [(f"{name} elsewhere", of, servers["blue"].url) for name, of in CHECKS.items()]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda check: is_healthy(check[0].partition(" ")[0], check[2], check[1]), checks)
    record.healthy = dict(zip((name for name, *_ in checks), found, strict=True))
    record.early = arrive(urls["alertmanager"], "GatewayErrors")
    _break(gateway, urls, servers, homes["green"], record)
    return record


def _look(prometheus: Prometheus, queries: set[str], record: Record) -> None:
    """See what Prometheus makes of what it has scraped."""
    moment = time.time()
    for query in sorted(queries):
        try:
            record.answers[query] = prometheus.query(query, moment)
        except QueryError as error:
            record.refused[query] = str(error)
    record.rules = {rule["name"]: rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]}
    found = prometheus.get("targets")["activeTargets"]
    record.targets = {each["labels"].get("pod", each["labels"]["job"]): each["health"] for each in found}


def _break(gateway: ToldGateway, urls: dict[str, str], servers: dict[str, Server], home: Path, record: Record) -> None:
    """Have the slot that has the traffic fail, then end, and the other one as well."""
    prometheus = Prometheus(urls["prometheus"])

    def again() -> dict[str, list[Sample]]:
        """What the gateway tells, once it has told of every request."""
        counted = str(ask(port(urls["metrics"]), "GET", "/metrics").body)
        (seen,) = re.findall(r'^haproxy_frontend_http_requests_total{proxy="model"} (\d+)$', counted, re.MULTILINE)
        told = f'sum(haproxy_frontend_http_requests_total{{proxy="model"}}) == {seen}'
        wait_for(lambda: prometheus.query(told), "every request at the gateway is counted")
        return {query: prometheus.query(query) for query in record.answers if "haproxy_" in query}

    gateway.give_to("green", "watched")
    (home / "fault").write_text("work")
    assert codes(urls["gateway"], HELD) == {200}
    record.watched = again()
    gateway.give_to("green", "helped")
    end(servers["green"])
    assert codes(urls["gateway"], STOOD_IN) == {200}
    _alerts(urls["alertmanager"], record)
    record.stood_in = again()
    end(servers["blue"])
    assert codes(urls["gateway"], HELD) == {503}
    record.arrived = arrive(urls["alertmanager"], "GatewayNoSlot")
    record.none_left = again()


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def end(slot: Server) -> None:
    """End a slot, as a crash would."""
    os.killpg(slot.process.pid, signal.SIGKILL)
    slot.process.wait()


def codes(gateway: str, count: int) -> set[int]:
    """What so many requests are answered with."""
    return {requests.post(f"{gateway}/predict", json=GOOD, timeout=10).status_code for _ in range(count)}


def _alerts(alertmanager: str, record: Record) -> None:
    """See an alert arrive, and one that is not worth a message while another says more."""

    def listed() -> list[dict[str, Any]]:
        return alerts_at(alertmanager)

    arrive(alertmanager, "GatewayOnStandby")
    names = {"there": ["ModelErrors"], "gone": ["ModelGone", "ModelErrors"]}
    told = [
        {"labels": {"alertname": name, "namespace": where, "severity": "critical"}}
        for where, among in names.items()
        for name in among
    ]
    assert requests.post(f"{alertmanager}/api/v2/alerts", json=told, timeout=10).ok
    wait_for(
        lambda: len([each for each in listed() if each["labels"].get("namespace") in names]) == len(told), "three more"
    )
    record.inhibited = {
        f"{each['labels']['alertname']} {each['labels'].get('namespace')}": each["status"]["state"]
        for each in listed()
        if each["labels"].get("namespace") in names
    }

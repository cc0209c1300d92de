"""What watches a model: every query that is shipped finds what was really sent, and an alert reaches Alertmanager."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import monitoring
import observed
import pytest
import requests
from asked import Sample
from helpers import ROOT, made_once
from manifests import objects
from monitoring import (
    COMPOSE,
    DASHBOARD,
    MONITORING,
    NAMESPACE,
    alerts,
    dashboard,
    dashboard_faults,
    need,
    parts,
    queries,
    service_faults,
    shipped,
    where,
)
from observed import SENT, Record
from servers import Server, free_port, until

from slipway.delivery.deploy.compose import ComposeGateway, Project, compose_command
from slipway.delivery.deploy.gateway import OTHERS
from slipway.delivery.deploy.host import Ports
from slipway.delivery.deploy.state import OTHER


def run(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = where(str(command[0]))
    assert path is not None
    return subprocess.run([path, *command[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


# What takes long comes first, so that others can do the rest meanwhile


@pytest.mark.slow
def test_mlflow_starts_keeps_what_it_is_given_and_answers_no_other_name(tmp_path):
    service, url = monitoring.services()["mlflow"], f"http://127.0.0.1:{free_port()}"
    places = {
        "0.0.0.0": "127.0.0.1",  # noqa: S104  # what is put in its place
        "--port=5000": f"--port={url.rpartition(':')[2]}",
        "/mlflow/": f"{tmp_path}/",
    }
    command = [sys.executable, "-m", *service["command"]]
    for old, new in places.items():
        assert any(old in word for word in command)
        command = [word.replace(old, new) for word in command]
    log = tmp_path / "log"
    assert not monitoring.is_healthy("mlflow", url, 5000)
    with log.open("wb") as out:
        environment = os.environ | service["environment"] | {"HOME": str(tmp_path)}
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=tmp_path, env=environment, start_new_session=True
        )
    try:
        until(Server(url, process, log), "/health", 90)
        assert monitoring.is_healthy("mlflow", url, 5000)
        run = requests.post(f"{url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, timeout=30).json()
        place = run["run"]["info"]["artifact_uri"].partition(":/")[2]
        kept = f"{url}/api/2.0/mlflow-artifacts/artifacts/{place}/a.txt"
        assert requests.put(kept, b"an artifact", timeout=30).ok
        assert (tmp_path / f"artifacts/{place}/a.txt").read_text() == "an artifact"
        assert (tmp_path / "mlflow.db").stat().st_size > 0
        assert requests.get(kept, headers={"Host": "elsewhere.example:5000"}, timeout=30).status_code == 403
        assert requests.get(kept, headers={"Host": "mlflow:5000"}, timeout=30).text == "an artifact"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


# The expressions


def faults(expressions: Mapping[str, str], record: Record) -> list[str]:
    """The expressions that fail or of which a series or a label is not there, and the panels that show nothing."""
    found = [f"{name}: {record.refused[each]}" for name, each in expressions.items() if each in record.refused]
    for name, each in expressions.items():
        found += [f"{name}: {part}" for part in sorted(parts(each)) if not record.answers[part]]
        if name.startswith("panel") and not record.answers.get(each):
            found.append(f"{name}: no data")
    return found


def changed(old: str, new: str) -> dict[str, str]:
    """What is shipped, with something renamed."""
    found = {name: text.replace(old, new) for name, text in shipped().items()}
    assert found != shipped()
    return found


RENAMED = {
    "a series of panels, alerts and analyses": ("slipway_fallback_total", "slipway_fallbacks_total"),
    "a series that `or vector(0)` would hide": ("slipway_requests_total", "slipway_requests_count"),
    "a series of the gateway": ("haproxy_server_status", "haproxy_server_state"),
    "a histogram": ("slipway_prediction_bucket", "slipway_values_bucket"),
    "the gateway's shares": ("(blue|green)-.+", "(blue|green)"),
    "a label of the gateway": ("by (proxy)", "by (backend)"),
    "a label that is matched": ("alertstate=", "alert_state="),
    "a label that is grouped by": ("by (source)", "by (origin)"),
    "a label of the targets": ("(namespace, pod)", "(namespace, slot)"),
    "a label of the pods": (monitoring.HASH, "pod_template_hash"),
}


TOLERANCE = 0.12  # targets are scraped at different moments, so that of each a little more or less is guessed
FIRING = 'ALERTS{alertstate="firing"}'
TRAFFIC = {"Answers at the gateway": "code", "Requests by share": "proxy"}
SCRAPED, NAMES, PROXIES = "up", 'group by (__name__) ({__name__!=""})', 'group by (proxy) ({proxy!=""})'
PAIRS = "group by (proxy, server) (haproxy_server_status)"
SHARES = {f"{colour}-{share}" for colour in OTHER for share in OTHERS}


# What is there


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    need("prometheus", "haproxy", "prometheus-alertmanager")
    asked = {FIRING, SCRAPED, NAMES, PROXIES, PAIRS} | queries(shipped()).union(
        *(queries(changed(*names)) for names in RENAMED.values())
    )

    def make(folder: Path) -> None:
        observed.observe(folder, asked).write(folder / "record.json")

    return Record.of(made_once(tmp_path_factory, "monitoring", make) / "record.json")


@pytest.mark.slow
def test_every_target_is_scraped_with_the_labels_that_the_rules_group_by(record):
    assert record.targets == dict.fromkeys(("blue", "green", "violet", "gateway"), "up")
    assert {labels["namespace"] for labels, _ in record.answers[SCRAPED]} == {NAMESPACE}
    assert {(labels["job"], labels.get("pod")) for labels, _ in record.answers[SCRAPED]} == {
        ("model", "blue"),
        ("model", "green"),
        ("model", "violet"),
        ("gateway", None),
    }


@pytest.mark.slow
def test_only_the_series_of_the_service_and_of_the_gateway_are_kept(record):
    names = {labels["__name__"] for labels, _ in record.answers[NAMES]}
    own = {name for name in names if not re.match("up$|scrape_|ALERTS", name)}
    assert {re.match("[a-z]+", name)[0] for name in own} == {"slipway", "haproxy"}  # type: ignore[index]
    assert {labels["proxy"] for labels, _ in record.answers[PROXIES]} == {"model", *SHARES}


@pytest.mark.slow
def test_what_is_asked_for_by_name_is_what_the_gateway_has(record):
    text = "\n".join(shipped().values())
    assert {*re.findall(r'proxy="([^"]+)"', text)} <= {labels["proxy"] for labels, _ in record.answers[PROXIES]}
    pairs = {*re.findall(r'proxy="([^"]+)", server="([^"]+)"', text)}
    assert pairs
    assert pairs <= {(labels["proxy"], labels["server"]) for labels, _ in record.answers[PAIRS]}


@pytest.mark.slow
def test_prometheus_evaluates_every_rule(record):
    assert {f"alert {name}" for name in record.rules} == {*alerts()}
    assert not re.search("error expanding template|<no value>", json.dumps(record.rules))
    faulty = {name: rule.get("lastError") for name, rule in record.rules.items() if rule["health"] != "ok"}
    assert faulty == {}


@pytest.mark.slow
def test_every_series_and_label_that_is_asked_for_is_there_and_every_panel_shows_something(record):
    assert faults(shipped(), record) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RENAMED)
def test_a_renamed_series_or_label_is_found(name, record):
    old, new = RENAMED[name]
    found = {*faults(changed(old, new), record)} - {*faults(shipped(), record)}
    assert found
    assert {each.partition(": ")[0] for each in found} <= {key for key, text in shipped().items() if old in text}


def sent(*kinds: str, slots: tuple[str, ...] = ("green", "blue", "violet")) -> int:
    """How many requests of some kinds, or of any, were sent."""
    return sum(count for slot in slots for kind, count in SENT[slot].items() if not kinds or kind in kinds)


GREEN, BLUE, CHURN = ("green",), ("blue",), ("green", "blue")
ROWS = len(observed.GOOD) * sent("good", "model", slots=CHURN) + sent(slots=("violet",))
MISSING = 2 * sent("good", "model", slots=CHURN)
# What expressions come to by what was sent; those of the alerts that are not here are quiet.
EXPECTED = {
    "analysis measured": 1.0,
    "analysis errors": sent("work", slots=GREEN) / sent(slots=GREEN),
    "analysis fallback": sent("model") / sent("good", "model", slots=GREEN),
    "analysis breaker": 1.0,
    "analysis refused": sent("bad", slots=GREEN) / sent(slots=GREEN) - sent("bad", slots=BLUE) / sent(slots=BLUE),
    "alert ModelErrors": sent("work") / sent(),
    "alert ModelRefusesRequests": sent("bad") / sent(),
    "alert ModelFallback": sent("model") / sent("good", "model"),
    "alert ModelBreakerOpen": 1.0,
    "alert ModelUnusualValues": MISSING / ROWS,
    "alert ModelVersionsMixed": 2.0,
    "alert GatewayErrors": sent("work", slots=GREEN) / sent(slots=GREEN),
    "panel Errors, A": sent("work") / sent(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_expression_comes_to_what_was_sent(name, record):
    ((_, value),) = record.answers[shipped()[name]]
    assert value == pytest.approx(EXPECTED[name], rel=TOLERANCE)


@pytest.mark.slow
def test_alerts_without_a_reason_are_quiet(record):
    quiet = {*alerts()} - {*EXPECTED}
    assert {"alert ModelGone", "alert ModelNotReady", "alert GatewayNoSlot", "alert GatewayOnStandby"} <= quiet
    assert {name: record.answers[alerts()[name]] for name in quiet if record.answers[alerts()[name]]} == {}


@pytest.mark.slow
def test_times_are_those_of_real_answers(record):
    ((_, ratio),) = record.answers[shipped()["latency whatever it is"]]
    assert ratio > 0
    assert record.answers[shipped()["analysis latency"]] == []
    half, most, nearly_all = (one(record, f"panel Time to answer, {ref}") for ref in "ABC")
    assert 0 < half <= most <= nearly_all < 1


def one(record: Record, name: str) -> float:
    ((_, value),) = record.answers[shipped()[name]]
    return value


def by(record: Record, name: str, label: str) -> dict[str, float]:
    return {labels[label]: value for labels, value in record.answers[shipped()[name]]}


@pytest.mark.slow
def test_panels_show_what_was_sent(record):
    shares = by(record, "panel Requests not answered, A", "code")
    assert shares == pytest.approx({"422": sent("bad") / sent(), "500": sent("work") / sent()}, rel=TOLERANCE)
    assert by(record, "panel Fallback and breaker, A", "source")["prior"] == pytest.approx(
        EXPECTED["alert ModelFallback"], rel=TOLERANCE
    )
    assert by(record, "panel Fallback and breaker, B", "pod") == {"blue": 0, "green": 1, "violet": 0}
    values = {f"{each['feature']} {each['kind']}": value for each, value in of(record, "panel Unusual values, A")}
    assert values == pytest.approx(
        {
            "age (years) missing": MISSING / ROWS,
            "age (years) out_of_range": MISSING / 2 / ROWS,
            "city unknown": MISSING / 2 / ROWS,
        },
        rel=TOLERANCE,
    )
    assert sum(by(record, "panel Answers, A", "class").values()) == pytest.approx(1)
    running = {(each["pod"], each["version"]): value for each, value in of(record, "panel What runs, A")}
    assert running == {("blue", "1"): 1, ("green", "2"): 1, ("violet", "1"): 1}
    assert by(record, "panel Slots at the gateway, A", "server") == {"blue": 1, "green": 1}
    answers, requests_ = (by(record, f"panel {name}, A", label) for name, label in TRAFFIC.items())
    assert {*answers} == {"2xx", "4xx", "5xx"}
    assert requests_ == pytest.approx({"green-helped": sum(answers.values())}, rel=TOLERANCE)  # counted once
    assert {labels["version"] for labels, _ in of(record, "annotation Deployments")} == {"1", "2"}
    assert one(record, "panel Alerts, A") == 1  # the gateway's; no other is for long enough


def of(record: Record, name: str) -> list[Sample]:
    return record.answers[shipped()[name]]


def at_the_gateway(answers: dict[str, list[Sample]], name: str, label: str) -> dict[str, float]:
    return {labels[label]: value for labels, value in answers[shipped()[f"panel {name}"]]}


@pytest.mark.slow
def test_what_is_retried_while_a_release_is_watched_is_shown_and_is_no_standby(record):
    assert {*at_the_gateway(record.watched, "Requests by share, A", "proxy")} == {"green-helped", "green-watched"}
    for retries in ("Retries at the gateway, A", "Retries at the gateway, B"):
        assert at_the_gateway(record.answers, retries, "server") == {"blue": 0, "green": 0}
        found = at_the_gateway(record.watched, retries, "server")
        assert found["blue"] == 0
        # Over a minute, of which Prometheus guesses what it has not scraped.
        assert found["green"] * 60 == pytest.approx(observed.HELD, rel=2 * TOLERANCE)
    assert record.watched[alerts()["alert GatewayOnStandby"]] == []


@pytest.mark.slow
def test_a_slot_that_ended_and_the_one_that_stands_in_are_shown(record):
    assert at_the_gateway(record.stood_in, "Slots at the gateway, A", "server") == {"blue": 1, "green": 0}
    ((_, stood_in),) = record.stood_in[alerts()["alert GatewayOnStandby"]]
    assert stood_in == pytest.approx(observed.STOOD_IN, rel=2 * TOLERANCE)
    assert record.stood_in[alerts()["alert GatewayNoSlot"]] == []
    assert {*at_the_gateway(record.stood_in, "Retries at the gateway, C", "proxy").values()} == {0}


@pytest.mark.slow
def test_no_slot_at_all_is_shown(record):
    assert at_the_gateway(record.none_left, "Slots at the gateway, A", "server") == {"blue": 0, "green": 0}
    found = at_the_gateway(record.none_left, "Retries at the gateway, C", "proxy")
    assert {proxy for proxy, value in found.items() if value} == {"green-helped"}
    assert {*found} == SHARES


@pytest.mark.slow
@pytest.mark.parametrize(("name", "summary"), [("GatewayOnStandby", "standing by"), ("GatewayNoSlot", "No slot")])
def test_an_alert_reaches_alertmanager(name, summary, record):
    (alert,) = [each for each in record.arrived if each["labels"]["alertname"] == name]
    assert alert["labels"] == {"alertname": name, "namespace": NAMESPACE, "severity": "critical"}
    assert alert["status"]["state"] == "active"
    assert summary in alert["annotations"]["summary"]
    assert {each["receivers"][0]["name"] for each in record.arrived} == {"nobody"}


@pytest.mark.slow
def test_two_versions_are_no_alert_where_the_release_before_stands_by(record):
    firing = {labels["alertname"] for labels, _ in record.answers[FIRING]}
    assert firing == {"GatewayErrors", "ModelVersionsMixed"}
    assert {each["labels"]["alertname"] for each in record.early} == {"GatewayErrors"}


@pytest.mark.slow
def test_a_namespace_without_its_model_says_so_once(record):
    assert record.inhibited == {
        "ModelErrors there": "active",
        "ModelGone gone": "active",
        "ModelErrors gone": "suppressed",
    }


@pytest.mark.slow
def test_the_checks_of_health_tell_who_is_well(record):
    assert record.healthy == {
        "prometheus": True,
        "alertmanager": True,
        "prometheus elsewhere": False,
        "alertmanager elsewhere": False,
    }


# The files


def test_prometheus_takes_its_configuration(tmp_path):
    need("promtool")
    config = monitoring.configure(tmp_path, dict.fromkeys(("blue", "green", "violet", "gateway"), "a:1"), "b:1")
    done = run("promtool", "check", "config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SUCCESS") >= 3, done.stdout  # itself and both files of rules
    monitoring.replace(config.parent / "gateway-rules.yaml", "max by (namespace) (", "max by namespace (")
    assert run("promtool", "check", "config", config).returncode != 0


def test_alertmanager_takes_its_configuration_and_the_examples_in_it(tmp_path):
    need("amtool")
    path = MONITORING / "alertmanager.yaml"
    done = run("amtool", "check-config", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 receivers" in done.stdout
    text = path.read_text()
    assert objects(text)[0]["receivers"] == [{"name": "nobody"}]
    examples = tmp_path / "examples.yaml"
    examples.write_text(text.replace("\n  # ", "\n  "))
    done = run("amtool", "check-config", examples)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 receivers" in done.stdout
    monitoring.replace(examples, "receiver: nobody", "receiver: somebody")
    assert run("amtool", "check-config", examples).returncode != 0


def test_the_dashboard_is_sound():
    assert dashboard_faults(dashboard()) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"uid": "prometheus"', '"uid": "other"', "no data source is other"),
        ('"id": 2,', '"id": 1,', "an id is there twice"),
        ('"x": 12, "y": 0,', '"x": 11, "y": 0,', "What runs and Requests overlap"),
        ('"x": 16, "y": 22, "w": 8', '"x": 16, "y": 22, "w": 9', "Requests by slot goes beyond the edge"),
        ('"refId": "B"', '"refId": "A"', "has a query twice"),
        ('"legendFormat": "{{pod}}"', '"legendFormat": ""', "Requests by slot has no legend"),
        (
            'slipway_prediction_log_requests_total{namespace=\\"$namespace\\"}',
            "slipway_prediction_log_requests_total",
            "is of every",
        ),
    ],
)
def test_a_fault_of_the_dashboard_is_found(old, new, message):
    text = json.dumps(dashboard())
    assert old in text
    found = dashboard_faults(json.loads(text.replace(old, new)))
    assert message in "\n".join(found)


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana", "mlflow"])
def test_a_service_gets_no_more_than_it_needs(name):
    assert service_faults(monitoring.services()[name]) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"read_only": False}, "a root that is written to"),
        ({"cap_drop": []}, "capabilities"),
        ({"security_opt": []}, "privileges to gain"),
        ({"restart": "no"}, "no restart"),
        ({"healthcheck": {}}, "no check of its health"),
        ({"image": "docker.io/prom/prometheus:latest"}, "an image without a version"),
        ({"ports": ["9090:9090"]}, "a port for everybody"),
        ({"volumes": ["./monitoring:/slipway"]}, "a folder that it could change"),
    ],
)
def test_a_service_with_more_than_it_needs_is_found(change, fault):
    assert service_faults(monitoring.services()["prometheus"] | change) == [fault]


def test_grafana_finds_its_files_and_prometheus():
    grafana = monitoring.services()["grafana"]
    mounts = dict(each.split(":")[:2] for each in grafana["volumes"])
    (inside,) = (there for here, there in mounts.items() if here == "./monitoring/grafana")

    def found(path: str) -> Path:
        assert path.startswith(f"{inside}/")
        return COMPOSE / "monitoring/grafana" / path.removeprefix(f"{inside}/")

    assert found(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]) == DASHBOARD
    provisioning = found(grafana["environment"]["GF_PATHS_PROVISIONING"])
    (boards,) = objects((provisioning / "dashboards/files.yaml").read_text())
    assert [found(each["options"]["path"]) for each in boards["providers"]] == [DASHBOARD.parent]
    (sources,) = objects((provisioning / "datasources/prometheus.yaml").read_text())
    assert [each["url"] for each in sources["datasources"]] == ["http://prometheus:9090"]
    assert "prometheus" in monitoring.services()


def test_mlflow_is_the_version_that_training_uses():
    locked = re.search(r'name = "mlflow"\nversion = "([^"]+)"', (ROOT / "uv.lock").read_text())
    assert locked
    assert monitoring.services()["mlflow"]["image"].endswith(f":v{locked[1]}}}")


def test_compose_takes_the_file(tmp_path):
    compose = compose_command()
    if compose is None:
        pytest.skip("Docker Compose 2 is not here")
    (tmp_path / "monitoring.yaml").write_text((COMPOSE / "monitoring.yaml").read_text())
    command = [*compose, "--file", "monitoring.yaml", "config", "--format", "json"]
    (tmp_path / ".env").write_text(f"ENVIRONMENT={NAMESPACE}\n")
    done = run(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["services"]["prometheus"]
    assert service["command"][0] == f"--config.file=/slipway/{NAMESPACE}/prometheus.yaml"
    assert {each["target"] for each in service["volumes"]} >= {f"/slipway/{NAMESPACE}", "/slipway/rules"}
    (tmp_path / ".env").unlink()
    assert "ENVIRONMENT" in run(*command, folder=tmp_path).stderr


def test_compose_takes_both_files_together(tmp_path):
    compose = compose_command()
    if compose is None:
        pytest.skip("Docker Compose 2 is not here")
    files = ("compose.yaml", "monitoring.yaml")
    for name in files:
        (tmp_path / name).write_text((COMPOSE / name).read_text())
    command = [*compose, *(word for name in files for word in ("--file", name)), "config"]
    ports = {"PORT": 8080, "BLUE_PORT": 8081, "GREEN_PORT": 8082, "ABOUT_PORT": 8083}
    variables = {"HOST": "127.0.0.1", "ENVIRONMENT": NAMESPACE} | ports
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    done = run(*command, "--quiet", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    own = {"gateway", "blue", "green"}
    assert {*run(*command, "--services", folder=tmp_path).stdout.split()} == own | {*monitoring.services()}
    assert not own & {*monitoring.services()}
    monitoring.replace(tmp_path / ".env", "ABOUT_PORT=8083\n", "")
    assert run(*command, "--quiet", folder=tmp_path).stderr


class RenderedGateway(ComposeGateway):
    """The gateway as a container, of which only the configuration is wanted."""

    def text(self) -> str:
        return self._configuration("blue-alone")[0]


def test_prometheus_asks_where_compose_has_the_gateway_and_the_slots(tmp_path):
    if compose_command() is None:
        pytest.skip("Docker Compose 2 is not here")
    ports = Ports(8080)
    text = RenderedGateway(Project(tmp_path, NAMESPACE, "127.0.0.1", ports), ports).text()
    assert "http-request use-service prometheus-exporter if { path /metrics }" in text
    (about,) = re.findall(r"^frontend about\n    bind :(\d+)$", text, re.MULTILINE)
    (targets,) = objects((MONITORING / "targets/gateway.yaml").read_text())
    assert [each["targets"] for each in targets] == [[f"gateway:{about}"]]
    (targets,) = objects((MONITORING / "targets/slots.yaml").read_text())
    found = {each["labels"]["pod"]: each["targets"] for each in targets}
    assert found == {slot: [place] for slot, place in re.findall(r"^    server (\w+) (\S+)", text, re.MULTILINE)}

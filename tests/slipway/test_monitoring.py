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
from manifests import objects
from monitoring import (
    COMPOSE,
    DASHBOARD,
    MONITORING,
    NAMESPACE,
    alerts,
    dashboard,
    dashboard_faults,
    parts,
    queries,
    service_faults,
    shipped,
    where,
)
from observed import SENT, Record, Sample
from servers import Server, free_port, until
from test_manifests import checked

from helpers import ROOT, made_once

TOOLS = {"prometheus": "prometheus", "promtool": "prometheus", "haproxy": "haproxy"}
TOOLS |= {"prometheus-alertmanager": "prometheus-alertmanager", "amtool": "prometheus-alertmanager"}


def need(*names: str) -> None:
    for name in names:
        if where(name) is None:
            pytest.skip(f"{name} is not here (Debian's package {TOOLS[name]})")


def run(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = where(str(command[0]))
    assert path is not None
    return subprocess.run([path, *command[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


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
    "a label that is matched": ("alertstate=", "alert_state="),
    "a label that is grouped by": ("by (source)", "by (origin)"),
    "a label of the targets": ("(namespace, pod)", "(namespace, slot)"),
    "a label of the pods": (monitoring.HASH, "pod_template_hash"),
}


TOLERANCE = 0.12  # targets are scraped at different moments, so that of each a little more or less is guessed
FIRING = 'ALERTS{alertstate="firing"}'
SCRAPED, NAMES, PROXIES = "up", 'group by (__name__) ({__name__!=""})', 'group by (proxy) ({proxy!=""})'


# What is there


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    need("prometheus", "haproxy", "prometheus-alertmanager")
    asked = {FIRING, SCRAPED, NAMES, PROXIES} | queries(shipped()).union(
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
    assert {labels["proxy"] for labels, _ in record.answers[PROXIES]} == {"model"}


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
    assert {*by(record, "panel Answers at the gateway, A", "code")} == {"2xx", "4xx", "5xx"}
    assert {labels["version"] for labels, _ in of(record, "annotation Deployments")} == {"1", "2"}
    assert one(record, "panel Alerts, A") == 1  # the gateway's; no other is for long enough


def of(record: Record, name: str) -> list[Sample]:
    return record.answers[shipped()[name]]


@pytest.mark.slow
def test_an_alert_reaches_alertmanager(record):
    (alert,) = (each for each in record.arrived if each["labels"]["alertname"] == "GatewayOnStandby")
    assert alert["labels"] == {"alertname": "GatewayOnStandby", "namespace": NAMESPACE, "severity": "critical"}
    assert alert["status"]["state"] == "active"
    assert "standing by" in alert["annotations"]["summary"]
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


# Alerts of the gateway, tried on series


SERVER = f'namespace="{NAMESPACE}",proxy="model"'
HERE = {"namespace": NAMESPACE}


def slots(active: str, standby: str) -> list[tuple[str, str]]:
    return [
        (f"haproxy_backend_{kind}_servers{{{SERVER}}}", values)
        for kind, values in (("active", active), ("backup", standby))
    ]


def answered(**codes: float) -> list[tuple[str, str]]:
    """Answers of the gateway by code, so many every 15 seconds."""
    name = "haproxy_frontend_http_responses_total"
    return [(f'{name}{{{SERVER},code="{code[1:]}"}}', f"0+{each}x400") for code, each in codes.items()]


def gateway(values: str) -> list[tuple[str, str]]:
    return [(f'up{{namespace="{NAMESPACE}",job="gateway"}}', values)]


# Of each alert: series, the moment, and whether it fires then.
CASES: dict[str, tuple[str, list[tuple[str, str]], str, bool]] = {
    "gone": ("GatewayGone", gateway("1x20 0x200"), "10m", True),
    "a restart": ("GatewayGone", gateway("1x20 0x4 1x200"), "10m", False),
    "no slot": ("GatewayNoSlot", slots("1x20 0x200", "0x400"), "10m", True),
    "neither slot": ("GatewayNoSlot", slots("0x400", "1x20 0x200"), "10m", True),
    "standby has it": ("GatewayNoSlot", slots("0x400", "1x400"), "10m", False),
    "on standby": ("GatewayOnStandby", slots("1x20 0x200", "1x400"), "10m", True),
    "both are well": ("GatewayOnStandby", slots("1x400", "1x400"), "10m", False),
    "nothing stands by": ("GatewayOnStandby", slots("0x400", "0x400"), "10m", False),
    "a moment on standby": ("GatewayOnStandby", slots("1x20 0x2 1x200", "1x400"), "6m", False),
    "errors": ("GatewayErrors", answered(c2xx=9, c5xx=1), "15m", True),
    "few errors": ("GatewayErrors", answered(c2xx=99, c5xx=1), "15m", False),
    "errors of callers": ("GatewayErrors", answered(c2xx=9, c4xx=1, c5xx=0), "15m", False),
    "errors of few requests": ("GatewayErrors", answered(c2xx=0.1, c5xx=0.1), "15m", False),
}


def test_every_alert_of_the_gateway_is_tried_both_ways():
    names = {rule["alert"] for group in monitoring.gateway_groups() for rule in group["rules"]}
    for fires in (True, False):
        assert names == {alert for alert, *_, each in CASES.values() if each is fires}


@pytest.mark.parametrize("name", CASES)
def test_an_alert_of_the_gateway_fires_when_it_should_and_not_otherwise(name, tmp_path):
    need("promtool")
    alert, series, moment, fires = CASES[name]
    (rule,) = (each for group in monitoring.gateway_groups() for each in group["rules"] if each["alert"] == alert)
    rule.pop("annotations")  # which promtool would want to be told word by word

    def tried(expected: bool) -> int:
        test = {
            "input_series": [{"series": each, "values": values} for each, values in series],
            "alert_rule_test": [
                {
                    "eval_time": moment,
                    "alertname": alert,
                    "exp_alerts": [{"exp_labels": rule["labels"] | HERE}] if expected else [],
                }
            ],
        }
        return checked(str(where("promtool")), tmp_path, [rule], test).returncode

    assert (tried(fires), tried(not fires) != 0) == (0, True)


# The files


def test_prometheus_takes_its_configuration(tmp_path):
    need("promtool")
    config = monitoring.configure(tmp_path, dict.fromkeys(("blue", "green", "violet", "gateway"), "a:1"), "b:1")
    done = run("promtool", "check", "config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SUCCESS") >= 3, done.stdout  # itself and both files of rules
    monitoring.replace(config.parent / "gateway-rules.yaml", "sum by (namespace) (", "sum by namespace (")
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
    if where("docker") is None or run("docker", "compose", "version").returncode:
        pytest.skip("docker compose is not here")
    (tmp_path / "monitoring.yaml").write_text((COMPOSE / "monitoring.yaml").read_text())
    command = ["docker", "compose", "--file", "monitoring.yaml", "config", "--format", "json"]
    (tmp_path / ".env").write_text(f"ENVIRONMENT={NAMESPACE}\n")
    done = run(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["services"]["prometheus"]
    assert service["command"][0] == f"--config.file=/slipway/{NAMESPACE}/prometheus.yaml"
    assert {each["target"] for each in service["volumes"]} >= {f"/slipway/{NAMESPACE}", "/slipway/rules"}
    (tmp_path / ".env").unlink()
    assert "ENVIRONMENT" in run(*command, folder=tmp_path).stderr

"""The alerts of the gateway of one host, tried on series: each fires when it should, and not otherwise."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from monitoring import NAMESPACE, gateway_groups, need, where
from test_manifests import checked

from slipway.delivery.deploy.gateway import OTHERS
from slipway.delivery.deploy.state import OTHER

HERE = {"namespace": NAMESPACE}
Series = list[tuple[str, str]]


def slots(**values: str) -> Series:
    """Whether checks of the slots pass, as each backend tells of the slots that it has."""
    found = []
    for colour, other in OTHER.items():
        for share, part in OTHERS.items():
            for server in (colour, other) if part else (colour,):
                series = f'haproxy_server_status{{namespace="{NAMESPACE}",proxy="{colour}-{share}",server="{server}"'
                down = re.sub(r"\b[01]x", lambda match: {"0x": "1x", "1x": "0x"}[match[0]], values[server])
                found += [(f'{series},state="UP"}}', values[server]), (f'{series},state="DOWN"}}', down)]
    return found


def share(proxy: str, **values: str) -> Series:
    """Answers of the slots in a backend."""
    name = "haproxy_server_http_responses_total"
    return [
        (f'{name}{{namespace="{NAMESPACE}",proxy="{proxy}",server="{server}",code="2xx"}}', value)
        for server, value in values.items()
    ]


def answered(**codes: float) -> Series:
    """Answers of the gateway by code, so many every 15 seconds."""
    name = "haproxy_frontend_http_responses_total"
    return [
        (f'{name}{{namespace="{NAMESPACE}",proxy="model",code="{code[1:]}"}}', f"0+{each}x400")
        for code, each in codes.items()
    ]


def gateway(values: str) -> Series:
    return [(f'up{{namespace="{NAMESPACE}",job="gateway"}}', values)]


# Nine answers at each scrape, or none; until five minutes, or from then on.
ALL, NONE, UNTIL, SINCE = "0+9x400", "0x400", "0+9x20 180x400", "0x20 0+9x400"
# Of each alert: series, the moment, and whether it fires then.
CASES: dict[str, tuple[str, Series, str, bool]] = {
    "gone": ("GatewayGone", gateway("1x20 0x200"), "10m", True),
    "a restart": ("GatewayGone", gateway("1x20 0x4 1x200"), "10m", False),
    "blue was the last": ("GatewayNoSlot", slots(blue="1x20 0x200", green="0x400"), "10m", True),
    "green was the last": ("GatewayNoSlot", slots(blue="0x400", green="1x20 0x200"), "10m", True),
    "one is left": ("GatewayNoSlot", slots(blue="0x400", green="1x400"), "10m", False),
    "both are there": ("GatewayNoSlot", slots(blue="1x400", green="1x400"), "10m", False),
    "none for a moment": ("GatewayNoSlot", slots(blue="1x22 0x2 1x200", green="0x400"), "6m", False),
    "green stands in": ("GatewayOnStandby", share("blue-helped", blue=UNTIL, green=SINCE), "10m", True),
    "blue stands in": ("GatewayOnStandby", share("green-helped", green=UNTIL, blue=SINCE), "10m", True),
    "blue answers itself": ("GatewayOnStandby", share("blue-helped", blue=ALL, green=NONE), "10m", False),
    "green answers itself": ("GatewayOnStandby", share("green-helped", green=ALL, blue=NONE), "10m", False),
    "some are helped": ("GatewayOnStandby", share("blue-helped", blue=ALL, green="0+3x400"), "10m", False),
    "helped for 75 seconds": (
        "GatewayOnStandby",
        share("blue-helped", blue="0+9x20 180x4 180+9x400", green="0x20 9+9x4 45x400"),
        "7m",
        False,
    ),
    "nobody asks": ("GatewayOnStandby", share("blue-helped", blue=NONE, green=NONE), "10m", False),
    "it is over": (
        "GatewayOnStandby",
        share("blue-helped", blue=NONE, green="0+9x20 180x400") + share("green-watched", green=ALL, blue=NONE),
        "10m",
        False,
    ),
    "another is watched": (
        "GatewayOnStandby",
        share("green-watched", green=NONE, blue=ALL) + share("green-helped", green=NONE, blue=NONE),
        "10m",
        False,
    ),
    "errors": ("GatewayErrors", answered(c2xx=9, c5xx=1), "15m", True),
    "few errors": ("GatewayErrors", answered(c2xx=99, c5xx=1), "15m", False),
    "errors of callers": ("GatewayErrors", answered(c2xx=9, c4xx=1, c5xx=0), "15m", False),
    "errors of few requests": ("GatewayErrors", answered(c2xx=0.1, c5xx=0.1), "15m", False),
}
# What would be wrong with an alert.
FAULTS = [
    ("GatewayNoSlot", "max by", "min by"),
    ("GatewayNoSlot", "max by (namespace)", ""),
    ("GatewayNoSlot", "(blue|green)-.+", "blue-alone"),
    ("GatewayNoSlot", "(blue|green)-.+", "model"),
    ("GatewayNoSlot", ', state="UP"', ""),
    ("GatewayNoSlot", "30s", "0s"),
    ("GatewayOnStandby", 'proxy="blue-helped", server="green"', 'proxy="blue-helped", server="blue"'),
    ("GatewayOnStandby", 'proxy="green-helped", server="blue"', 'proxy="green-helped", server="green"'),
    ("GatewayOnStandby", 'proxy="green-helped"', 'proxy=~"green-.+"'),
    ("GatewayOnStandby", 'proxy="blue-helped"', 'proxy="model"'),
    ("GatewayOnStandby", "\n>\n", "\n> 0 *\n"),
    ("GatewayOnStandby", "\n>\n", "\n>=\n"),
    ("GatewayOnStandby", "2m", "10m"),
    ("GatewayOnStandby", "1m", "0s"),
]


def rule_of(alert: str) -> dict[str, Any]:
    """The alert, without its annotations, which promtool would want to be told word by word."""
    (rule,) = (each for group in gateway_groups() for each in group["rules"] if each["alert"] == alert)
    return {key: value for key, value in rule.items() if key != "annotations"}


def holds(rule: Mapping[str, Any], folder: Path, name: str, *, otherwise: bool = False) -> bool:
    """Whether an alert does in a case what it should, or otherwise."""
    alert, series, moment, fires = CASES[name]
    told = [{"exp_labels": rule["labels"] | HERE}] if fires is not otherwise else []
    test = {
        "input_series": [{"series": each, "values": values} for each, values in series],
        "alert_rule_test": [{"eval_time": moment, "alertname": alert, "exp_alerts": told}],
    }
    return checked(str(where("promtool")), folder, [dict(rule)], test).returncode == 0


def test_every_alert_of_the_gateway_is_tried_both_ways():
    names = {rule["alert"] for group in gateway_groups() for rule in group["rules"]}
    for fires in (True, False):
        assert names == {alert for alert, *_, each in CASES.values() if each is fires}


@pytest.mark.parametrize("name", CASES)
def test_an_alert_of_the_gateway_fires_when_it_should_and_not_otherwise(name, tmp_path):
    need("promtool")
    rule = rule_of(CASES[name][0])
    assert holds(rule, tmp_path, name)
    assert not holds(rule, tmp_path, name, otherwise=True)


@pytest.mark.parametrize(("alert", "old", "new"), FAULTS)
def test_a_fault_of_an_alert_is_found(alert, old, new, tmp_path):
    need("promtool")
    rule = rule_of(alert)
    changed = {key: value.replace(old, new) if isinstance(value, str) else value for key, value in rule.items()}
    assert changed != rule
    cases = [name for name, (of, *_) in CASES.items() if of == alert]
    assert {holds(changed, tmp_path, name) for name in cases} == {True, False}  # it is an expression still

"""The test of an image: it is run as it will be, asked, insulted, stopped under load, and taken apart."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from slipway import layout
from slipway.delivery.asking import Failed, columns_of, hold_golden
from slipway.delivery.image.build import OCI, OWN, last_built
from slipway.delivery.image.container import LOADERS, PATIENCE, Container, running
from slipway.delivery.image.engine import Engine, ImageFacts, find_engine
from slipway.delivery.image.files import SECRET_VARIABLES, listing, named, offences, read_files
from slipway.errors import UserError
from slipway.files import read_report
from slipway.params import Image, load_params
from slipway.service.release import MODEL
from slipway.signature import GOLDEN, Signature, load_signature

LABELS = (
    *(f"{OCI}.{name}" for name in ("revision", "created", "version", "licenses", "base.digest")),
    *(f"{OWN}.{name}" for name in ("data", "lock", "model.format")),
)
LOAD_ROWS, LOAD_SECONDS = 1000, 1.5
GRACE = 40  # seconds, more than the service gives itself


@dataclass(frozen=True)
class Check:
    """A check of an image: what it holds or, if it failed, what speaks against it."""

    name: str
    passed: bool
    detail: str


def try_image(
    image: str | None = None, *, engine: str | None = None, network: str | None = None, patience: float = PATIENCE
) -> Iterator[Check]:
    """Test an image, check by check, as they are done.

    Args:
        image: Its name; the one that was built last if None.
        engine: What runs it; the first that is here if None.
        network: `host`, where the engine has no bridge.
        patience: Seconds that it has to get ready.

    Raises:
        UserError: There is no such image, or no engine.
    """
    runner = find_engine(engine, runs=True)
    image = image or last_built()
    settings, facts = load_params().image, runner.facts(image)
    if not (layout.RELEASE / MODEL).is_dir():
        raise UserError(f"{layout.RELEASE}: what {image} should serve is not here; run `make image`")
    signature, golden = load_signature(layout.RELEASE / MODEL), read_report(layout.RELEASE / MODEL / GOLDEN)
    with running(runner, image, memory_mb=settings.memory_mb, network=network) as container:
        if (seconds := container.wait(patience)) is None:
            state = container.state()
            why = "it ran out of memory" if state.get("OOMKilled") else container.last_words()
            yield Check("gets ready", passed=False, detail=f"{state['Status']}: {why}")
        else:
            detail = (
                f"{seconds:.1f} s after its start, read-only, no capabilities, another user, {settings.memory_mb} MB"
            )
            yield Check("gets ready", passed=True, detail=detail)
            yield _done("says so to the engine", lambda: _healthy(container, facts))
            yield _done(
                "answers the golden rows",
                lambda: hold_golden(container.port, signature, golden, facts.labels.get(f"{OCI}.version", "")),
            )
            yield _done("refuses bad input", lambda: _bad_input(container, signature, golden))
            yield _done("loses no request", lambda: _stopped(container, golden))
    yield _done("is not root", lambda: _user(facts))
    yield _done("says what it is", lambda: _labels(facts))
    yield _done("is small", lambda: _size(runner, facts, settings))
    yield _done("no secret in its variables", lambda: _variables(facts))
    with runner.exported(_base(runner, facts)) as stream:
        base = listing(stream)
    with runner.exported(image) as stream:
        files, kept = read_files(stream, base)
    for name, found in offences(files, kept, skops=_is_skops(facts)):
        yield Check(name, not found, named(found))


def _done(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=check())
    except (Failed, UserError) as problem:
        return Check(name, passed=False, detail=str(problem))
    except Exception as error:  # such as an answer of another shape than promised
        return Check(name, passed=False, detail=f"{type(error).__name__}: {error}"[:300])


def _healthy(container: Container, facts: ImageFacts) -> str:
    if not facts.healthcheck:
        raise Failed("it has no HEALTHCHECK")
    container.engine.call("exec", container.name, *facts.healthcheck, problem="its HEALTHCHECK says no")
    return f"uses {container.memory()}"


def _bad_input(container: Container, signature: Signature, golden: dict[str, Any]) -> str:
    """Send what no client should: each must be refused with a status of its own fault, and none may break anything."""
    columns = columns_of(golden, 1)
    record = {name: values[0] for name, values in columns.items()}
    first = signature.names[0]
    kind = "application/json"
    deep = b"[" * 100_000
    cases: list[tuple[str, str, str, bytes | None, str]] = [
        ("nothing", "POST", "/predict", b"", kind),
        ("no JSON", "POST", "/predict", b"{", kind),
        ("no record", "POST", "/predict", b"[1]", kind),
        ("not UTF-8", "POST", "/predict", b'{"' + first.encode() + b'": "\xff\xfe"}', kind),
        ("NaN", "POST", "/predict", json.dumps(record | {first: float("nan")}).encode(), kind),
        ("a list for a value", "POST", "/predict", json.dumps(record | {first: [1]}).encode(), kind),
        ("deep nesting", "POST", "/predict", deep, kind),
        ("columns that are none", "POST", "/predict", b'{"columns": 5}', kind),
        ("uneven columns", "POST", "/predict", json.dumps({"columns": columns | {first: []}}).encode(), kind),
        ("another type of content", "POST", "/predict", json.dumps(record).encode(), "text/html"),
        ("another method", "PUT", "/predict", json.dumps(record).encode(), kind),
        ("no such path", "GET", "/etc/passwd", None, kind),
    ]
    wrong = []
    for what, method, path, body, content in cases:
        answer = container.ask(method, path, body, kind=content)
        if not 400 <= answer.status < 500:
            wrong.append(f"{what}: {answer.status}")
    if wrong:
        raise Failed(named(wrong))
    return f"{len(cases)} kinds, all with 4xx"


def _stopped(container: Container, golden: dict[str, Any]) -> str:
    valid = int(golden["valid"])
    times = -(-LOAD_ROWS // valid)
    columns = {name: (values * times)[:LOAD_ROWS] for name, values in columns_of(golden, valid).items()}
    load = container.stop_under_load(json.dumps({"columns": columns}).encode(), LOAD_SECONDS, GRACE)
    state = container.state()
    if load.lost:
        raise Failed(f"{load.lost} lost of {load.answered + load.lost} when stopped under load")
    if not load.answered or not load.in_flight:
        raise Failed(f"{load.answered} answered, {load.in_flight} in flight at the stop: no load to judge by")
    if state.get("OOMKilled"):
        raise Failed("it ran out of memory under load")
    if state["ExitCode"] != 0:
        raise Failed(f"it ended with {state['ExitCode']} after SIGTERM")
    return (
        f"{load.answered} answered over {LOADERS} connections, {load.in_flight} of them in flight at SIGTERM, none lost"
    )


def _user(facts: ImageFacts) -> str:
    user = facts.user.partition(":")[0]
    if not user.isdigit() or int(user) == 0:
        raise Failed(f"its USER is {facts.user or 'root'}, not a number other than 0")
    return f"USER {facts.user}"


def _labels(facts: ImageFacts) -> str:
    if missing := [name for name in LABELS if not facts.labels.get(name)]:
        raise Failed(f"no label {named(missing)}")
    return f"{facts.labels[f'{OCI}.version']}, {facts.labels[f'{OWN}.model.format']}"


def _is_skops(facts: ImageFacts) -> bool:
    return facts.labels.get(f"{OWN}.requirements") == "serve-skops"


def _base(runner: Engine, facts: ImageFacts) -> str:
    name = facts.labels.get(f"{OCI}.base.name", "")
    digest = facts.labels.get(f"{OCI}.base.digest", "")
    for base in (name, f"{name}@{digest}", digest):
        found = runner.find(base) if base else None
        if found is not None and digest in {found.digest, found.id}:
            return base
    raise UserError(f"the base image {name or '(no label names it)'} is not on this machine; `make image` fetches it")


def _size(runner: Engine, facts: ImageFacts, settings: Image) -> str:
    setting = "max_mb_skops" if _is_skops(facts) else "max_mb"
    most = float(getattr(settings, setting))
    under = runner.facts(_base(runner, facts))
    if facts.bytes is None or under.bytes is None:
        raise Failed(f"{runner.name} does not say how large it is")
    over = (facts.bytes - under.bytes) / 1e6
    if over > most:
        raise Failed(f"{over:.0f} MB over its base, more than image.{setting} ({most:g}) in {layout.PARAMS}")
    return f"{over:.0f} MB over its base (at most {most:g}), {facts.bytes / 1e6:.0f} MB in all"


def _variables(facts: ImageFacts) -> str:
    """Variables and labels, which anybody who has the image can read."""
    told = [*facts.environment, *(f"{name}={value}" for name, value in facts.labels.items())]
    if found := [text.partition("=")[0] for text in told if SECRET_VARIABLES.search(text)]:
        raise Failed(named(found))
    return f"{len(facts.environment)} variables"

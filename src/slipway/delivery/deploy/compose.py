"""A host with Docker Compose: the slots and the gateway are containers, and their monitoring runs beside them."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from slipway.delivery.deploy.gateway import HAProxy, Place
from slipway.delivery.deploy.host import Host, Ports, bracketed, url
from slipway.delivery.deploy.slots import Slot
from slipway.delivery.deploy.state import OTHER, Colour, Running
from slipway.delivery.git import do, last_line
from slipway.delivery.image.engine import Engine
from slipway.delivery.image.files import BENTO
from slipway.delivery.release.lineage import Lineage
from slipway.delivery.release.registry import registry_of_image
from slipway.errors import UserError
from slipway.files import console, replaced, scratch_folder, write_text
from slipway.settings import read_yaml

FILES = Path("deploy/compose")
RULES = Path("deploy/kubernetes/components/monitoring/rules.yaml")  # one source of alerts, for clusters and for this
OWN_RULES = FILES / "monitoring/model-rules.yaml"  # the same in a project without a cluster
OWN = ("gateway", *OTHER)  # what is started one by one
# What whoever deploys may say as variables of the shell; once said, it is kept.
WATCHING = ("PROMETHEUS", "ALERTMANAGER", "GRAFANA", "MLFLOW")
CHOSEN = ("GATEWAY_IMAGE", *(f"{name}_{what}" for name in WATCHING for what in ("IMAGE", "PORT")))
DOCKER = Engine("docker")
READS_ANEW = {"alertmanager", "prometheus"}  # their files, when they get SIGHUP
# Docker's own name server. A container that was started again may have another address.
RESOLVERS = """
resolvers docker
    nameserver docker 127.0.0.11:53
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
"""


@cache
def compose_command() -> tuple[str, ...] | None:
    """How Docker Compose, version 2 or newer, is called here, if it is and the daemon answers."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) is None:
            continue
        told = do([*command, "version", "--short"]).stdout.strip()
        if re.match(r"v?([2-9]|\d\d+)\.", told) and do([*command, "ls"]).returncode == 0:
            return command
    return None


def compose(home: Path, environment: str, host: str, ports: Ports, *, monitoring: bool) -> Host:
    """The host whose folder is `home`.

    Args:
        home: The folder.
        environment: What it runs.
        host: The address that callers ask.
        ports: Of this machine.
        monitoring: Whether Prometheus and so on run as well.

    Raises:
        UserError: Docker Compose is not here, or its daemon does not answer.
    """
    project = Project(home.resolve(), environment, host, ports)
    slots = {colour: ContainerSlot(project, colour, ports.of(colour)) for colour in OTHER}
    return ComposeHost(project, ComposeGateway(project, ports), slots, monitoring=monitoring)


class Project:
    """The containers of one environment, as Compose knows them.

    Args:
        home: The machine's folder.
        environment: What it runs.
        host: The address that callers ask.
        ports: Of this machine.

    Raises:
        UserError: Docker Compose is not here, or its daemon does not answer.
    """

    def __init__(self, home: Path, environment: str, host: str, ports: Ports) -> None:
        command = compose_command()
        if command is None:
            raise UserError(
                "Docker Compose 2 is not here, or Docker's daemon does not answer; install docker and its compose "
                "plugin, or say --to processes"
            )
        self.home, self.folder = home, home / "compose"
        self._command, self.address = command, url(host, ports.callers)
        # Other checkouts on this machine may run an environment of this name.
        self.own = sha256(str(home).encode()).hexdigest()[:8]
        self.name = f"slipway-{environment}-{self.own}"
        self._file = home / "compose.env"
        fixed: dict[str, str | int] = {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": "compose.yaml:monitoring.yaml",
        }
        fixed |= {"ENVIRONMENT": environment, "HOST": bracketed(host), "PORT": ports.callers, "ABOUT_PORT": ports.about}
        of_slots = {f"{colour.upper()}_PORT": ports.of(colour) for colour in OTHER}
        chosen = {name: os.environ[name] for name in CHOSEN if name in os.environ}
        self._variables = self._read() | chosen | {name: str(value) for name, value in {**fixed, **of_slots}.items()}

    def call(self, *words: str, problem: str) -> str:
        """Run a command of Compose and give what it says.

        Raises:
            UserError: It failed.
        """
        where = ["--project-name", self.name, "--project-directory", str(self.folder)]
        files = [word for path in sorted(self.folder.glob("*.yaml")) for word in ("--file", str(path))]
        # As variables of the process, too: there they win over what a shell happens to call PORT.
        done = do([*self._command, *where, "--env-file", str(self._file), *files, *words], self._variables)
        if done.returncode:
            raise UserError(f"{problem}: {last_line(done)}")
        return done.stdout

    def set(self, name: str, value: str) -> None:
        """Give a variable of the files its value, from now on."""
        self._variables[name] = value
        self.write()

    def write(self) -> None:
        """Write the variables where somebody who calls Compose by hand has them."""
        write_text(self._file, "".join(f"{name}={value}\n" for name, value in sorted(self._variables.items())))

    def get(self, name: str) -> str | None:
        """The value of a variable."""
        return self._variables.get(name)

    def _read(self) -> dict[str, str]:
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        return dict(line.split("=", 1) for line in lines if "=" in line)


class ContainerSlot(Slot):
    """A slot whose service is a container."""

    def __init__(self, project: Project, colour: Colour, port: int) -> None:
        super().__init__(project.home, colour, port)
        self._project, self._image = project, f"{colour.upper()}_IMAGE"

    def start(self, lineage: Lineage) -> Running:
        """Get the image by its digest, and start it."""
        with console().status(f"pulling {lineage.image}"):
            self._project.set(self._image, _fetch(lineage, self._project))
        return self._up(lineage.name, lineage.digest, lineage.version, "--force-recreate")

    def again(self, running: Running) -> Running:
        """Start the container once more, unless the engine has done so."""
        return self._up(running.name, running.digest, running.version, "--no-recreate")

    def is_alive(self, running: Running) -> bool:
        """Whether the container runs, and has not been started anew since."""
        done = do(["docker", "inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", str(running.process)])
        if done.returncode and "no such" not in done.stderr.lower():
            raise UserError(f"Docker does not say what became of {self.colour}: {last_line(done)}")
        return done.stdout.split() == ["true", str(running.began)]

    def stop(self, running: Running) -> None:
        """Let it finish, for as long as it may take, and remove it with its image, which the registry has."""
        del running  # the container is the slot's
        self._project.call("rm", "--stop", "--force", self.colour, problem=f"{self.colour} cannot be stopped")
        if image := self._project.get(self._image):
            do(["docker", "image", "rm", image])

    def _up(self, name: str, digest: str, version: str, how: str) -> Running:
        up = ["up", "--detach", "--no-deps", "--no-build", how, self.colour]
        self._project.call(*up, problem=f"{name} does not start")
        container = self._project.call("ps", "--all", "--quiet", self.colour, problem="no containers").strip()
        began = DOCKER.call("inspect", "--format", "{{.State.StartedAt}}", container, problem=f"{name} is gone").strip()
        return Running(name=name, digest=digest, version=version, process=container, began=began)

    def _log(self, running: Running) -> str:
        done = do(["docker", "logs", "--tail", "40", str(running.process)])
        return f"{done.stdout}\n{done.stderr}"

    def _release(self, running: Running) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        source = f"{running.process}:/{BENTO}/src/release"
        DOCKER.call("cp", source, str(self._folder), problem=f"{running.name} holds no release")
        return self._folder / "release"


class ComposeGateway(HAProxy):
    """HAProxy as a container, which keeps its address whatever becomes of its configuration."""

    def __init__(self, project: Project, ports: Ports) -> None:
        servers = {colour: f"{colour}:3000" for colour in OTHER}
        found = "resolvers docker init-addr last,libc,none"
        place = Place(RESOLVERS, ":8080", ":8404", servers, found, exporter=True)
        super().__init__(project.home, project.home / "gateway/haproxy.cfg", place, project.address, ports.about)
        self._project = project

    def stop(self) -> None:
        """End it, once the requests in work are done."""
        self._project.call("rm", "--stop", "--force", "gateway", problem="the gateway cannot be stopped")

    def _load(self) -> None:
        self._config.parent.chmod(0o755)
        problem, before = "the gateway does not start", self._container()
        self._project.call("up", "--detach", "--no-deps", "gateway", problem=problem)
        if before and self._container() == before:  # or it was made anew, as its address is another one
            self._project.call("kill", "--signal", "SIGUSR2", "gateway", problem=problem)

    def _container(self) -> str:
        return self._project.call("ps", "--status", "running", "--quiet", "gateway", problem="compose").strip()


class ComposeHost(Host):
    """Containers of a project.

    Args:
        project: The project.
        gateway: Its gateway.
        slots: Its slots.
        monitoring: Whether Prometheus and so on run as well.
    """

    def __init__(
        self, project: Project, gateway: ComposeGateway, slots: Mapping[Colour, Slot], *, monitoring: bool
    ) -> None:
        super().__init__("compose", gateway, slots)
        self._project, self._monitoring, self._changed = project, monitoring, False

    def prepare(self, root: Path) -> None:
        """Have the files for Compose, and the alerts, as git has them.

        Raises:
            UserError: That tree has none.
        """
        if not (root / FILES / "compose.yaml").is_file():
            raise UserError(f"{FILES}/compose.yaml: is not in that commit; --to processes does without")
        rules = next((path for path in (RULES, OWN_RULES) if (root / path).exists()), RULES)
        alerts = json.dumps({"groups": read_yaml(root / rules)["spec"]["groups"]}, indent=1)
        wanted = {path.relative_to(root / FILES): path.read_bytes() for path in _files(root / FILES)}
        folder = self._project.folder
        # One by one, since containers have these folders as they were when they began.
        changed = [path for path, content in wanted.items() if _write(folder / path, content)]
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)  # containers have users of their own
        gone = [path for path in _files(folder) if path.relative_to(folder) not in wanted]
        for path in gone:
            path.unlink()
        if _write(self._project.home / "rules/rules.yaml", alerts.encode()) or changed or gone:  # JSON is YAML
            self._changed = True
        (self._project.home / "secrets").mkdir(exist_ok=True)  # or Docker makes it, as root
        for name in ("rules", "secrets"):
            (self._project.home / name).chmod(0o755)
        self._project.write()

    def accompany(self) -> str | None:
        """Start what watches the model."""
        if not self._monitoring:
            return None
        try:
            others = self._project.call("config", "--services", problem="compose").split()
            watching = sorted({*others} - {*OWN})
            ran = self._project.call("ps", "--services", "--status", "running", problem="compose").split()
            if watching:
                self._project.call("up", "--detach", "--no-deps", *watching, problem="the monitoring does not run")
            if self._changed and (told := sorted({*ran} & READS_ANEW)):
                self._project.call("kill", "--signal", "SIGHUP", *told, problem="the monitoring cannot be told")
            self._changed = False
        except UserError as problem:
            return str(problem)
        return None

    def close(self) -> None:
        """Remove what is left, but for volumes."""
        self._project.call("down", "--remove-orphans", problem="the containers cannot be removed")


def _fetch(lineage: Lineage, project: Project) -> str:
    """Have Docker get an image by its digest, and give the name that it knows it by."""
    registry, problem = registry_of_image(lineage.image), f"{lineage.name} cannot be pulled"
    if not registry.folder:
        name = f"{lineage.image}@{lineage.digest}"
        DOCKER.call("pull", "--quiet", name, problem=problem)
        return name
    name = f"slipway-deployed-{project.own}:{lineage.digest.removeprefix('sha256:')[:12]}"
    with scratch_folder(project.home) as scratch:
        image = scratch / "image"
        registry.copy_to(lineage.version, lineage.digest, image)
        done = do(["skopeo", "copy", "--quiet", f"oci:{image}:image", f"docker-daemon:{name}"])
        if done.returncode:
            raise UserError(f"{problem}: {last_line(done)}")
    return name


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(path: Path, content: bytes) -> bool:
    """Write a file if it is another one; whether it was."""
    if path.exists() and path.read_bytes() == content:
        return False
    with replaced(path) as draft:
        draft.write_bytes(content)
        draft.chmod(0o644)
    return True

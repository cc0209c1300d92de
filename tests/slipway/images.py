"""Images of some bytes, and a registry on loopback to push them to."""

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

KIND = "application/vnd.oci.image"


def need_skopeo() -> None:
    """Skip the test where there is no skopeo."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: int = 10) -> None:
    """Wait until somebody listens on a port."""
    for _ in range(10 * seconds):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("nobody listens")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry on loopback."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log) as process,
    ):
        wait_for(port)
        yield f"127.0.0.1:{port}"
        process.terminate()


@dataclass
class Gate:
    """What stands before a server: its address, and how many bytes of a connection's requests get through."""

    address: str
    most: int


@contextmanager
def cut_after(server: str, most: int) -> Iterator[Gate]:
    """Listen on loopback, pass everything on to a server, and cut each connection that sends more than so much."""
    host, _, port = server.partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        gate = Gate(f"127.0.0.1:{listening.getsockname()[1]}", most)

        def pump(source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
            passed = 0
            with suppress(OSError):
                while content := source.recv(65_536):
                    passed += len(content)
                    if counted and passed > gate.most:
                        break
                    sink.sendall(content)
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    ours, _ = listening.accept()
                    theirs = socket.create_connection((host, int(port)))
                    Thread(target=pump, args=(ours, theirs), kwargs={"counted": True}, daemon=True).start()
                    Thread(target=pump, args=(theirs, ours), kwargs={"counted": False}, daemon=True).start()

        Thread(target=accept, daemon=True).start()
        yield gate
        listening.shutdown(socket.SHUT_RDWR)


def tiny_image(folder: Path, tag: str, labels: Mapping[str, str], layer: bytes = b"\0" * 1024) -> str:
    """Add an image of one layer to a folder in OCI's layout, and give its digest."""
    blobs, index = folder / "blobs/sha256", folder / "index.json"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(kind: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"{KIND}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    stored = put("layer.v1.tar", layer)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": [stored["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{KIND}.manifest.v1+json",
        "config": put("config.v1+json", json.dumps(config).encode()),
        "layers": [stored],
    }
    made = put("manifest.v1+json", json.dumps(manifest).encode())
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    named = {**made, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*known, named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(made["digest"])

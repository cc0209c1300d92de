"""What a shell proposes for values: read from files and git, for a tab must not wait for a library or the network."""

import subprocess

from slipway import layout

MOST = "--count=100"  # of the latest


def environments() -> list[str]:
    """Those that releases can go to."""
    return sorted(path.parent.name for place, file in layout.ENVIRONMENTS.items() for path in place.glob(f"*/{file}"))


def branches() -> list[str]:
    """Branches, of this repository and of origin."""
    return _named("refs/heads", "refs/remotes/origin")


def releases() -> list[str]:
    """The names of releases."""
    return _named("refs/tags/model-v*")


def revisions() -> list[str]:
    """Branches and tags, and the commits before this one."""
    return ["HEAD", "HEAD~1", *_named("refs/heads", "refs/remotes", "refs/tags")]


def traceable() -> list[str]:
    """What `slipway lineage` can tell of by a name."""
    return [*environments(), *releases()]


def engines() -> list[str]:
    """What builds images or runs them."""
    return ["docker", "podman", "buildah"]


def _named(*patterns: str) -> list[str]:
    command = ["git", "for-each-ref", MOST, "--sort=-creatordate", "--format=%(refname:short)", *patterns]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    names = (
        name.removeprefix("origin/") if "refs/remotes/origin" in patterns else name for name in done.stdout.split()
    )
    return [name for name in dict.fromkeys(names) if name not in {"origin", "HEAD", "origin/HEAD"}]

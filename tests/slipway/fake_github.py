"""A server on loopback that answers the few calls that are made as GitHub's REST interface does."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import serving

BOT = "github-actions[bot]"


@dataclass
class FakeGitHub:
    """What the repository holds.

    `refuse` is a status that every writing call is answered with, `settings` are answers by path, None where only an
    administrator gets one.
    """

    url: str = ""
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    permissions: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    refuse: int | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)

    def add_pull(
        self, number: int, head: str, *, source: str = "o/r", branch: str = "topic", base: str = "main"
    ) -> dict[str, Any]:
        """A pull request, as its description in events and answers."""
        owner = source.split("/", maxsplit=1)[0]
        repo = {"full_name": source, "owner": {"login": owner}}
        head_of = {"sha": head, "ref": branch, "repo": repo, "label": f"{owner}:{branch}"}
        self.pulls[number] = {"number": number, "head": head_of, "base": {"ref": base}, "state": "open"}
        return self.pulls[number]

    def add_comment(self, body: str, login: str = "somebody", number: int = 3) -> dict[str, Any]:
        """A comment that is there already, on the pull request of this number."""
        path = f"/issues/{number}/comments"
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"login": login}, "path": path})
        return self.comments[-1]

    def answer(  # noqa: PLR0911
        self, method: str, path: str, query: dict[str, str], content: Any
    ) -> tuple[int, Any]:
        """The status and the content of an answer."""
        if method != "GET" and self.refuse:
            return self.refuse, {"message": "Resource not accessible by integration"}
        if method == "GET" and path in self.settings:
            found = self.settings[path]
            return (403, {"message": "Must have admin rights to Repository."}) if found is None else (200, found)
        if content and len(content.get("body", "")) > 65_536:
            return 422, {"message": "Body is too long (maximum is 65536 characters)"}
        if match := re.fullmatch(r"/pulls/(\d+)", path):
            found = self.pulls.get(int(match[1]))
            if found and method == "PATCH":
                found |= {name: content[name] for name in ("title", "body")}
            return (200, found) if found else (404, {"message": "Not Found"})
        if path == "/pulls" and method == "POST":
            number = max(self.pulls, default=0) + 1
            made = self.add_pull(number, "0" * 40, branch=content["head"], base=content["base"])
            made |= {name: content[name] for name in ("title", "body")}
            return 201, made
        if path == "/pulls":
            head, base = query.get("head"), query.get("base")
            pulls = [pull for pull in self.pulls.values() if base in {None, pull["base"]["ref"]}]
            return 200, [pull for pull in pulls if head in {None, pull["head"]["label"]}]
        if match := re.fullmatch(r"/collaborators/([\w-]+)/permission", path):
            return 200, {"permission": self.permissions.get(match[1], "read")}
        if match := re.fullmatch(r"/issues/(\d+)/comments", path):
            if method == "POST":
                return 201, self.add_comment(content["body"], BOT, int(match[1]))
            if not isinstance(self.comments, list):
                return 200, self.comments
            size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
            here = [comment for comment in self.comments if comment["path"] == path]
            return 200, here[(page - 1) * size : page * size]
        if method == "PATCH" and (match := re.fullmatch(r"/issues/comments/(\d+)", path)):
            comment = next(each for each in self.comments if each["id"] == int(match[1]))
            comment["body"] = content["body"]
            return 200, comment
        return 404, {"message": "Not Found"}


@contextmanager
def fake_github(repository: str = "o/r") -> Iterator[FakeGitHub]:
    """Serve for as long as the block lasts."""
    state = FakeGitHub()

    def answer(method: str, target: str, headers: Mapping[str, str], content: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        path = parts.path.removeprefix(f"/repos/{repository}")
        state.calls.append((method, path))
        if headers.get("Authorization") not in {"Bearer token", "token token"}:  # gh says the latter
            return 401, {"message": "Bad credentials"}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return state.answer(method, path, query, content)

    with serving(answer) as state.url:
        yield state

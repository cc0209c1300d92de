"""The site of the documents: built strictly, whole, drawn, and loading nothing from anybody else."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import generate
import links
import mermaidx
import pytest
from helpers import ROOT, made_once, write
from loopback import serving
from markdown_it import MarkdownIt

SOURCES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
STRUCTURE = ("h1", "h2", "h3", "h4", "li", "ol", "table", "td", "pre")


class Page(HTMLParser):
    """What a built page loads, links to, and consists of; of its text alone, what a writer wrote."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.strange: list[str] = []
        self.parts: Counter[str] = Counter()
        self.inside = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if address := values.get(LOADING.get(tag, "")):
            self.loads += [address] if values.get("rel") not in {"next", "prev", "canonical"} else []
        self.strange += [
            f"{tag}: {name}" for name in values if tag in {"td", "p", "li"} and name not in {"style", "class"}
        ]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        self.inside += tag == "article"
        self.parts[tag] += bool(self.inside)

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "article"


def build(folder: Path, docs: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    config = ROOT / "mkdocs.yml"
    if docs is not None:
        config = docs.parent / "mkdocs.yml"
        config.write_text((ROOT / "mkdocs.yml").read_text().replace("docs/hooks.py", str(ROOT / "docs/hooks.py")))
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        str(config),
        "--site-dir",
        str(folder),
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""

    def make(folder: Path) -> None:
        done = build(folder / "site")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stderr

    return made_once(tmp_path_factory, "site of the documents", make) / "site"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the documents, to be broken."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "docs"


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":  # its addresses are absolute: it stands for every place
            yield path, Page(path)


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    found = {path.resolve(): page for path, page in pages(site)}
    assert len(found) >= len(SOURCES)
    broken = []
    for path, page in found.items():
        for address in {*page.links, *page.loads}:
            place = urlsplit(address)
            if place.scheme:
                continue
            target = (path.parent / unquote(place.path)).resolve() if place.path else path
            target /= "index.html" if target.is_dir() else ""
            if not target.exists() or (place.fragment and target in found and place.fragment not in found[target].ids):
                broken += [f"{path.relative_to(site)}: {address}"]
    assert not broken


def test_nothing_is_loaded_from_anybody_else(site: Path) -> None:
    loaded = [(str(path), address) for path, page in pages(site) for address in page.loads]
    styles = [(str(path), address) for path in site.rglob("*.css") for address in foreign(path.read_text())]

    assert len(loaded) > len(SOURCES)
    assert not [found for found in loaded if urlsplit(found[1]).netloc]
    assert not styles


def test_no_text_is_taken_for_attributes(site: Path) -> None:
    assert not [(str(path), page.strange) for path, page in pages(site) if page.strange]


def foreign(style: str) -> list[str]:
    return [address for address in re.findall(r"url\((.*?)\)", style) if urlsplit(address.strip("\"'")).netloc]


def test_mermaid_is_there_where_something_is_drawn_and_nowhere_else(site: Path) -> None:
    drawn = {path for path, page in pages(site) if '<pre class="mermaid">' in path.read_text()}
    loading = {path for path, page in pages(site) if any(each.endswith("assets/mermaid.js") for each in page.loads)}

    assert drawn == loading != set()
    assert (site / "assets/mermaid.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("source", ["README.md", *SOURCES])
def test_diagrams_are_what_mermaid_can_draw(source: str) -> None:
    for diagram in (token for token in tokens(source) if token.type == "fence" and token.info == "mermaid"):
        assert mermaidx.render(diagram.content).svg().startswith("<svg")


def test_a_diagram_that_mermaid_cannot_draw_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="Parse error"):
        mermaidx.render("flowchart LR\n  a --> b[(x@y)]").svg()


def tokens(source: str) -> list:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / source).read_text())


@pytest.mark.parametrize("source", SOURCES)
def test_a_page_is_on_the_site_what_it_is_on_github(source: str, site: Path) -> None:
    expected = Counter(token.tag for token in tokens(source) if token.nesting == 1 and token.tag in STRUCTURE)
    expected["pre"] = sum(token.type == "fence" for token in tokens(source))
    name = str(Path(source).relative_to("docs").with_suffix(".html")).replace("README", "index")

    parts = Page(site / name).parts
    assert {tag: parts[tag] for tag in STRUCTURE} == {tag: expected[tag] for tag in STRUCTURE}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](github.md#gone)", "#gone"),
        ("![gone](gone.png)", "gone.png"),
        ("[gone](../gone.py)", "gone.py"),
    ],
)
def test_a_broken_link_fails_the_build(added: str, said: str, docs: Path, tmp_path: Path) -> None:
    page = docs / "quickstart.md"
    page.write_text(page.read_text() + f"\n{added}\n")

    done = build(tmp_path / "site", docs)

    assert done.returncode != 0
    assert said in done.stderr


def test_pages_are_found_by_themselves_and_may_be_missing(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for name in ("index.md", "github.md", "explanation/new.md"):
        write(docs, name, "# A page\n")
    shutil.copytree(ROOT / "docs/assets", docs / "assets")

    done = build(tmp_path / "site", docs)

    assert done.returncode == 0, done.stderr
    assert "explanation/new.html" in Page(tmp_path / "site/index.html").links
    assert "github.html" in Page(tmp_path / "site/index.html").links


def test_the_reference_is_that_of_the_code() -> None:
    written = {path.name: path.read_text() for path in (ROOT / "docs/reference").glob("*.md")}

    assert written == generate.pages(), "run `make reference`"


def test_every_address_outside_is_asked(tmp_path: Path) -> None:
    def answer(_method: str, path: str, *_: object) -> tuple[int, object]:
        return {"/there": 200, "/forbidden": 403}.get(path, 404), {}

    with serving(answer) as server:
        anchors = "".join(f'<a href="{server}/{name}#part">x</a>' for name in ("there", "gone", "forbidden"))
        (tmp_path / "page.html").write_text(f'{anchors}<a href="{links.OWN}x">x</a><a href="other.html">x</a>')
        found = links.check(tmp_path, pause=0)

    assert found == [f"{server}/gone: status 404 (page.html)"]

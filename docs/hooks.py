"""What the site adds to MkDocs: a navigation that finds its pages, Mermaid from here, links into the repository."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mermaidx
from mkdocs.structure.files import File
from pymdownx.slugs import slugify
from pymdownx.superfences import fence_code_format

ROOT = Path(__file__).resolve().parents[1]
MERMAID = "assets/mermaid.js"
# A title, and a page or a folder; what is not there yet is left out.
NAVIGATION = [
    ("Home", "index.md"),
    ("Quickstart", "quickstart.md"),
    ("Tutorial", "tutorial.md"),
    ("How-to", "how-to"),
    ("Reference", "reference"),
    ("Explanation", "explanation"),
    ("Decisions", "adr"),
]
BESIDE = {"how-to": ["github.md"]}  # pages that lie elsewhere, as generated projects have them too
LINK = re.compile(r"(?<!\\)(\[[^\]]*\]\()([^)\s]+)(\))")
NEEDS = re.compile(r"^( *)<!-- (needs: [^>]*?|background|exit: \d+) -->\n( *)```sh$", re.MULTILINE)
SAID = {"background": "keeps running", "exit": "ends with exit code"}


def on_config(config: Any) -> Any:
    """Find the pages of the navigation, and name anchors as GitHub does."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}
    docs = Path(config.docs_dir)
    navigation: list[dict[str, Any]] = []
    for title, place in NAVIGATION:
        if (docs / place).is_file():
            navigation.append({title: place})
        else:
            found = sorted((docs / place).glob("*.md"), key=lambda path: (path.stem != "README", path.name))
            pages = [str(path.relative_to(docs)) for path in found]
            pages += BESIDE.get(place, [])
            navigation += [{title: pages}] if pages else []
    config.nav = navigation
    return config


def on_files(files: Any, config: Any) -> Any:
    """Serve Mermaid from here: the theme would otherwise load it from a host of somebody else's."""
    source = Path(mermaidx.__file__).parent / "assets/mermaid.js"
    files.append(File.generated(config, MERMAID, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Point links that leave this folder to the repository, and say above a block what it needs."""
    docs = ROOT / "docs"
    folder = (docs / page.file.src_path).parent

    def outward(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        place = urlsplit(target)
        path = Path(os.path.normpath(folder / place.path))
        here = path.is_relative_to(docs) and path.suffix != ".py"
        if place.scheme or not place.path or here or not path.exists():
            return match[0]  # if there is no such file, the strict build says so
        kind = "tree" if path.is_dir() else "blob"
        anchor = f"#{place.fragment}" if place.fragment else ""
        return f"{before}{config.repo_url.rstrip('/')}/{kind}/main/{path.relative_to(ROOT).as_posix()}{anchor}{after}"

    def titled(match: re.Match[str]) -> str:
        name, _, what = match[2].partition(": ")
        return f'{match[3]}```sh title="{SAID.get(name, name)}{" " if what else ""}{what}"'

    return NEEDS.sub(titled, LINK.sub(outward, markdown))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Load Mermaid, which is large, on the pages alone that draw something."""
    if '<pre class="mermaid">' not in output:
        return output
    script = f'<script src="{"../" * page.url.count("/")}{MERMAID}"></script>'
    return output.replace("</head>", f"{script}</head>", 1)

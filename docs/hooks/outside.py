"""
Pages that lie outside of docs/, and files that pages link to: on the site as on the repository page.

A link is written as the repository page wants it (`../tests/test_boot.py`, and in the README `docs/drift.md`). Here
what it leads to becomes a page of the site, and the link one to that page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "overview.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside, and is linked to."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text(encoding="utf-8")))
    written = list(files.documentation_pages())
    for path in sorted({path for file in written for path in _linked(file.content_string, file.src_uri)}):
        if files.get_file_from_path(_page_of(path)) is None:
            files.append(File.generated(config, _page_of(path), content=_as_page(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Lead its links to the pages of the site."""
    uri = page.file.src_uri
    here = os.path.dirname(uri)

    def led(found: re.Match[str]) -> str:
        path = _target(found[2], uri)
        if not (ROOT / path).is_file() or uri.startswith("files/"):
            return found[0]
        return f"{found[1]}{os.path.relpath(_page_of(path), here or '.')}{found[3] or ''}{found[4]}"

    return LINK.sub(led, markdown)


def _linked(markdown: str, uri: str) -> Iterator[str]:
    """The files of the repository that a page links to."""
    for found in LINK.finditer(markdown):
        if (ROOT / (path := _target(found[2], uri))).is_file():
            yield path


def _target(link: str, uri: str) -> str:
    """What a link leads to, from the repository's top."""
    folder = "" if uri in PAGES.values() else os.path.join("docs", os.path.dirname(uri))
    return os.path.normpath(os.path.join(folder, link))


def _page_of(path: str) -> str:
    """Where a file of the repository is on the site."""
    return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}.md")


def _as_page(path: str) -> str:
    language = {".py": "python", ".toml": "toml", ".md": "markdown"}.get(os.path.splitext(path)[1], "text")
    text = (ROOT / path).read_text(encoding="utf-8")
    return f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n# {path}\n\n````{language}\n{text}````\n"

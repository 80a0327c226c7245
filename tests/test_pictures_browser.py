"""The pages as a browser has them: nothing is fetched, nothing sticks out, no text leaves its box. Needs chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder

from sqlmig import Migrator

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--virtual-time-budget=2000",
)

Look = Callable[..., dict[str, Any]]

# Told by a page around the one that is looked at, which has a width of its own: a window is never narrower than 500 px.
_AROUND = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="page" src="FILE" style="border:0;width:WIDTHpx;height:800px"></iframe><pre id="told"></pre><script>
document.getElementById("page").addEventListener("load", function () {
  var page = this.contentDocument, root = page.documentElement;
  var outside = Array.from(page.querySelectorAll(".table")).flatMap(function (group) {
    var box = group.querySelector(".box").getBoundingClientRect();
    return Array.from(group.querySelectorAll("text")).filter(function (text) {
      var one = text.getBoundingClientRect();
      return one.left < box.left || one.right > box.right || one.bottom > box.bottom + 1;
    }).map(function (text) { return text.textContent; });
  });
  var over = Array.from(page.querySelectorAll(".table")).flatMap(function (group) {
    var texts = Array.from(group.querySelectorAll("text")).map(function (text) {
      return [text.textContent, text.getBoundingClientRect()];
    });
    return texts.flatMap(function (one, at) {
      return texts.slice(at + 1).filter(function (other) {
        return one[1].left < other[1].right && other[1].left < one[1].right
          && one[1].top + 4 < other[1].bottom && other[1].top + 4 < one[1].bottom;
      }).map(function (other) { return one[0] + " / " + other[0]; });
    });
  });
  document.getElementById("told").textContent = JSON.stringify({
    width: root.clientWidth, scroll: root.scrollWidth, outside: outside, over: over,
    headings: Array.from(page.querySelectorAll("h1, h2")).map(function (one) { return one.textContent; }),
    captions: page.querySelectorAll("table").length - page.querySelectorAll("table > caption").length,
    boxes: page.querySelectorAll(".table").length,
    fetched: page.defaultView.performance.getEntriesByType("resource").map(function (one) { return one.name; }),
    paper: getComputedStyle(page.querySelector(".paper")).fill,
    ground: getComputedStyle(page.body || root).backgroundColor,
  });
});
</script>"""


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Open a file in a frame of a width; what is there then."""
    browser = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no chromium is installed, in which the page could be looked at")

    def opened(file: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
        around = file.with_name("around.html")
        around.write_text(_AROUND.replace("FILE", file.name).replace("WIDTH", str(width)), encoding="utf-8")
        log = tmp_path / "net.json"
        flags = [*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}"]
        flags += ["--allow-file-access-from-files", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        ran = subprocess.run(
            [browser, *flags, "--window-size=1400,900", "--dump-dom", around.as_uri()],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        found = re.search(r'<pre id="told">(.*?)</pre>', ran.stdout, re.DOTALL)
        assert found, ran.stdout[-500:] + ran.stderr[-500:]
        told: dict[str, Any] = json.loads(unescape(found[1]))
        # What the browser itself has asked the network for, whatever the page says.
        asked = re.findall(r'"url":"((?:https?|wss?)://[^"]+)"', log.read_text(errors="replace"))
        told["asked"] = [url for url in asked if not re.search(r"//[^/]*(google|gvt1|gstatic)[^/]*/", url)]
        return told

    return opened


@pytest.fixture
def library(folder: Folder, migrator: Migrator) -> Migrator:
    """Tables with names of many kinds, and a history with a failure in it."""
    folder.sql(
        1,
        "-- sqlmig: up",
        'CREATE TABLE "<script>alert(1)</script>" (id INTEGER PRIMARY KEY, "größe 表 таблица 😀 देवनागरी" TEXT);',
        f"CREATE TABLE {'long_' * 30} (id INTEGER PRIMARY KEY, {'WWWW_' * 30} VARCHAR(1234567890), mmmmmmmmmm BLOB);",
        "CREATE TABLE nodes (id INTEGER PRIMARY KEY, up INTEGER NOT NULL UNIQUE REFERENCES nodes (id),",
        ' odd INTEGER REFERENCES "<script>alert(1)</script>" (id));',
        *(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, node_{n} INTEGER REFERENCES nodes (id));" for n in range(30)),
    )
    migrator.migrate()
    folder.add(2, f"raise ValueError('{'unbreakable' * 40}')", extra=f"description = '{'word' * 60}'")
    with pytest.raises(Exception, match="unbreakable"):
        migrator.migrate()
    return migrator


@pytest.mark.parametrize(("width", "dark"), [(360, True), (450, False), (1280, False)])
def test_the_report(library: Migrator, tmp_path: Path, look: Look, width: int, dark: bool) -> None:
    library.write_report(tmp_path / "report.html")
    told = look(tmp_path / "report.html", width, dark=dark)
    assert told["width"] == width
    assert told["scroll"] <= width
    assert told["headings"][1:] == ["History", "Pending", "Schema", "Sizes", "Drift"]
    assert (told["captions"], told["boxes"], told["asked"], told["fetched"]) == (0, 33, [], [])
    assert (told["outside"], told["over"]) == ([], [])
    assert told["ground"] == told["paper"] == ("rgb(16, 21, 28)" if dark else "rgb(255, 255, 255)")


def test_the_diagram(library: Migrator, folder: Folder, tmp_path: Path, look: Look) -> None:
    folder.sql(
        2,
        "-- sqlmig: up",
        'ALTER TABLE t1 ADD COLUMN "new & <b>" TEXT;',
        "CREATE INDEX ix ON t1 (node_1, id);",
        name="002_step_2.sql",
    )
    (folder.path / "002_step_2.py").unlink()
    (tmp_path / "schema.svg").write_text(library.draw_schema("svg", diff=(1, 2)), encoding="utf-8")
    told = look(tmp_path / "schema.svg", 1280)
    assert (told["boxes"], told["outside"], told["over"]) == (33, [], [])
    assert (told["asked"], told["fetched"]) == ([], [])

"""How results look on a screen, and as JSON. Colours only on a terminal, and not under NO_COLOR."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..data.pace import fraction, how_far
from ..sources import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from ..diagnosis import Diagnosis
    from ..preview import SqlPlan
    from ..results import Loss, MigrationResult, Plan, Status
    from ..safety.report import Rehearsal, RehearsedStep
    from ..safety.shelf import Snapshot
    from ..transfer.report import CopyResult

__all__ = [
    "agreed",
    "as_json",
    "aside",
    "copy",
    "diagnosis",
    "error",
    "foreign_error",
    "history",
    "issues",
    "note",
    "plan",
    "progress",
    "rehearsal",
    "result",
    "say",
    "slips",
    "snapshots",
    "somebody_is_there",
    "status",
]


def _out() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # Nobody's screen: a line is a line, for grep.
        console.width = 500
    return console


def _err() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


_outputs: list[TextIO] = []
"""The output itself, where what is printed goes aside; the first is the real one."""


@contextmanager
def aside(wanted: bool = True) -> Iterator[None]:
    """Have what migrations and models print go to the error stream: the output is a document, for a program."""
    if not wanted:
        yield
        return
    _outputs.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _outputs.pop()


def _print_table(table: Table) -> None:
    """Print a table whole: on a narrower screen its lines go on below, instead of losing columns."""
    console = _out()
    console.width = max(console.width, 80)
    console.print(table)


def as_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object; times in ISO 8601."""
    print(json.dumps(value, default=_plain, indent=2), file=_outputs[0] if _outputs else None, flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    return str(value)


def say(text: str, style: str = "") -> None:
    """Print a line."""
    _out().print(Text(text, style=style))


def error(message: str) -> None:
    """Print an error: what happened in red, the facts, and the next command."""
    first, _, rest = message.partition("\n")
    _err().print(Text(first, style="bold red"))
    if rest:
        _err().print(Text(rest))


def foreign_error(error: BaseException) -> str:
    """An error that is not sqlmig's own, in the same form."""
    if isinstance(error, KeyboardInterrupt):
        return (
            "Interrupted; the command did not come to its end.\n"
            "  What was committed before has stayed; a migration in a transaction was undone.\n"
            "See where the database stands: sqlmig status"
        )
    origin = getattr(error, "orig", None) or error
    return f"{type(origin).__name__}: {origin}\n  Nothing more is known here.\nTo see where it came from: --traceback"


def result(done: MigrationResult) -> None:
    """What a change did."""
    for word, versions in (("applied", done.applied), ("skipped", done.skipped), ("rolled back", done.rolled_back)):
        for version in versions:
            _out().print(Text.assemble((f"  {word} ", "green" if word == "applied" else "yellow"), f"{version:03}"))
    for loss in done.losses:
        _out().print(Text.assemble(("  lost ", "yellow"), f"{loss.version:03}  {loss}"))
    for warning in done.warnings:
        note(warning)
    say(str(done))
    if done.snapshot is not None and done.direction != "restore":
        _out().print(Text(f"snapshot before it: {done.snapshot}", style="dim"))


def copy(done: CopyResult) -> None:
    """What was copied: a line for each table, and what is to be known."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("rows", "ms", "checksum", "table"):
        table.add_column(heading, justify="right" if heading in ("rows", "ms") else "left", no_wrap=True)
    for one in done.tables:
        table.add_row(f"{one.rows:,}", f"{one.execution_time_ms:,.1f}", one.checksum, Text(one.table))
    if done.tables:
        _print_table(table)
    for name in done.left_out:
        _out().print(Text.assemble(("left out  ", "yellow"), name))
    for warning in done.warnings:
        note(warning)
    say(str(done))


def plan(found: Plan | SqlPlan) -> None:
    """What would be done."""
    say(str(found))


def status(found: Status, database: str) -> None:
    """Where a database stands."""
    _out().print(Text.assemble(("database  ", "dim"), database))
    style = "yellow" if found.needs_migration else "green"
    _out().print(Text.assemble(("version   ", "dim"), (str(found), style)))
    for label, versions in (
        ("pending   ", found.pending_versions),
        ("skipped   ", found.skipped_versions),
        ("started   ", found.interrupted_versions),
    ):
        if versions:
            _out().print(Text.assemble((label, "dim"), ", ".join(f"{v:03}" for v in versions)))
    for version, names in found.removes.items():
        _out().print(Text.assemble(("removes   ", "yellow"), f"{version:03}  {', '.join(names)}"))
    for version, far in found.progress.items():
        _out().print(Text.assemble(("rows      ", "dim"), f"{version:03}: {how_far(far['rows'], far['total'])}"))
    issues(found.validation_issues)


def issues(found: Sequence[Any]) -> None:
    """What is wrong, with what to do about it."""
    for issue in found:
        _out().print(Text.assemble(("issue     ", "red"), str(issue)))
        if issue.hint:
            _out().print(Text(f"          {issue.hint}", style="dim"))


def diagnosis(found: Diagnosis, database: str) -> None:
    """What was looked at, a line each, and below it what to do."""
    _out().print(Text.assemble(("          database  ", "dim"), database))
    marks = {"ok": ("ok        ", "green"), "note": ("note      ", "yellow"), "problem": ("problem   ", "bold red")}
    for one in found.findings:
        _out().print(Text.assemble(marks[one.level], (f"{one.about}  ", "dim"), one.text))
        if one.hint and one.level != "ok":
            _out().print(Text(f"          {one.hint}", style="dim"))


def agreed(losses: Sequence[Loss]) -> bool:
    """Tell what a rollback would remove, and ask whether it may; nobody there to answer is a no."""
    for loss in losses:
        _err().print(Text.assemble(("  would ", "yellow"), f"{loss.version:03}  {loss}"))
    return confirmed("Roll back, and lose that?")


def somebody_is_there() -> bool:
    """Whether the input is a terminal; a program may have been started without any."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Whether somebody says yes; who ends the input or the command has not."""
    try:
        return sys.stdin is not None and click.confirm(question, default=False, err=True)
    except click.Abort:
        _err().print()
        return False


def rehearsal(report: Rehearsal) -> None:
    """What came of a rehearsal: a line for each migration, and below it what it did and what is to be mended."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "up ms", "rows", "down ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("way back", "migration"):
        table.add_column(heading, no_wrap=heading == "way back")
    for step in report.steps:
        left = step.error is not None or step.skipped
        back = Text("failed" if step.error is not None else "skipped" if step.skipped else step.way_back)
        back.style = "bold red" if step.error is not None else "" if step.down_restores_schema else "yellow"
        rows = "" if left else f"{step.rows_touched:,}"
        version, times = f"{step.version:03}", (_milliseconds(step.up_ms), _milliseconds(step.down_ms))
        table.add_row(version, times[0], rows, times[1], back, Text(step.description))
    if report.steps:
        _print_table(table)
    for step in report.steps:
        _details(step)
    for line in (*report.integrity, *report.warnings):
        _out().print(Text.assemble(("! ", "yellow"), line))
    _out().print(Text(report.headline, style="green" if report else "yellow" if report.can_migrate else "bold red"))
    if report.error is not None:
        error(report.error)


def _details(step: RehearsedStep) -> None:
    """What it changed, and what is to be known or mended."""
    losses = [str(loss) for loss in step.losses] + [f"rolled back, it would {loss}" for loss in step.down_loses]
    lines = [(line, "dim") for line in step.schema_difference]
    lines += [(f"! {line}", "yellow") for line in (*losses, *step.warnings)]
    for line, style in lines:
        _out().print(Text.assemble((f"{step.version:03}  ", "dim"), (line, style)))


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def note(text: str) -> None:
    """Something that may be a slip, and stops nothing."""
    _out().print(Text.assemble(("note      ", "yellow"), text))


def slips(paths: Sequence[Path]) -> None:
    """Files that look like migrations, and are none by their names."""
    for path in paths:
        note(f"{path.name} is no migration: {NAMES}")


def history(entries: Sequence[Mapping[str, Any]]) -> None:
    """The audit log, newest first."""
    if not entries:
        say("Nothing was ever done to this database by sqlmig.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("when (UTC)", "version", "operation", "", "ms", "description"):
        table.add_column(
            heading, justify="right" if heading in ("version", "ms") else "left", no_wrap=heading != "description"
        )
    for entry in entries:
        ok = entry["success"]
        when = entry["started_at"]
        table.add_row(
            when.strftime("%Y-%m-%d %H:%M:%S") if isinstance(when, datetime) else str(when or ""),
            f"{entry['version']:03}",
            entry["operation"],
            Text("ok" if ok else "failed", style="green" if ok else "bold red"),
            f"{entry['execution_time_ms'] or 0:.1f}",
            Text(entry["description"] if ok else f"{entry['error_message']}".partition("\n")[0]),
        )
    _print_table(table)


def snapshots(listed: Sequence[Snapshot]) -> None:
    """The snapshots of a database, newest first."""
    if not listed:
        say("There is no snapshot of this database.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("when (UTC)", "version", "bytes"):
        table.add_column(heading, justify="left" if heading == "when (UTC)" else "right", no_wrap=True)
    table.add_column("file", overflow="fold")
    for one in listed:
        when = one.taken_at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(when, f"{one.version:03}", f"{one.size:,}", Text(str(one.path)))
    _print_table(table)


class _Bar(Progress):
    """What is being done in a line of its own, which has room for rows and their pace; below it the bar."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            yield Text(task.description)
            yield self.make_tasks_table([task])


@contextmanager
def progress(shown: bool) -> Iterator[Callable[[int, int, str], object] | None]:
    """A progress bar on the terminal's error stream from its first word on; None where there is no terminal."""
    console = _err()
    if not shown or not console.is_terminal:
        yield None
        return
    # Its lines are as wide as the screen; what is longer goes on below.
    console.soft_wrap = False
    bar = _Bar(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True)

    def told(done: int, total: int, message: str) -> None:
        if not bar.tasks:
            bar.add_task(message, total=None)
            bar.start()
        # A rehearsal comes to its end more than once, and its time goes on.
        bar.tasks[0].finished_time = None
        bar.update(bar.task_ids[0], completed=done + fraction(message), total=total or None, description=message)

    try:
        yield told
    finally:
        if bar.tasks:
            bar.stop()

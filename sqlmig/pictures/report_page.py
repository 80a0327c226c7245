"""What is known of a database and its migrations, on one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..results import Issue, Plan, PlanStep, Status
from ..safety.places import readable_size
from .page import Html, Section, chip, document, html, table
from .report import DatabaseReport
from .schema_page import diagram, tables_in_words
from .sizes import TableSize

__all__ = ["GENERATOR", "as_page"]

GENERATOR = "sqlmig report"
_NEWEST = 50
"""So many entries of the history are shown at once; the others are folded away."""


def as_page(report: DatabaseReport) -> str:
    """The whole page."""
    sections = [
        Section("history", "History", _or_failed(report, "history", lambda: _history(report.history or []))),
        Section("plan", "Pending", _or_failed(report, "plan", lambda: _plan(report))),
        Section("schema", "Schema", _or_failed(report, "schema", lambda: _schema(report))),
        Section("sizes", "Sizes", _or_failed(report, "sizes", lambda: _sizes(report.sizes or []))),
        Section("drift", "Drift", _or_failed(report, "drift", lambda: _drift(report))),
    ]
    return document(f"Database report: {report.database}", _lead(report), sections, GENERATOR)


def _or_failed(report: DatabaseReport, part: str, tell: Any) -> Html:
    if part not in report.failed:
        content: Html = tell()
        return content
    first, _, rest = report.failed[part].partition("\n")
    more = f"<pre>{html(rest)}</pre>" if rest else ""
    return Html(f"<p>{chip('could not be read', 'bad')} {html(first)}</p>{more}")


# Above


def _lead(report: DatabaseReport) -> Html:
    facts: list[tuple[str, object]] = []
    if report.status is not None:
        status = report.status
        facts.append(("Version", f"{status.current_version} of {status.target_version}"))
        facts.append(("State", _state(status)))
    elif "status" in report.failed:
        facts.append(("State", chip("could not be read", "bad")))
    if report.history:
        failures = sum(not entry["success"] for entry in report.history)
        facts.append(("Failures in its history", chip(f"{failures}", "bad") if failures else "none"))
    if report.sizes is not None:
        known = [one.bytes for one in report.sizes if one.bytes is not None]
        facts.append(("Tables", f"{len(report.sizes):,}" + (f", {readable_size(sum(known))}" if known else "")))
    if report.drift is not None:
        clean = chip("none", "good") if report.drift else chip(_differences(report), "note")
        facts.append(("Drift", clean))
    facts.append(("Made at", Html(f'<span class="when">{_time(report.made_at)} UTC</span>')))
    listed = "".join(f"<div><dt>{html(term)}</dt><dd>{html(value)}</dd></div>" for term, value in facts)
    return Html(f'<dl class="facts">{listed}</dl>')


def _state(status: Status) -> Html:
    if status.interrupted_versions:
        return chip("a migration was interrupted", "bad")
    if status.validation_issues:
        return chip(_count(len(status.validation_issues), "issue"), "bad")
    if status.pending_versions:
        return chip(f"{len(status.pending_versions)} pending", "note")
    return chip("up to date", "good")


def _differences(report: DatabaseReport) -> str:
    assert report.drift is not None
    count = len(report.drift.differences)
    return _count(count, "difference") if count else "not compared"


# History


def _history(entries: Sequence[Mapping[str, Any]]) -> Html:
    if not entries:
        return Html("<p>Nothing was ever done to this database by sqlmig.</p>")
    longest = max((_milliseconds(entry) for entry in entries), default=0.0)
    newest = _entries("history-newest", _count(len(entries[:_NEWEST]), "entry", "entries"), entries[:_NEWEST], longest)
    if len(entries) <= _NEWEST:
        return newest
    older = entries[_NEWEST:]
    told = _count(len(older), "older entry", "older entries")
    return Html(
        f"{newest}<details><summary>{told}</summary>{_entries('history-older', told, older, longest)}</details>"
    )


def _entries(id_: str, count: str, entries: Sequence[Mapping[str, Any]], longest: float) -> Html:
    rows = [
        (
            Html(f'<span class="when">{_time(entry["started_at"])}</span>'),
            chip("ok", "good") if entry["success"] else chip("failed", "bad"),
            f"{entry['version']:03}",
            entry["operation"],
            _duration(_milliseconds(entry), longest),
            _description(entry),
        )
        for entry in entries
    ]
    headings = ("When (UTC)", "Outcome", "Version", "Operation", "Duration", "Description")
    caption = f"What was done and tried, newest first: {count}"
    return table(id_, caption, headings, rows, numbers=(2, 4))


def _description(entry: Mapping[str, Any]) -> Html:
    described = html(entry["description"] or "")
    if entry["success"] or not entry["error_message"]:
        return described
    first, _, rest = str(entry["error_message"]).partition("\n")
    if not rest:
        return Html(f"{described}<br>{html(first)}")
    return Html(f"{described}<details><summary>{html(first)}</summary><pre>{html(rest)}</pre></details>")


def _milliseconds(entry: Mapping[str, Any]) -> float:
    value = entry["execution_time_ms"]
    return float(value) if isinstance(value, int | float) else 0.0


def _duration(milliseconds: float, longest: float) -> Html:
    said = f"{milliseconds:,.1f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"
    return Html(said + _bar(milliseconds, longest))


def _bar(value: float, most: float) -> str:
    """How much it is of the most, for the eye alone: the number stands beside it."""
    part = 100 * value / most if most else 0.0
    return f'<span class="bar" style="width:{part:.1f}%" aria-hidden="true"></span>' if value else ""


# Plan


def _plan(report: DatabaseReport) -> Html:
    plan = report.plan
    assert plan is not None
    # The status tells of more: what was applied may be wrong where nothing is pending.
    issues = "".join(_issues(plan.validation_issues if report.status is None else report.status.validation_issues))
    if not plan.steps:
        return Html(issues or "<p>There is nothing to apply.</p>")
    caption = f"What migrate() would do, in this order: {_headline(plan)}"
    rows = [(f"{step.version:03}", step.description, "; ".join(_notes(step)) or "-") for step in plan.steps]
    return Html(issues + table("plan-steps", caption, ("Version", "Description", "To be known"), rows))


def _headline(plan: Plan) -> str:
    known = plan.estimated_time_ms is not None
    estimate = f", about {plan.estimated_time_ms:,.0f} ms" if known else ""
    return f"version {plan.current_version} to {plan.target_version}{estimate}"


def _notes(step: PlanStep) -> Iterator[str]:
    if step.dependencies:
        yield f"needs {', '.join(map(str, step.dependencies))}"
    if not step.rollback_supported:
        yield "no way back"
    if step.removes:
        yield f"removes {', '.join(step.removes)}"


def _issues(found: Sequence[Issue]) -> Iterator[str]:
    if found:
        yield f"<p>{chip('to be mended', 'bad')} The migrations are not fit to run:</p><ul>"
        for issue in found:
            yield f"<li>{html(issue)}{f'<br><span class=dim>{html(issue.hint)}</span>' if issue.hint else ''}</li>"
        yield "</ul>"


# Schema


def _schema(report: DatabaseReport) -> Html:
    picture = report.picture
    assert picture is not None
    tables = f"<h3>The tables in words</h3>{tables_in_words(picture, 'schema-table')}" if picture.tables else ""
    return Html(f"<p>{html(picture.summary)}</p>{diagram(picture)}{tables}")


# Sizes


def _sizes(found: Sequence[TableSize]) -> Html:
    if not found:
        return Html("<p>There are no tables.</p>")
    most = max((one.bytes or 0 for one in found), default=0)
    rows = [
        (
            one.name,
            _rows(one),
            Html(readable_size(one.bytes) + _bar(one.bytes, most)) if one.bytes is not None else "not told",
        )
        for one in found
    ]
    known = [one.bytes for one in found if one.bytes is not None]
    about = "about " if any(one.is_estimate for one in found) else ""
    foot = (
        "All",
        f"{about}{sum(one.rows or 0 for one in found):,}",
        readable_size(sum(known)) if known else "not told",
    )
    caption = "Rows, and bytes with the indexes, the largest first"
    return table("sizes-tables", caption, ("Table", "Rows", "Bytes"), rows, numbers=(1, 2), foot=foot)


def _rows(one: TableSize) -> str:
    if one.rows is None:
        return "not told"
    return f"{'about ' if one.is_estimate else ''}{one.rows:,}"


# Drift


def _drift(report: DatabaseReport) -> Html:
    drift = report.drift
    assert drift is not None
    said = [f"<p>{html(drift.state)}</p>"] if drift.state else []
    for number, comparison in enumerate(drift.comparisons):
        between = f"{comparison.left} and {comparison.right}"
        if comparison:
            said.append(f"<p>{chip('agree', 'good')} {html(between)}</p>")
            continue
        rows = [(found.kind, found.text) for found in comparison.findings]
        caption = f"{between} differ: {_count(len(rows), 'difference')}"
        said.append(table(f"drift-{number}", caption, ("Part", "Difference"), rows))
    return Html("\n".join(said) or "<p>Nothing was compared.</p>")


def _time(value: object) -> Html:
    if isinstance(value, datetime):
        # HTML knows no microseconds.
        return Html(f'<time datetime="{value.isoformat(timespec="seconds")}">{value:%Y-%m-%d %H:%M:%S}</time>')
    return html(value or "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"

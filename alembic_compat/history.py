"""The revisions of a project in one line: the versions 1 to N, and what their names mean."""

from __future__ import annotations

import heapq
import os
import re
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import Script
from alembic.script.revision import (
    CycleDetected,
    MultipleHeads,
    ResolutionError,
    RevisionError,
    RevisionMap,
)
from alembic.util import CommandError

from sqlmig import ConfigurationError, MigrationError, ValidationFailed
from sqlmig.results import Issue

from .errors import AmbiguousRevision, OverlappingHeads, UnknownRevision
from .project import Project, quietly

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

__all__ = ["History", "RevisionTarget", "linearise", "needs", "title"]


class RevisionTarget(int):
    """
    The version of what a name means, with what is applied and what is rolled back on the way to it.

    Attributes:
        up: The versions that are to be applied where they are not yet.
        down: Those that are to be rolled back where they are applied.
        goes_down: Which of the two is meant.
    """

    name: str
    up: frozenset[int]
    down: frozenset[int]
    goes_down: bool

    def __new__(
        cls, version: int, name: str, up: Iterable[int] = (), down: Iterable[int] = (), *, goes_down: bool = False
    ) -> RevisionTarget:
        self = super().__new__(cls, version)
        self.name, self.up, self.down, self.goes_down = name, frozenset(up), frozenset(down), goes_down
        return self


def needs(script: Script) -> list[str]:
    """The revisions that must be there before *script*."""
    return [*script._versioned_down_revisions, *script._resolved_dependencies]


def title(script: Script) -> str:
    """The first line of a revision's docstring; its id where it has none."""
    return " ".join((script.doc or "").split()) or script.revision


def linearise(scripts: Sequence[Script]) -> list[Script]:
    """
    The revisions, each after what it needs; of several that could be next, the one that was created first.

    Where every file tells its "Create Date", a new revision comes last, and no other changes its place. Where one
    does not, the distance from the base decides, and then the id: no order of a mere graph has that property.
    """
    by_id = {script.revision: script for script in scripts}
    waiting = {name: len(set(needs(script))) for name, script in by_id.items()}
    depth = dict.fromkeys(by_id, 0)
    children: dict[str, list[str]] = {name: [] for name in by_id}
    for name, script in by_id.items():
        for parent in set(needs(script)):
            children[parent].append(name)
    dates = {name: _created(script) for name, script in by_id.items()}
    dated = all(dates.values())

    def key(name: str) -> tuple[str, int, str]:
        return dates[name] if dated else "", depth[name], name

    ready = [key(name) for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)[2]
        order.append(by_id[name])
        for child in children[name]:
            depth[child] = max(depth[child], depth[name] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(ready, key(child))
    return order


_CREATED = re.compile(r"^Create Date:\s*(\S.*?)\s*$", re.MULTILINE)


def _created(script: Script) -> str:
    found = _CREATED.search(script.module.__doc__ or "")
    return found[1] if found else ""


def _loaded(directory: ScriptDirectory, path: Path) -> Script | None:
    if hasattr(Script, "_from_path"):
        return Script._from_path(directory, path)
    # Before Alembic 1.16.
    older: Any = Script
    found: Script | None = older._from_filename(directory, os.path.dirname(path), os.path.basename(path))
    return found


class History:
    """
    Every revision of a project, read once.

    Raises:
        ValidationFailed: A file does not import, or the graph is none: a cycle, a parent that is missing, an id twice.
    """

    def __init__(self, project: Project) -> None:
        self.directory: ScriptDirectory = project.directory
        scripts = self._read()
        _refuse_broken(scripts)
        self.directory.revision_map = RevisionMap(lambda: scripts)
        try:
            with quietly():
                self.heads: tuple[str, ...] = self.directory.revision_map._real_heads
        except CycleDetected as error:
            text = f"revisions that need each other: {', '.join(sorted(error.revisions))}"
            raise ValidationFailed([Issue(text, kind="dependency", hint=_LOOK)]) from error
        except (RevisionError, KeyError, AssertionError) as error:
            text = f"{type(error).__name__}: {error}"
            raise ValidationFailed([Issue(text, kind="dependency", hint=_LOOK)]) from error
        self.order = linearise(scripts)
        self.version_of = {script.revision: number for number, script in enumerate(self.order, 1)}

    def _read(self) -> list[Script]:
        scripts: list[Script] = []
        issues = []
        seen = set()
        for place in self.directory._version_locations:
            for path in Script._list_py_dir(self.directory, Path(place)) if os.path.exists(place) else ():
                real = Path(path).resolve()
                if real in seen:
                    continue
                seen.add(real)
                try:
                    with quietly():
                        script = _loaded(self.directory, real)
                    scripts += [script] if script is not None else []
                except (Exception, SystemExit) as error:
                    issues.append(_unreadable(error, str(real)))
        if issues:
            raise ValidationFailed(issues)
        return scripts

    @property
    def names(self) -> list[str]:
        """The ids, in order."""
        return [script.revision for script in self.order]

    def script(self, version: int) -> Script:
        """The revision with a version."""
        return self.order[version - 1]

    @cached_property
    def _parents(self) -> Mapping[str, list[str]]:
        return {script.revision: needs(script) for script in self.order}

    def closure(self, heads: Iterable[str], table: str = "alembic_version") -> set[int]:
        """
        The versions that a database has whose heads these are.

        Raises:
            UnknownRevision: One of them is in no file.
            OverlappingHeads: One descends from another.
        """
        heads = list(heads)
        unknown = [head for head in heads if head not in self.version_of]
        if unknown:
            raise UnknownRevision.of_database(table, unknown, self.names)
        found: set[str] = set()
        for head in heads:
            below = self._ancestors([head])
            for other in heads:
                if other != head and other in below:
                    raise OverlappingHeads(table, other, head)
            found |= below
        return {self.version_of[name] for name in found}

    def _ancestors(self, names: Iterable[str]) -> set[str]:
        found, todo = set(), list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self._parents[name]
        return found

    def heads_of(self, versions: Collection[int]) -> list[str]:
        """What Alembic's table holds for a set of versions."""
        names = {self.script(version).revision for version in versions}
        needed = {parent for name in names for parent in self._parents[name]}
        return [script.revision for script in self.order if script.revision in names - needed]

    def target(self, name: str, done: Collection[int], *, down: bool | None = None) -> RevisionTarget:
        """
        What a name means in a database that has *done*, as Alembic reads it.

        `+1` and `-1` are Alembic's where it finds them clear, else one step of our order.

        Args:
            down: Whether a rollback is meant; by default, whether what is named is applied already.

        Raises:
            UnknownRevision, AmbiguousRevision: It means nothing, or several things.
        """
        done, heads = set(done), tuple(self.heads_of(done))
        relative = re.fullmatch(r"(?:(.+)@)?(\w+)?([+-]\d+)", name)
        if relative and not relative[1] and not relative[2]:
            return self._step(name, int(relative[3]), done, heads)
        asked = name
        if relative is None:
            found = self._named(name)
            named = {self.version_of[script.revision] for script in found}
            # Going down, Alembic does not read "label@head".
            asked = found[0].revision if len(found) == 1 and name.endswith("head") else name
            down = named <= done if down is None else down
            if (not named <= done or name.endswith("heads")) if down else named <= done:
                return RevisionTarget(max(named, default=0), name, goes_down=down)
        elif down is None:
            down = self._leads_down(name, heads) if relative[2] else int(relative[3]) < 0
        steps = self._steps(asked, heads, down=bool(down))
        if down:
            return self._down_to(name, steps, done)
        reached = {self.version_of[script.revision] for script in self._named(name)} if relative is None else steps
        return RevisionTarget(max(reached, default=max(done, default=0)), name, up=steps)

    def _leads_down(self, name: str, heads: tuple[str, ...]) -> bool:
        """Whether "head-1" is below: where the way up leads nowhere."""
        try:
            return not self._steps(name, heads, down=False)
        except MigrationError:
            return True

    def _down_to(self, name: str, steps: Iterable[int], done: set[int]) -> RevisionTarget:
        return RevisionTarget(max(done - set(steps), default=0), name, down=steps, goes_down=True)

    def _step(self, name: str, count: int, done: set[int], heads: tuple[str, ...]) -> RevisionTarget:
        try:
            steps = self._steps(name, heads, down=count < 0)
        except MigrationError:
            pending = [version for version in range(1, len(self.order) + 1) if version not in done]
            found = sorted(done, reverse=True)[:-count] if count < 0 else pending[:count]
            if len(found) != abs(count):
                facts = f"{len(done)} revisions are applied, {len(pending)} are pending"
                raise ConfigurationError(
                    f"There is no way of {abs(count)} steps {'down' if count < 0 else 'up'} from here.\n"
                    f"  {facts}; nothing was changed\nSee what there is: alembic history"
                ) from None
            steps = set(found)
        if count < 0:
            return self._down_to(name, steps, done)
        return RevisionTarget(max(steps, default=max(done, default=0)), name, up=steps)

    def stamped(self, name: str, heads: Sequence[str]) -> list[str]:
        """The heads of a database at *heads* that Alembic stamps as *name*."""
        # A name may have a blank in it; several names have one between them.
        names = (name,) if name in self.version_of else tuple(name.split())
        try:
            with quietly():
                steps = self.directory._stamp_revs(names, tuple(heads))
        except (CommandError, RevisionError, ValueError, AssertionError) as error:
            raise self._translated(name, error) from error
        found = dict.fromkeys(heads)
        for step in steps:
            for head in step.from_:
                found.pop(head, None)
            found.update(dict.fromkeys(step.to_))
        return list(found)

    def _named(self, name: str) -> tuple[Script, ...]:
        try:
            with quietly():
                return tuple(script for script in self.directory.get_revisions(name) if script is not None)
        except (CommandError, RevisionError, ValueError, AssertionError) as error:
            raise self._translated(name, error) from error

    def _steps(self, name: str, heads: tuple[str, ...], *, down: bool) -> set[int]:
        """The versions of the steps that Alembic would take."""
        # As ScriptDirectory._upgrade_revs() and _downgrade_revs(), which want functions in the modules as well.
        ends: tuple[Any, Any] = (heads, name) if down else (name, heads)
        how: dict[str, Any] = {"select_for_downgrade": True} if down else {"implicit_base": True}
        try:
            with quietly():
                found = self.directory.revision_map.iterate_revisions(*ends, **how)
                return {self.version_of[script.revision] for script in found}
        except (CommandError, RevisionError, ValueError, AssertionError) as error:
            raise self._translated(name, error) from error

    def _translated(self, name: str, error: Exception) -> MigrationError:
        cause = error.__cause__ if isinstance(error, CommandError) and error.__cause__ is not None else error
        text = str(cause.args[0]) if cause.args else str(cause)
        if isinstance(cause, MultipleHeads):
            return AmbiguousRevision(name, f"the heads are {', '.join(cause.heads)}")
        if isinstance(cause, ResolutionError) and "Multiple revisions" in text:
            return AmbiguousRevision(name, text)
        if isinstance(cause, ResolutionError):
            return UnknownRevision([name], self.names)
        return ConfigurationError(
            f"{name!r} cannot be reached from here.\n  {error}\nSee what there is: alembic history"
        )


_LOOK = "Mend the revisions, then look again: alembic history"


def _refuse_broken(scripts: Sequence[Script]) -> None:
    counts = Counter(script.revision for script in scripts)
    labels = {label for script in scripts for label in script._orig_branch_labels or ()}
    issues = [
        Issue(
            f"the revision {name} is in {count} files:"
            f" {', '.join(os.path.basename(s.path) for s in scripts if s.revision == name)}",
            kind="duplicate",
            hint="Give one of them another id, and mend what descends from it.",
        )
        for name, count in counts.items()
        if count > 1
    ]
    for script in scripts:
        wanted = [*script._versioned_down_revisions, *(_as_list(script.dependencies))]
        issues += [
            Issue(
                f"{os.path.basename(script.path)}: {script.revision} needs {parent}, which no file has",
                kind="dependency",
                path=None,
                hint="Bring the file back from version control, or mend down_revision.",
            )
            for parent in wanted
            if parent not in counts and parent not in labels
        ]
    if issues:
        raise ValidationFailed(issues)


def _as_list(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value] if isinstance(value, Iterable) else []


def _unreadable(error: BaseException, path: str) -> Issue:
    """The file that is no revision, and where in it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    line = frames[-1].lineno if frames else error.lineno if isinstance(error, SyntaxError) else None
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    place = f"{os.path.basename(path)}:{line}" if line else os.path.basename(path)
    reason = f"{place}: does not import: {type(error).__name__}: {text}"
    return Issue(reason, kind="import", path=Path(path), line=line, hint=_LOOK)

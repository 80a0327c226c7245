"""
What a squashed migration stands for: the versions that it replaces, and the databases that have had those.

    class Squashed(BaseMigration):
        version = 5
        replaces = {3: "py1:...", 4: "py1:...", 5: "py1:..."}

A database whose records say that it had all of these counts the squashed one as applied. Nothing of its records is
changed: here they are only read as if the replaced versions were one. Nothing is imported of a file to know what it
replaces, and only a file is opened that stands above a version without one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .planning import OutOfOrder
    from .sources import MigrationFile
    from .version_tracker import AppliedVersion, DatabaseState

__all__ = ["Between", "Recorded", "Squash", "Squashes", "assigned", "replaces_in", "understood", "with_replaced"]

_WORDS = re.compile(r"(\S+)(?: from (\d+))?")
# What `sqlmig squash` writes; whatever else somebody makes of it is read by its syntax.
_WRITTEN = re.compile(rb"^[ \t]+replaces\s*(?::[^=\n]*)?=\s*(\{[^{}]*\})", re.MULTILINE)


class Recorded(NamedTuple):
    """
    How a database has recorded one of the versions.

    Attributes:
        since: The first version that it stands for, where it was a squashed migration itself.
    """

    checksum: str
    since: int | None = None

    def __str__(self) -> str:
        return self.checksum if self.since is None else f"{self.checksum} from {self.since}"


class Between(NamedTuple):
    """
    A database that has some of what a squashed migration replaces, and not all.

    Attributes:
        missing: What it lacks.
        reached: The highest of those that it has.
    """

    squash: Squash
    reached: int
    missing: tuple[int, ...]


class Squash(NamedTuple):
    """A migration file that replaces others."""

    file: MigrationFile
    replaces: Mapping[int, tuple[Recorded, ...]]

    @property
    def version(self) -> int:
        """Its own version, which is the last that it replaces."""
        return self.file.version

    @property
    def others(self) -> list[int]:
        """The versions that it replaces beside its own."""
        return sorted(version for version in self.replaces if version != self.version)

    def accepts(self, row: AppliedVersion) -> bool:
        """Whether a row is of what it replaces, by its checksum."""
        return any(row.checksum == recorded.checksum for recorded in self.replaces.get(row.version, ()))

    def lacking(self, done: Collection[int], rows: Iterable[AppliedVersion]) -> list[int]:
        """What a database that has its version lacks of the others."""
        missing = [version for version in self.others if version not in done]
        for row in rows if missing else ():
            if row.version == self.version and not self.accepts(row):
                # It was applied itself, or is another file; the latter is told as an edit.
                return []
            for recorded in self.replaces.get(row.version, ()):
                if row.done and recorded.checksum == row.checksum and recorded.since is not None:
                    missing = [v for v in missing if not recorded.since <= v < row.version]
        return missing


class Squashes:
    """
    The squashed migrations among the files of a history.

    Args:
        files: In the order of their versions.
    """

    def __init__(self, files: Sequence[MigrationFile]) -> None:
        self._files = files
        self._read: dict[str, Squash | None] = {}

    def of(self, file: MigrationFile) -> Squash | None:
        """A file as a squashed migration; None where it is none."""
        if file.location not in self._read:
            self._read[file.location] = _read(file)
        return self._read[file.location]

    def owner(self, version: int) -> Squash | None:
        """The squashed migration that replaces a version which has no file."""
        above = (file for file in self._files if file.version > version)
        return next((found for file in above if (found := self.of(file)) and version in found.replaces), None)

    def replacing(self, version: int) -> Squash | None:
        """The squashed migration that replaces a version, also where that is its own."""
        own = next((squash for file in self._files if file.version == version and (squash := self.of(file))), None)
        return own or self.owner(version)

    def beside(self) -> list[tuple[MigrationFile, Squash]]:
        """The files whose versions a squashed migration above them stands for as well."""
        squashes = [squash for file in self._files if (squash := self.of(file)) is not None]
        return [(file, one) for one in squashes for file in self._files if file.version in one.others]

    def behind_gaps(self) -> set[int]:
        """All versions that are replaced by files which stand above a gap."""
        before, found = 0, set[int]()
        for file in self._files:
            if file.version - before > 1 and (squash := self.of(file)) is not None:
                found.update(squash.others)
            before = file.version
        return found

    def seen(self, state: DatabaseState, out_of_order: OutOfOrder) -> DatabaseState:
        """
        A state in which what a squashed migration replaces is one, and is applied where all of it was.

        Where a database has a part of it, that is told as `between`, and all is left as it is.
        """
        known = {file.version for file in self._files}
        done = set(state.done) | ({state.claim.version} if state.claim is not None else set())
        for version in sorted(done - known):
            squash = self.owner(version) if version not in state.folded else None
            if squash is not None:
                state = _folded(state, squash, done, out_of_order)
        return state


def _folded(state: DatabaseState, squash: Squash, done: Collection[int], out_of_order: OutOfOrder) -> DatabaseState:
    rows = {row.version: row for row in state.rows}
    own = rows.get(squash.version)
    if squash.version not in done and not (own is not None and "undoing" in own.metadata):
        reached = max(version for version in done if version in squash.replaces)
        missing = tuple(sorted({*squash.replaces} - {*done}))
        return state._replace(between=state.between or Between(squash, reached, missing))
    lacking = squash.lacking(done, state.rows) if out_of_order != "ignore" else []
    if lacking:
        return state._replace(between=state.between or Between(squash, squash.version, tuple(lacking)))
    taken = tuple(row for row in state.rows if row.version in squash.others)
    kept = [row for row in state.rows if row.version not in squash.others]
    if own is not None:
        kept[kept.index(own)] = _one(own, taken)
    return state._replace(
        rows=tuple(kept), replaced=(*state.replaced, *taken), folded=state.folded.union(squash.others)
    )


def _one(row: AppliedVersion, others: Sequence[AppliedVersion]) -> AppliedVersion:
    """The row of the squashed migration, with what the others have made: a rollback is measured by that."""
    from .guard.account import Account

    told = [one.metadata for one in (*others, row) if one.state != "skipped"]
    metadata = {name: value for name, value in row.metadata.items() if name not in ("created", "renamed")}
    if told and all("created" in facts for facts in told):
        whole = Account()
        for facts in told:
            whole = whole.and_then(Account.from_facts(facts))
        metadata |= whole.row()
    state = "applied" if row.state == "skipped" and told else row.state
    return row._replace(state=state, metadata=metadata, replaces=tuple(one.version for one in others))


def with_replaced(files: Sequence[MigrationFile]) -> tuple[int, ...]:
    """
    The versions that a database had which is at head since before the files were squashed.

    Where a file has one of these again, there is no such database: that is looked into, and told.
    """
    versions, replaced = {file.version for file in files}, Squashes(files).behind_gaps()
    return () if versions & replaced else tuple(sorted(versions | replaced))


# What a file says


def understood(said: Any, version: int) -> dict[int, tuple[Recorded, ...]]:
    """
    What `replaces` of a migration means.

    Raises:
        ValueError: It means nothing; the reason is told.
    """
    form = f'write it so: replaces = {{{max(1, version - 1)}: "py1:...", {version}: "py1:..."}}'
    if not isinstance(said, Mapping):
        raise ValueError(f"replaces is {said!r}, not the checksums by version; {form}")
    found: dict[int, tuple[Recorded, ...]] = {}
    for number, words in said.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= version:
            raise ValueError(f"replaces names {number!r}, which is no version up to its own; {form}")
        listed = [words] if isinstance(words, str) else words
        if not isinstance(listed, Sequence) or not listed:
            raise ValueError(f"replaces has {words!r} for version {number}, not its checksum; {form}")
        found[number] = tuple(_recorded(one, number, form) for one in listed)
    if found and version not in found:
        raise ValueError(f"replaces does not name its own version, {version}, which it has from the last one; {form}")
    return found


def _recorded(words: Any, number: int, form: str) -> Recorded:
    parts = _WORDS.fullmatch(words) if isinstance(words, str) else None
    if parts is None:
        raise ValueError(f"replaces has {words!r} for version {number}, not its checksum; {form}")
    return Recorded(parts[1], int(parts[2]) if parts[2] else None)


def replaces_in(source: bytes) -> Any:
    """What the text of a migration in Python says it replaces; {} where it says nothing, or computes it."""
    if b"replaces" not in source:
        return {}
    for written in _WRITTEN.finditer(source):
        try:
            return ast.literal_eval(written[1].decode())
        except (ValueError, SyntaxError):
            break
    try:
        return next(_said(ast.parse(source)), {})
    except (ValueError, SyntaxError, RecursionError):
        return {}


def _said(tree: ast.Module) -> Iterator[Any]:
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for node in cls.body:
            value = assigned(node, "replaces")
            if value is not None:
                yield ast.literal_eval(value)


def assigned(node: ast.stmt, name: str) -> ast.expr | None:
    """What a statement gives to *name*, with its type or without; None where it gives it nothing."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    given = any(isinstance(one, ast.Name) and one.id == name for one in targets)
    return node.value if given and isinstance(node, ast.Assign | ast.AnnAssign) else None


def _read(file: MigrationFile) -> Squash | None:
    if file.in_sql:
        return None
    try:
        with open(file.location, "rb") as stream:
            said = replaces_in(stream.read())
        replaces = understood(said, file.version)
    except (OSError, ValueError):
        # Whoever loads it says what is wrong with it.
        return None
    return Squash(file, replaces) if replaces else None

"""One migration in the place of several: the statements, the rows, the proof, and then the files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import DBAPIError

from ..autogenerate.changes import Changes
from ..autogenerate.code import listed, literal, written
from ..autogenerate.ground import Ground
from ..autogenerate.renames import Renames
from ..autogenerate.start import Start
from ..autogenerate.statements import Statement
from ..autogenerate.target import Target
from ..autogenerate.writing import line_length, migration_text
from ..drift.check import migrated_database
from ..drift.report import finding
from ..errors import ConfigurationError, RenameUnclear, SquashImpossible, UnknownVersion, ValidationFailed
from ..guard.account import Account
from ..loader import DIALECTS, Checksums, LoadedMigration
from ..planning import check_duplicates
from ..safety.fence import hands_off
from ..sources import MigrationFile
from ..squashed import Recorded
from ..template import Names, names_of
from .files import exchange, finish_what_was_killed, not_in_git
from .proof import Filled, Made, SquashedSources, filled, made_by, prove, prove_filled
from .report import SquashedMigration
from .rows import Rows, of_now, unstable, written_rows
from .writes import beside_rows, first_write

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["squash"]


class _Range(NamedTuple):
    """The migrations that are to be one, in order, and the version before them."""

    migrations: list[LoadedMigration]
    below: int

    @property
    def first(self) -> int:
        """The first version that is replaced, by the first of them perhaps."""
        return min(self.versions)

    @property
    def last(self) -> int:
        return self.migrations[-1].version

    @property
    def versions(self) -> list[int]:
        """All versions that are replaced."""
        return sorted({version for one in self.migrations for version in (one.version, *one.replaces)})


class _Old(NamedTuple):
    """
    What the migrations make of an empty database.

    Attributes:
        target: Up to the last of them, as it is to be had.
        head: All migrations; None where none stands behind them.
        filled: Of sample rows, where rows may be there before them; else None.
    """

    target: Target
    then: Made
    head: Made | None
    filled: Filled | None

    @property
    def made(self) -> Made | None:
        """What the old ones made of sample rows; None where there are none, or where these stop them."""
        return None if self.filled is None else self.filled.made


def squash(
    migrator: Migrator,
    first: int,
    last: int,
    *,
    description: str = "",
    keep: bool = False,
    rename: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> SquashedMigration:
    """
    Put one migration in the place of those from *first* to *last*.

    Args:
        description, keep, rename, drop: As in `Migrator.squash`.
    """
    sources = migrator.manager.sources
    finish_what_was_killed(sources.folders)
    range_ = _range(migrator, first, last)
    paths = [migration.file.path for migration in range_.migrations]
    names = names_of(range_.last, description or f"Squashed {range_.first:03} to {range_.last:03}")
    path = paths[-1].parent / names.file
    _refuse_what_cannot_be_one(range_)
    _require_free(path, paths)
    if not keep:
        _require_committed(range_, paths)
    start = Start(migrator, range_.below)
    with start.kept():
        old = _old(migrator, start, range_)
        up, down, new = _statements(start, range_, old, rename, drop)
        rows = old.then.rows if new is None else _of_new_tables(range_, old, new)
        dated = _of_now(range_, rows, old.then)
        steps = _with_rows(up.statements, written_rows(rows, old.target.dialect))
        back = down.statements if all(one.rollback_supported for one in range_.migrations) else None
        text = _text(migrator, range_, names, steps, back, dated, path.parent)
        left = _proved(start, range_, old, names, text)
    # The files are read for it.
    beside = [*_beside(range_, old, back is not None)]
    exchange(paths, path, text, keep_in := path.parent / f"replaced_by_{range_.last:03}" if keep else None)
    warnings = [note for statement in up.statements for note in statement.notes]
    warnings += [f"{name} tells the time of this run, in every database from now on" for name in dated]
    warnings += [f"its down() leaves {one}" for one in left]
    return SquashedMigration(
        path=path,
        version=range_.last,
        replaces=range_.versions,
        removed=paths,
        kept_in=keep_in,
        changes=[statement.text for statement in steps if statement.text],
        rows={table.name: len(table.rows) for table in rows.tables.values()},
        warnings=[*warnings, *beside],
        source=text,
    )


# What is to be one


def _range(migrator: Migrator, first: int, last: int) -> _Range:
    """
    The migrations from *first* to *last*.

    Raises:
        UnknownVersion: There is none of that version.
        ConfigurationError: They are fewer than two.
        ValidationFailed: A file of them does not load.
    """
    manager = migrator.manager
    files = manager.discover_migrations()
    duplicates = check_duplicates(manager.sources.files())
    if duplicates:
        raise ValidationFailed(duplicates)
    squashes = manager.squashes()
    again = squashes.owner(first) if first not in files else None
    if first not in files and (again is None or min(again.replaces) != first):
        raise UnknownVersion(first, list(files))
    if last not in files:
        raise UnknownVersion(last, list(files))
    chosen = [file for version, file in files.items() if first <= version <= last]
    if len(chosen) < 2:
        raise ConfigurationError(
            f"{first} to {last} are not two migrations or more, so that there is nothing to squash.\n"
            f"  there are files from {min(files)} to {max(files)}\n"
            "Say the first and the last: sqlmig squash 1 5"
        )
    migrations, issues = manager._load(chosen)
    if issues:
        raise ValidationFailed(issues)
    below = max((version for version in files if version < first), default=0)
    return _Range([migrations[file.version] for file in chosen], below)


def _refuse_what_cannot_be_one(range_: _Range) -> None:
    for migration in range_.migrations:
        if migration.revision is not None:
            raise SquashImpossible(
                range_.first,
                range_.last,
                f"migration {migration.version} stands for Alembic's revision {migration.revision}",
                facts="databases that Alembic brought there are known by it, and would not be any more",
                hint="Squash those behind it, or have Alembic's history squashed before it is imported.",
            )


def _require_committed(range_: _Range, paths: Sequence[Path]) -> None:
    lost = not_in_git(paths)
    if lost:
        names = ", ".join(path.name for path in lost)
        raise ConfigurationError(
            f"Migrations {range_.first} to {range_.last} are not squashed, because the old files would be lost.\n"
            f"  no commit of git has {names} as it is now\n"
            f"Commit them first, or have them kept in a folder: sqlmig squash {range_.first} {range_.last} --keep"
        )


def _require_free(path: Path, old: Sequence[Path]) -> None:
    if path.exists() and path not in old:
        raise ConfigurationError(
            f"There is a file {path.name} already; nothing was changed.\n  {path}\n"
            'Call the new one otherwise: --name "its description"'
        )


# What it has to do


def _old(migrator: Migrator, start: Start, range_: _Range) -> _Old:
    """Run them twice: what they fill in another way each time is no difference between them and what replaces them."""
    newest = migrator.manager.get_target_version()

    def run() -> tuple[Target, Made, Made | None]:
        with migrated_database(migrator, range_.last) as twin:
            target, then = Ground(twin).target(), made_by(twin)
            if newest == range_.last:
                return target, then, None
            with hands_off(migrator.db.engine):
                twin.migrate()
            return target, then, made_by(twin)

    try:
        target, then, head = run()
    except DBAPIError as error:
        raise SquashImpossible(
            range_.first,
            range_.last,
            "their rows cannot be read",
            facts=str(error.orig).partition("\n")[0],
            hint="Squash those beside the migration that writes them: sqlmig squash FROM TO",
        ) from error
    _, again, head_again = run()
    then = then._replace(unstable=unstable(then.rows, again.rows))
    if head is not None and head_again is not None:
        head = head._replace(unstable=unstable(head.rows, head_again.rows))
    return _Old(target, then, head, filled(start, range_.last) if range_.below else None)


def _statements(
    start: Start, range_: _Range, old: _Old, rename: Sequence[str], drop: Sequence[str]
) -> tuple[Changes, Changes, set[str] | None]:
    """The way up, the way back, and the keys of the tables that are new; None where nothing was there before."""
    with start.again() as twin:
        ground = Ground(twin)
        was = ground.target()
        up = Changes(ground, old.target, lambda found, _: found)
        renames = Renames(up, [*_renamed(range_, old, up), *rename], drop, None)
        try:
            renames.run()
        except RenameUnclear as error:
            raise _unclear(range_, error) from error
        new = {*old.target.shape.tables} - {*up.shape.tables}
        up.run()
        left = up.differences()
        if left:
            raise SquashImpossible(
                range_.first,
                range_.last,
                "not all that they make can be expressed",
                facts="\n  ".join(str(finding(one, "old files", "new one")) for one in left[:5]),
                hint=f"Squash up to the migration before that: sqlmig squash {range_.first} N",
            )
        down = Changes(ground, was, lambda found, _: found, back=True)
        renames.take_back(down)
        down.run()
    return up, down, new if range_.below else None


def _renamed(range_: _Range, old: _Old, up: Changes) -> Iterator[str]:
    """What the migrations have renamed of what was there before, as the guard has seen it where there are rows."""
    whole = Account()
    records = old.made.records if old.made is not None else ()
    for row in (one for one in records if one.version > range_.below):
        whole = whole.and_then(Account.from_facts(row.metadata))
    key = up.shape.key
    for before, new in whole.renamed.items():
        table, dot, column = before.rpartition(".")
        if not dot:
            if key(before) in up.shape.tables and key(new) in up.target.shape.tables:
                yield f"{before}:{new}"
        elif key(table) in up.shape.tables:
            yield f"{table}.{column}:{new.rpartition('.')[2]}"


def _unclear(range_: _Range, error: RenameUnclear) -> SquashImpossible:
    old, new = error.questions[0]
    name = new[0].rpartition(".")[2]
    return SquashImpossible(
        range_.first,
        range_.last,
        "it is not clear what they have renamed",
        facts="\n  ".join(f"{gone} is gone, and {' or '.join(come)} is new" for gone, come in error.questions),
        hint=f"Say of each: --rename {old}:{name}, or --drop {old} if it goes with its data.",
    )


# Rows


def _of_new_tables(range_: _Range, old: _Old, new: set[str]) -> Rows:
    """
    The rows of the tables that the migrations make.

    Raises:
        SquashImpossible: One of them writes rows of a table that was there before it, or reads them.
    """
    names = [old.target.shape.tables[key].name for key in new]
    for migration in range_.migrations:
        found = first_write(
            migration, old.target.dialect.name, names, old.filled.said if old.filled is not None else ()
        )
        if found is not None:
            raise SquashImpossible(
                range_.first,
                range_.last,
                f"migration {migration.version} works with rows, which are other ones in each database before them",
                facts=f"{migration.file.name}: {found}",
                hint=_around(range_, migration.version),
            )
    return old.then.rows.only(new)


def _around(range_: _Range, version: int) -> str:
    """What can be squashed without a migration."""
    before = [one.version for one in range_.migrations if one.version < version]
    behind = [one.version for one in range_.migrations if one.version > version]
    parts = [f"sqlmig squash {part[0]} {part[-1]}" for part in (before, behind) if len(part) > 1]
    return f"Squash those beside it, or all from the first one: {'; '.join([*parts, f'sqlmig squash 1 {range_.last}'])}"


def _of_now(range_: _Range, rows: Rows, then: Made) -> list[str]:
    """
    The columns that tell the time of the run.

    Raises:
        SquashImpossible: Rows are other ones in each run, and a secret would be the same everywhere; or cannot be read.
    """
    names = {table.name: {f"{table.name}.{column}" for column in table.columns} for table in rows.tables.values()}
    for table in rows.tables.values():
        if not table.readable:
            raise SquashImpossible(
                range_.first,
                range_.last,
                f"what was written into {table.name} cannot be read back",
                facts="it is a full-text index without its texts",
                hint="Squash those beside the migration that writes them: sqlmig squash FROM TO",
            )
    changing = sorted(name for name in then.unstable if name in names or any(name in own for own in names.values()))
    if changing:
        raise SquashImpossible(
            range_.first,
            range_.last,
            "they write other rows in each run, and one file would write the same everywhere",
            facts=f"{', '.join(changing)}: two runs did not agree",
            hint="Squash those beside the migration that writes them: sqlmig squash FROM TO",
        )
    return of_now(rows)


# Rows come before what would do something with them, or is filled from them.
_FIRED = ("create trigger", "create rule", "create materialized view")


def _with_rows(statements: Sequence[Statement], rows: Sequence[Statement]) -> list[Statement]:
    at = next((n for n, one in enumerate(statements) if one.text.startswith(_FIRED)), len(statements))
    return [*statements[:at], *rows, *statements[at:]]


# The file


def _text(
    migrator: Migrator,
    range_: _Range,
    names: Names,
    up: Sequence[Statement],
    down: Sequence[Statement] | None,
    dated: Sequence[str],
    folder: Path,
) -> str:
    width = line_length(folder)
    files = [migration.file.name for migration in range_.migrations]
    remarks = [
        f"Squashed from {files[0]} to {files[-1]}, {len(files)} files. A database that has had them skips this one; on"
        f" {migrator.db.engine.dialect.name}"
        " both were run, and made the same schema and rows; other kinds of databases need a squash of their own.",
        *(f"{name} tells the time at which this was written." for name in dated),
    ]
    text = migration_text(
        range_.last, names, up, down, remarks=remarks, attributes=list(_attributes(range_, width)), width=width
    )
    head, up_, body = text.partition("    def up(self) -> None:\n")
    return head + up_ + _only_on(migrator.db.engine.dialect.name) + body


def _only_on(dialect: str) -> str:
    """The lines that refuse other databases: a type that this one does not know is another one in the file."""
    other = 'not in ("mariadb", "mysql")' if dialect in ("mysql", "mariadb") else f'!= "{dialect}"'
    return (
        f"        if self.connection.dialect.name {other}:\n"
        f'            raise NotImplementedError("was squashed on {dialect}; squash it here too")\n'
    )


def _attributes(range_: _Range, width: int) -> Iterator[str]:
    own = {version for migration in range_.migrations for version in migration.dependencies}
    before = sorted(version for version in own if version < range_.first)
    if before:
        yield f"    dependencies = {before}"
    yield "    replaces = {"
    for version, recorded in sorted(_recorded(range_).items()):
        texts = [str(one) for one in recorded]
        value = literal(texts[0]) if len(texts) == 1 else listed(map(literal, texts))
        yield from written(value, 8, width, f"{version}: ", ",")
    yield "    }"


def _recorded(range_: _Range) -> dict[int, list[Recorded]]:
    """How databases have recorded each version: of one that was squashed itself, also those that it replaced."""
    found: dict[int, list[Recorded]] = {}
    for migration in range_.migrations:
        for version, recorded in migration.replaces.items():
            found.setdefault(version, []).extend(recorded)
        since = min(migration.replaces) if migration.replaces else None
        checksums = dict.fromkeys(_checksums(migration))
        found.setdefault(migration.version, []).extend(Recorded(one, since) for one in checksums)
    return found


def _checksums(migration: LoadedMigration) -> Iterator[str]:
    """As it is recorded on each kind of database: what is a comment in SQL differs."""
    yield migration.checksums.syntax
    for dialect in DIALECTS if migration.file.in_sql else ():
        # It may have no section for it.
        with suppress(ValueError):
            yield Checksums.of(migration.file, dialect).syntax


def _proved(start: Start, range_: _Range, old: _Old, names: Names, text: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="sqlmig_") as folder:
        (Path(folder) / names.file).write_text(text, encoding="utf-8")
        replaced = [migration.file for migration in range_.migrations]
        file = MigrationFile(range_.last, folder, names.file)
        sources = SquashedSources(start.migrator.manager.sources, replaced, file)
        left = prove(start, range_.first, range_.last, old.then, old.head, sources)
        if old.made is not None:
            then = old.made._replace(unstable=old.then.unstable)
            prove_filled(start, range_.first, range_.last, then, sources)
    return left


def _beside(range_: _Range, old: _Old, has_down: bool) -> Iterator[str]:
    """What is to be known beyond schema and rows."""
    if not has_down:
        without = next(one for one in range_.migrations if not one.rollback_supported)
        yield f"it has no way back, because migration {without.version} has none"
    skipped = {row.version for row in old.then.records if row.state == "skipped"}
    for migration in range_.migrations:
        if migration.version in skipped:
            yield f"migration {migration.version} was skipped by its own checks; a database where it was not has more"
        beside = [*beside_rows(migration, old.target.dialect.name)]
        if beside:
            yield (
                f"migration {migration.version} does what is neither schema nor rows, and is not in the new file:"
                f" {'; '.join(beside)}"
            )
        if not migration.transactional:
            yield (
                f"migration {migration.version} runs outside a transaction: what it sets of the database beside schema"
                " and rows (PRAGMA journal_mode, for one) is not in the new file"
            )
    if old.filled is not None and old.made is None:
        yield "sample rows stop the old migrations, so that both were compared without rows before them"
    for line in old.filled.told if old.filled is not None else ():
        yield f"both were compared without rows in {line}"

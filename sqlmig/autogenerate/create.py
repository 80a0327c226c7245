"""A migration from the models: the differences, the statements, the proof, the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import MetaData

from ..drift.check import is_ignored, modelled_database, patterns, read_shape, without_what_models_cannot_say
from ..drift.compare import Difference
from ..drift.models import as_metadata
from ..drift.report import finding
from ..drift.shape import Shape, made_at_once
from ..template import names_of, write_new
from .changes import Changes, Told
from .ground import Ground
from .proof import Proof, prove
from .renames import Ask, Renames
from .report import NewMigration
from .start import Start
from .target import Target, of_models
from .writing import line_length, migration_text

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["create", "create_from_database"]


def create(
    migrator: Migrator,
    description: str,
    models: object,
    *,
    rename: Sequence[str] = (),
    drop: Sequence[str] = (),
    ask: Ask | None = None,
    ignore: Sequence[str] = (),
    allow_empty: bool = False,
) -> NewMigration:
    """
    Write the migration that makes the models of what the migrations make.

    Args:
        rename, drop, ask, ignore, allow_empty: As in `Migrator.create_migration`.
    """
    metadata = as_metadata(models, allow_empty=allow_empty)
    ignore = patterns(ignore)

    def told(found: list[Difference], there: Shape) -> list[Difference]:
        return [one for one in without_what_models_cannot_say(found, there) if not is_ignored(one, ignore)]

    return _write(migrator, description, lambda: _modelled(migrator, metadata), told, rename, drop, ask)


def create_from_database(migrator: Migrator, description: str) -> NewMigration:
    """
    Write the migration that makes what the database has of what the migrations make.

    Returns:
        What was written; true where the two agree with it.

    Raises:
        AutogenerateFailed, ConfigurationError, CheckImpossible: As in `Migrator.create_migration`.
    """
    return _write(migrator, description, Ground(migrator).target, lambda found, _: found)


def _write(
    migrator: Migrator,
    description: str,
    make_target: Callable[[], Target],
    told: Told,
    rename: Sequence[str] = (),
    drop: Sequence[str] = (),
    ask: Ask | None = None,
) -> NewMigration:
    folder = migrator.manager.sources.folders[0]
    before = max(migrator.manager.get_available_versions(), default=0) if folder.is_dir() else 0
    names = names_of(before + 1, description)
    wanted = make_target()
    start = Start(migrator, before)
    with start.kept():
        with start.again() as twin:
            ground = Ground(twin)
            was = ground.target()
            up = Changes(ground, wanted, told)
            renames = Renames(up, rename, drop, ask)
            renames.run()
            up.run()
            if not up.statements:
                return _told(None, before + 1, up, up.differences(), [], "")
            down = Changes(ground, was, lambda found, _: found, back=True)
            renames.take_back(down)
            down.run()
        width = line_length(folder if folder.is_dir() else None)
        text = migration_text(before + 1, names, up.statements, down.statements, width=width)
        ways = (("up", up), ("down", down))
        noted = [way for way, changes in ways if any(statement.notes for statement in changes.statements)]
        proof = prove(start, wanted.shape, told, text, names.file, noted)
    remarks = list(_remarks(proof, up, down))
    if remarks:
        text = migration_text(before + 1, names, up.statements, down.statements, remarks=remarks, width=width)
    report = _told(folder / names.file, before + 1, up, proof.missing, _warnings(proof, up, down), text)
    write_new(folder / names.file, text)
    return report


def _modelled(migrator: Migrator, models: Sequence[MetaData]) -> Target:
    with modelled_database(migrator, models) as twin:
        return of_models(models, made_at_once(read_shape(twin)), twin.db.engine.dialect)


def _remarks(proof: Proof, up: Changes, down: Changes) -> Iterator[str]:
    """What is said at the top of a file that does not do all."""
    if proof.missing:
        yield "Not all could be expressed. Between models and migrations this leaves:"
        yield from (f"- {finding(one, 'models', 'migrations')}" for one in proof.missing)
        yield from (f"- {what} was refused: {why}" for what, why in up.refused.items())
    if proof.left:
        yield "down() does not bring all back. Between before and after this leaves:"
        yield from (f"- {finding(one, 'schema before', 'schema after')}" for one in proof.left)
        yield from (f"- {what} was refused: {why}" for what, why in down.refused.items())


def _warnings(proof: Proof, up: Changes, down: Changes) -> list[str]:
    notes = [note for statement in up.statements for note in statement.notes]
    notes += [f"in down(): {note}" for statement in down.statements for note in statement.notes]
    notes += [f"its down() leaves {finding(one, 'schema before', 'schema after')}" for one in proof.left]
    notes += [f"{what} was refused: {why}" for what, why in up.refused.items() if proof.missing]
    return [*notes, *proof.warnings]


def _told(
    path: Path | None, version: int, up: Changes, missing: Sequence[Difference], warnings: list[str], source: str
) -> NewMigration:
    removes = sorted({name for statement in up.statements for name in statement.removes})
    if not up.statements:
        warnings = [f"{what} was refused: {why}" for what, why in up.refused.items()]
    return NewMigration(
        path=path,
        version=version,
        changes=[statement.text for statement in up.statements],
        removes=removes,
        warnings=warnings,
        missing=[finding(one, "models", "migrations") for one in missing],
        source=source,
    )

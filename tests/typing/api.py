"""Read by mypy and never run: what a typed application writes against sqlmig passes `mypy --strict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, assert_type

from sqlalchemy import Column, Engine, String, create_engine

from sqlmig import (
    BaseMigration,
    DatabaseConnection,
    DatabaseMigrator,
    MigrationError,
    MigrationManager,
    MigrationResult,
    MigrationRunner,
    Migrator,
    ModularDatabaseMigrator,
    Plan,
    VersionTracker,
)
from sqlmig.testing import Checks, DatabaseAt, Databases, Prepared


class ByAttributes(BaseMigration):
    version = 1
    description = "plain attributes"
    dependencies = [1]  # noqa: RUF012
    rollback_supported = True
    transactional = False

    def up(self) -> None:
        self.add_column("documents", Column("language", String(8), server_default="en"))

    def down(self) -> None:
        self.drop_column("documents", "language")
        with self.alter_table("documents") as documents:
            documents.alter_column("title", type_=String, nullable=False, server_default=None)
            documents.create_unique(None, ["title"])
        assert_type(self.drop_constraint("documents", kind="unique", columns=["title"], if_exists=True), bool)


class ByProperties(BaseMigration):
    @property
    def version(self) -> int:
        return 2

    @property
    def description(self) -> str:
        return "properties"

    @property
    def dependencies(self) -> list[int]:
        return [1]

    @property
    def rollback_supported(self) -> bool:
        return False

    def up(self) -> None:
        for row in self.db.fetch_all("SELECT id FROM t WHERE id > ?", (1,)):
            self.execute_sql("UPDATE t SET n = :n WHERE id = :id", {"n": 1, "id": row["id"]})

    def pre_migrate_checks(self) -> bool:
        return super().pre_migrate_checks()


def boot(old: ModularDatabaseMigrator, older: DatabaseMigrator) -> Mapping[str, Any]:
    engine = create_engine("sqlite://")
    migrator = Migrator(engine, Path("migrations"), out_of_order="apply", lock_timeout=5)
    assert_type(migrator.migrate(), MigrationResult)
    assert_type(migrator.migrate(rehearse=True, all_or_nothing=False), MigrationResult)
    assert_type(migrator.rehearse(3, folder=Path("copies"), room=1.5, thorough=True).steps[0].rows_touched, int)
    assert_type(ByAttributes(engine).rehearsing, bool)
    assert_type(migrator.get_migration_plan(), Plan)
    assert_type(migrator.manager.create_migration(3), BaseMigration)
    assert_type(migrator.manager.create_migration("a description"), Path)
    assert_type(migrator.manager.create_migration("a description", sql=True), Path)
    assert_type(migrator.get_schema_info().tables["t"].row_count, int)
    assert_type(migrator.needs_migration(), bool)
    ok, issues = migrator.manager.can_rollback_to(3)
    assert_type(ok, bool)
    print(issues[0].line, old.get_current_version(), older.get_migration_history(5)[0]["version"])
    manager = MigrationManager(DatabaseConnection(":memory:"), "migrations", tracker=VersionTracker(engine))
    try:
        MigrationRunner(manager, lambda done, total, message: None).migrate_to_version(5)
    except MigrationError as error:
        print(error.version, error.result.applied if error.result else None)
    return migrator.get_migration_plan()


async def awaited() -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine("sqlite+aiosqlite:///app.db")
    migrator = Migrator(engine, "migrations")
    assert_type(await migrator.migrate_async(all_or_nothing=True), MigrationResult)
    assert_type(await migrator.migrate_to_version_async(3), MigrationResult)
    assert_type(await migrator.get_migration_plan_async(target=3), Plan)
    assert_type(await migrator.needs_migration_async(), bool)
    assert_type(await migrator.get_migration_history_async(limit=5), list[dict[str, Any]])
    await migrator.set_version_async(3)
    await migrator.migrate_to_version_async("3")  # type: ignore[arg-type]
    await migrator.migrate_async(True)  # type: ignore[call-arg]
    assert_type(migrator.migrate(all_or_nothing=True), MigrationResult)
    async with engine.connect() as connection:
        await Migrator(connection, "migrations").migrate_async()


def for_tests(migrated_engine: Engine, database_at: Callable[[int], DatabaseAt]) -> None:
    old = database_at(1)
    old.db.execute("INSERT INTO people (name) VALUES (?)", ("Ada",))
    assert_type(old.migrate(), MigrationResult)
    assert_type(old.engine, Engine)
    with Databases("migrations", prepare=Prepared(lambda engine: None, key="1")) as databases:
        with databases.engine(3) as engine:
            assert_type(engine, Engine)
        Checks(databases, models="app.models:Base").up_down_up(3)

"""`self.op`: Alembic's operations in sqlmig's own migrations."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import alembic.op
import pytest
from conftest import Folder, contents
from sqlalchemy import Engine, create_engine, event, inspect

from sqlmig import BaseMigration, ConfigurationError, MigrationFailed, Migrator, TransactionEnded

BOTH = """import sqlalchemy as sa
self.op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, unique=True))
self.op.bulk_insert(sa.table("t", sa.column("n")), [{"n": 1}, {"n": 2}])
assert self.op is self.op
assert self.op.get_bind() is self.connection
assert self.op.get_context().opts.get("version_table", "alembic_version") == "alembic_version"
"""


@pytest.fixture(autouse=True)
def _nobodys_operations() -> None:
    """Alembic's own commands leave theirs behind where a revision fails."""
    left: Any = proxied()
    if left is not None:
        left._remove_proxy()


def proxied() -> object:
    """What `from alembic import op` gives at the moment."""
    return vars(alembic.op).get("_proxy")


def test_it_runs_in_the_transaction_of_the_migration(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, BOTH, "self.op.drop_table('t')")
    assert migrator.migrate().applied == [1]
    assert contents(engine)["rows"]["t"] == [(1, 1), (2, 2)]
    assert migrator.rollback_to_version(0).rolled_back == [1]
    assert not inspect(engine).has_table("t")


def test_a_failure_leaves_nothing_of_it(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, BOTH + "self.op.execute('INSERT INTO nowhere VALUES (1)')")
    with pytest.raises(MigrationFailed, match="nowhere"):
        migrator.migrate()
    assert not inspect(engine).has_table("t")
    assert proxied() is None


def test_each_run_has_its_own(engine: Engine) -> None:
    seen = []

    class Asks(BaseMigration):
        version = 1

        def up(self) -> None:
            op = self.op
            seen.append(op)
            assert proxied() is op

        def down(self) -> None:
            seen.append(self.op)

    migration = Asks(engine)
    migration.run()
    migration.rollback()
    assert seen[0] is not seen[1]
    assert proxied() is None
    with pytest.raises(ConfigurationError, match="no connection yet"):
        _ = migration.op
    with migration.db.transaction():
        migration.op.execute("CREATE TABLE t (id INTEGER)")
        assert proxied() is None


def test_constraints_are_named_as_the_migration_says(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, BOTH, extra="naming_convention = {'uq': 'uq_%(table_name)s_%(column_0_name)s'}")
    folder.add(
        2,
        """with self.op.batch_alter_table("t") as batch:
    batch.drop_constraint("uq_t_n", type_="unique")""",
        extra="naming_convention = {'uq': 'uq_%(table_name)s_%(column_0_name)s'}",
    )
    migrator.migrate_to_version(1)
    assert [found["name"] for found in inspect(engine).get_unique_constraints("t")] == ["uq_t_n"]
    migrator.migrate()
    assert inspect(engine).get_unique_constraints("t") == []


@pytest.mark.parametrize(
    "ends",
    [
        "with self.op.get_context().autocommit_block(): pass",
        "self.op.get_bind().commit()",
        "self.op.get_bind().get_transaction().commit()",
        "self.op.get_bind().get_transaction().rollback()",
        "self.op.execute('COMMIT')",
        "self.op.get_bind().connection.commit()",
    ],
)
def test_it_cannot_end_the_transaction(ends: str, folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, f"{BOTH}{ends}")
    with pytest.raises(TransactionEnded, match="must not end the transaction") as caught:
        migrator.migrate()
    assert "transactional = False" in str(caught.value)
    assert not inspect(engine).has_table("t")
    assert migrator.get_current_version() == 0


def test_a_block_of_begin_transaction_commits_nothing(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, f"with self.op.get_context().begin_transaction():\n{textwrap.indent(BOTH, '    ')}\nraise ValueError")
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert not inspect(engine).has_table("t")


def test_an_autocommit_block_outside_transactions(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(
        1,
        f"{BOTH}with self.op.get_context().autocommit_block():\n    self.op.execute('VACUUM')",
        extra="transactional = False",
    )
    migrator.migrate()
    assert contents(engine)["rows"]["t"] == [(1, 1), (2, 2)]


def test_a_session_of_a_script_commits_into_the_transaction(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(
        1,
        BOTH
        + """from sqlalchemy import orm, text
session = orm.Session(bind=self.op.get_bind())
session.execute(text("UPDATE t SET n = n + 10"))
session.commit()
session.execute(text("UPDATE t SET n = n + 10"))
session.commit()
session.close()
""",
    )
    folder.add(2, "self.op.execute('INSERT INTO t (n) VALUES (9)')\nraise ValueError")
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert contents(engine)["rows"]["t"] == [(1, 21), (2, 22)]


def test_modules_that_a_migration_calls_find_it_in_alembic(
    folder: Folder, migrator: Migrator, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helpers_of_an_application.py").write_text(
        "from alembic import op\ndef make():\n    op.execute('CREATE TABLE helped (id INTEGER)')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder.add(1, "self.op\nimport helpers_of_an_application as h\nh.make()", "self.op.drop_table('helped')")
    migrator.migrate()
    assert inspect(engine).has_table("helped")
    assert proxied() is None


def test_the_one_that_was_there_before_is_there_afterwards(engine: Engine) -> None:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    class Asks(BaseMigration):
        version = 1

        def up(self) -> None:
            op = self.op
            assert proxied() is op

    with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)) as outer:
        for _ in range(2):
            Asks(create_engine("sqlite://")).run()
            assert proxied() is outer
    assert proxied() is None
    Asks(engine).run()
    assert proxied() is None


def test_threads_migrate_two_databases(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=20)
    failed = []

    class Meets(BaseMigration):
        version = 1

        def up(self) -> None:
            op = self.op
            both.wait()
            op.execute("CREATE TABLE t (id INTEGER)")
            both.wait()
            assert self.op is op

    def run(name: str) -> None:
        try:
            Meets(create_engine(f"sqlite:///{tmp_path / name}")).run()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(f"{n}.db",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert proxied() is None


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "NO ACTION"])
@pytest.mark.parametrize("enforced", [True, False])
def test_a_rebuild_never_costs_child_rows(
    action: str, enforced: bool, folder: Folder, migrator: Migrator, engine: Engine
) -> None:
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA foreign_keys = {int(enforced)}"))
    child = f"CREATE TABLE child (id INTEGER, t INTEGER REFERENCES t (id) ON DELETE {action})"
    batch = "with self.op.batch_alter_table('t', recreate='always') as b: b.alter_column('n', nullable=False)"
    folder.add(1, f"{BOTH}self.op.execute({child!r})\n{batch}\nself.op.execute('INSERT INTO child VALUES (7, 1)')")
    folder.add(2, batch)
    folder.add(3, "import sqlalchemy as sa\nself.op.add_column('t', sa.Column('m', sa.Integer))")
    assert migrator.migrate().applied == [1, 2, 3]
    assert contents(engine)["rows"]["child"] == [(7, 1)]
    assert contents(engine)["rows"]["t"] == [(1, 1, None), (2, 2, None)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has setconfig() from Python 3.12")
def test_a_rebuild_is_refused_where_the_schema_cannot_be_edited(
    folder: Folder, migrator: Migrator, engine: Engine
) -> None:
    @event.listens_for(engine, "connect")
    def _prepare(raw: Any, _: object) -> None:
        raw.execute("PRAGMA foreign_keys = ON")
        raw.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)  # type: ignore[attr-defined]

    child = "CREATE TABLE child (id INTEGER, t INTEGER REFERENCES t (id) ON DELETE CASCADE)"
    folder.add(1, f"{BOTH}self.op.execute({child!r})\nself.op.execute('INSERT INTO child VALUES (7, 1)')")
    folder.add(2, "with self.op.batch_alter_table('t') as batch: batch.alter_column('n', nullable=False)")
    with pytest.raises(MigrationFailed, match="rows of child refer to it") as caught:
        migrator.migrate()
    assert "self.alter_table" in str(caught.value)
    assert migrator.get_current_version() == 1
    assert contents(engine)["rows"]["child"] == [(7, 1)]


def test_packages_prepare_the_context(
    folder: Folder, migrator: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "context_hook.py").write_text("def prepare(context):\n    context.opts['prepared'] = True\n")
    (tmp_path / "hook-1.dist-info").mkdir()
    (tmp_path / "hook-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: hook\nVersion: 1\n")
    (tmp_path / "hook-1.dist-info" / "entry_points.txt").write_text(
        "[sqlmig.alembic_contexts]\nhook = context_hook:prepare\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder.add(1, "assert self.op.get_context().opts['prepared']")
    assert migrator.migrate().applied == [1]


WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alembic":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from sqlmig import BaseMigration, ConfigurationError, Migrator

class Wants(BaseMigration):
    version = 1
    def up(self):
        self.op.execute("CREATE TABLE t (id INTEGER)")

try:
    Wants(sys.argv[1]).run()
except ConfigurationError as error:
    print(error)
try:
    Migrator(sys.argv[1], sys.argv[2]).migrate()
except ConfigurationError as error:
    print(error)
assert "alembic" not in sys.modules and "alembic_compat" not in sys.modules
"""


def test_without_alembic_the_extra_is_named(folder: Folder, tmp_path: Path, engine: Engine) -> None:
    folder.add(1, "self.op.execute('CREATE TABLE t (id INTEGER)')")
    url = f"sqlite:///{tmp_path / 'app.db'}"
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, url, str(folder.path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("pip install 'sqlmig[alembic]'") == 2
    assert not inspect(engine).has_table("t")


def test_a_migration_that_does_not_ask_imports_no_alembic(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    code = "import sys; from sqlmig import Migrator; Migrator(sys.argv[1], sys.argv[2]).migrate()\n"
    code += "assert not {'alembic', 'alembic_compat', 'sqlmig.alembic_op'} & set(sys.modules)"
    url = f"sqlite:///{tmp_path / 'app.db'}"
    subprocess.run([sys.executable, "-c", code, url, str(folder.path)], check=True)

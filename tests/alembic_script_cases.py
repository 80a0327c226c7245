"""
What scripts of real projects write in `upgrade()`, after a revision that made parent and child with three rows each.

Each has a query that shows that it did its work, and what that gives under real Alembic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    up: str
    probe: str
    expected: list[Any]
    head: str = ""


CASES: dict[str, Case] = {
    # The bind
    "get_bind": Case(
        """
        bind = op.get_bind()
        for row in bind.execute(sa.text('SELECT id, name FROM parent')).mappings():
            bind.execute(sa.text('UPDATE parent SET name = :n WHERE id = :i'), {'n': row['name'] * 2, 'i': row['id']})
        """,
        "SELECT name FROM parent ORDER BY id",
        ["oneone", "twotwo", "threethree"],
    ),
    "bind_positional_driver_sql": Case(
        """
        op.get_bind().exec_driver_sql('UPDATE parent SET name = ? WHERE id = ?', ('x%y', 1))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["x%y", "two", "three"],
    ),
    "bind_executemany": Case(
        """
        bind = op.get_bind()
        bind.execute(sa.text('INSERT INTO parent (name) VALUES (:n)'), [{'n': 'four'}, {'n': 'five'}])
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four", "five"],
    ),
    "bind_facts": Case(
        """
        bind = op.get_bind()
        assert bind.dialect.name == 'sqlite' and bind.engine.dialect.name == 'sqlite'
        assert bind.engine.name == 'sqlite' and bind.engine.url.get_backend_name() == 'sqlite'
        assert not bind.closed and isinstance(bind, sa.Connection) and isinstance(bind.engine, sa.Engine)
        op.execute("UPDATE parent SET name = 'seen'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["seen", "seen", "seen"],
    ),
    "inspector_sees_what_was_just_made": Case(
        """
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        bind = op.get_bind()
        assert sa.inspect(bind).has_table('other') and not sa.inspect(bind).has_table('nothing')
        assert [c['name'] for c in sa.inspect(bind).get_columns('other')] == ['id', 'n']
        op.add_column('other', sa.Column('more', sa.Integer))
        assert 'more' in [c['name'] for c in sa.inspect(bind).get_columns('other')]
        assert bind.dialect.has_table(bind, 'other')
        op.execute("INSERT INTO other (n) VALUES ('x')")
        """,
        "SELECT n FROM other ORDER BY id",
        ["x"],
    ),
    "inspect_engine_of_the_bind": Case(
        """
        assert 'parent' in sa.inspect(op.get_bind().engine).get_table_names()
        op.execute("UPDATE parent SET name = 'seen'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["seen", "seen", "seen"],
    ),
    "reading_while_writing": Case(
        """
        bind = op.get_bind()
        for (key,) in bind.execute(sa.text('SELECT id FROM parent')):
            bind.execute(sa.text('UPDATE parent SET name = id WHERE id = :i'), {'i': key})
        """,
        "SELECT name FROM parent ORDER BY id",
        ["1", "2", "3"],
    ),
    "current_revision_from_inside": Case(
        """
        from alembic.migration import MigrationContext
        bind = op.get_bind()
        one = bind.execute(sa.text('SELECT version_num FROM alembic_version')).scalar()
        two = MigrationContext.configure(bind).get_current_revision()
        three = op.get_context().get_current_revision()
        four, = op.get_context().get_current_heads()
        op.execute(f"UPDATE parent SET name = '{one} {two} {three} {four}'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["base1 base1 base1 base1", "base1 base1 base1 base1", "base1 base1 base1 base1"],
    ),
    "get_context": Case(
        """
        ctx = op.get_context()
        assert ctx.dialect.name == 'sqlite' and ctx.bind is op.get_bind() and ctx.connection is op.get_bind()
        assert not ctx.as_sql and ctx.impl.__dialect__ == 'sqlite' and ctx.config is context.config
        assert ctx.environment_context is not None and ctx.environment_context.config is context.config
        assert context.get_context() is ctx and context.get_bind() is op.get_bind()
        ctx.execute("UPDATE parent SET name = 'ctx'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["ctx", "ctx", "ctx"],
    ),
    "operations_of_another_context": Case(
        """
        from alembic.migration import MigrationContext
        from alembic.operations import Operations
        mine = Operations(MigrationContext.configure(op.get_bind()))
        mine.add_column('parent', sa.Column('more', sa.String(9), server_default='m'))
        mine.execute("UPDATE parent SET name = 'inner'")
        """,
        "SELECT name, more FROM parent",
        [("inner", "m"), ("inner", "m"), ("inner", "m")],
    ),
    "is_offline_mode_and_config": Case(
        """
        assert not context.is_offline_mode()
        assert context.config.get_main_option('script_location').endswith('alembic')
        assert context.get_x_argument() == [] and context.get_x_argument(as_dictionary=True) == {}
        assert context.script.get_current_head() == 'after3'
        op.execute("UPDATE parent SET name = 'online'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["online", "online", "online"],
    ),
    "url_of_the_config": Case(
        """
        import os
        assert context.config.get_main_option('sqlalchemy.url') == os.environ['APP_URL']
        op.execute("UPDATE parent SET name = 'url'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["url", "url", "url"],
    ),
    # op.execute
    "execute_text": Case(
        """
        op.execute(sa.text('UPDATE parent SET name = :n WHERE id = 2').bindparams(n='it''s 100% :ok'))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "its 100% :ok", "three"],
    ),
    "execute_core": Case(
        """
        parent = sa.table('parent', sa.column('id', sa.Integer), sa.column('name', sa.String))
        op.execute(parent.update().where(parent.c.id == op.inline_literal(1)).values(name=op.inline_literal('a:b %')))
        op.execute(sa.delete(parent).where(parent.c.id == 3))
        op.execute(parent.insert().values(name='new'))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["a:b %", "two", "new"],
    ),
    "execute_percent": Case(
        """
        op.execute("UPDATE parent SET name = '100% %s %%'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["100% %s %%", "100% %s %%", "100% %s %%"],
    ),
    "execute_colons": Case(
        r"""
        op.execute("UPDATE parent SET name = '12:30' || 'a::b' || 'x \\:y'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["12:30a::bx :y", "12:30a::bx :y", "12:30a::bx :y"],
    ),
    "execute_strftime": Case(
        """
        op.execute("UPDATE parent SET name = strftime('%Y-%m-%d', '2020-01-02')")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["2020-01-02", "2020-01-02", "2020-01-02"],
    ),
    "execute_options": Case(
        """
        op.execute('DELETE FROM parent WHERE id = 3', execution_options={'stream_results': True})
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two"],
    ),
    "execute_ddl": Case(
        """
        from sqlalchemy.schema import CreateTable, DDL
        other = sa.Table(
            'other', sa.MetaData(), sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(9))
        )
        op.execute(CreateTable(other))
        op.execute(DDL("INSERT INTO other (n) VALUES ('50%%')"))
        """,
        "SELECT n FROM other ORDER BY id",
        ["50%"],
    ),
    "trigger_and_view_text": Case(
        """
        op.execute('''CREATE TRIGGER t AFTER INSERT ON child BEGIN
        UPDATE parent SET name = name || '+' WHERE id = new.parent_id; SELECT 1; END''')
        op.execute("CREATE VIEW v AS SELECT name || ':' || note AS n FROM parent JOIN child ON parent_id = parent.id")
        op.execute('INSERT INTO child (parent_id) VALUES (3)')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three+"],
    ),
    "swallowed_error": Case(
        """
        try:
            op.execute('INSERT INTO nowhere VALUES (1)')
        except sa.exc.OperationalError:
            pass
        try:
            op.execute("INSERT INTO parent (id, name) VALUES (9, 'nine'), (1, 'twice')")
        except sa.exc.IntegrityError:
            op.execute("INSERT INTO parent (id, name) VALUES (4, 'four')")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four"],
    ),
    "savepoint_text": Case(
        """
        op.execute('DELETE FROM parent WHERE id = 3')
        op.execute('SAVEPOINT mine')
        op.execute('DELETE FROM parent')
        op.execute('ROLLBACK TO mine')
        op.execute('RELEASE mine')
        op.execute('SAVEPOINT mine')
        op.execute('DELETE FROM parent WHERE id = 2')
        op.execute('RELEASE mine')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
    # Bulk inserts
    "bulk_insert": Case(
        """
        import datetime, decimal
        t = op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.JSON),
            sa.Column('d', sa.Date), sa.Column('b', sa.Boolean), sa.Column('x', sa.Numeric(9, 2)),
            sa.Column('u', sa.Uuid))
        import uuid
        op.bulk_insert(t, [{'id': 1, 'n': {'a': [1]}, 'd': datetime.date(2020, 1, 2), 'b': True,
            'x': decimal.Decimal('1.50'), 'u': uuid.UUID(int=7)}])
        op.bulk_insert(t, [])
        op.bulk_insert(t, [
            {'id': op.inline_literal(2), 'n': None, 'd': None, 'b': op.inline_literal(False), 'x': None, 'u': None},
            {'id': 3, 'n': None, 'd': None, 'b': None, 'x': None, 'u': None},
        ], multiinsert=False)
        """,
        "SELECT id, n, d, b, x, u FROM other",
        [
            (1, '{"a": [1]}', "2020-01-02", 1, 1.5, "00000000000000000000000000000007"),
            (2, "null", None, 0, None, None),
            (3, "null", None, None, None, None),
        ],
    ),
    # Custom operations, and other ways to call
    "invoke": Case(
        """
        from alembic.operations import ops
        op.invoke(ops.AddColumnOp('parent', sa.Column('more', sa.Integer, server_default='5')))
        op.invoke(ops.CreateIndexOp(op.f('ix_more'), 'parent', ['more']))
        op.invoke(ops.ExecuteSQLOp('UPDATE parent SET more = more + id'))
        """,
        "SELECT more FROM parent",
        [6, 7, 8],
    ),
    "registered_operation": Case(
        """
        op.rename_rows('parent', suffix='!')
        with op.batch_alter_table('parent') as batch:
            batch.rename_rows_batch('?')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one!?", "two!?", "three!?"],
        head="""
        from alembic.operations import BatchOperations, MigrateOperation, Operations

        @Operations.register_operation("rename_rows")
        @BatchOperations.register_operation("rename_rows_batch", "batch_rename_rows")
        class RenameRows(MigrateOperation):
            def __init__(self, table, suffix):
                self.table, self.suffix = table, suffix

            @classmethod
            def rename_rows(cls, operations, table, *, suffix):
                return operations.invoke(cls(table, suffix))

            @classmethod
            def batch_rename_rows(cls, operations, suffix):
                return operations.invoke(cls(operations.impl.table_name, suffix))

        @Operations.implementation_for(RenameRows)
        def rename_rows(operations, operation):
            operations.get_bind().execute(
                sa.text(f"UPDATE {operation.table} SET name = name || :s"), {"s": operation.suffix}
            )
        """,
    ),
    "op_functions_imported": Case(
        """
        execute("UPDATE parent SET name = 'a'")
        alembic.op.execute("UPDATE parent SET name = name || 'b'")
        o.execute("UPDATE parent SET name = name || 'c'")
        """,
        "SELECT name FROM parent ORDER BY id",
        ["abc", "abc", "abc"],
        head="""
        import alembic
        import alembic.op as o
        from alembic.op import execute
        """,
    ),
    "file_beside_the_script": Case(
        """
        from pathlib import Path
        assert Path(__file__).name == 'work2_step.py'
        Path(__file__).with_suffix('.sql').write_text("UPDATE parent SET name = 'file'")
        op.execute(Path(__file__).with_suffix('.sql').read_text())
        """,
        "SELECT name FROM parent ORDER BY id",
        ["file", "file", "file"],
    ),
    "python_function_in_sql": Case(
        """
        op.get_bind().connection.create_function('twice', 1, lambda s: s + s)
        op.execute('UPDATE parent SET name = twice(name)')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["oneone", "twotwo", "threethree"],
    ),
    "conditional": Case(
        """
        columns = {c['name'] for c in sa.inspect(op.get_bind()).get_columns('parent')}
        if 'more' not in columns:
            op.add_column('parent', sa.Column('more', sa.Integer))
        op.create_index('ix_more', 'parent', ['more'], if_not_exists=True)
        op.create_index('ix_more', 'parent', ['more'], if_not_exists=True)
        op.drop_table('absent', if_exists=True)
        op.drop_index('absent', if_exists=True)
        op.rename_table('parent', 'elder')
        op.execute("INSERT INTO elder (name, more) VALUES ('x', 1)")
        """,
        "SELECT name FROM elder WHERE more = 1",
        ["x"],
    ),
    "user_version_and_other_pragmas": Case(
        """
        op.execute('PRAGMA user_version = 77')
        op.execute('PRAGMA defer_foreign_keys = ON')
        assert op.get_bind().exec_driver_sql('PRAGMA foreign_key_check').fetchall() == []
        assert len(op.get_bind().exec_driver_sql('PRAGMA table_info(parent)').fetchall()) == 2
        op.execute('PRAGMA legacy_alter_table = ON')
        op.rename_table('parent', 'elder')
        """,
        "PRAGMA user_version",
        [77],
    ),
    # The application's own code
    "module_of_the_application": Case(
        """
        shop.shout(op.get_bind())
        assert shop.Parent.__tablename__ == 'parent'
        """,
        "SELECT name FROM parent ORDER BY id",
        ["ONE", "TWO", "THREE"],
        head="import shop",
    ),
    "create_all": Case(
        """
        extra = sa.Table('other', shop.Base.metadata, sa.Column('id', sa.Integer, primary_key=True),
            sa.Column('n', sa.ForeignKey('parent.id')), extend_existing=True)
        shop.Base.metadata.create_all(op.get_bind())
        shop.Base.metadata.create_all(bind=op.get_bind(), tables=[extra])
        op.get_bind().execute(extra.insert().values(n=2))
        """,
        "SELECT n FROM other ORDER BY id",
        [2],
        head="import shop",
    ),
    "create_all_on_the_engine_of_the_bind": Case(
        """
        shop.Base.metadata.create_all(op.get_bind().engine)
        shop.shout(op.get_bind())
        """,
        "SELECT name FROM parent ORDER BY id",
        ["ONE", "TWO", "THREE"],
        head="import shop",
    ),
    "reflected_metadata": Case(
        """
        metadata = sa.MetaData()
        metadata.reflect(op.get_bind(), only=('parent',))
        parent = metadata.tables['parent']
        child = sa.Table('child', metadata, autoload_with=op.get_bind())
        count = sa.select(sa.func.count(child.c.id)).where(child.c.parent_id == parent.c.id).scalar_subquery()
        op.get_bind().execute(parent.update().values(name=count))
        child.drop(op.get_bind())
        """,
        "SELECT name FROM parent ORDER BY id",
        ["2", "1", "0"],
    ),
}

"""
Scripts that begin, commit and roll back by themselves, after the same first revision.

With sqlite3's own transactions a rollback undoes what was written since the last commit, and the DDL that came after
a write with it; DDL that came before any write has been committed by itself.
"""

from __future__ import annotations

from alembic_script_cases import Case

__all__ = ["LOOSE", "SESSION", "TRANSACTIONS"]

SESSION = """
from sqlalchemy.orm import Session, scoped_session, sessionmaker
import shop
"""

TRANSACTIONS: dict[str, Case] = {
    # ORM sessions over the bind
    "session_commit": Case(
        """
        session = Session(bind=op.get_bind())
        for p in session.query(shop.Parent):
            p.name = p.name.upper()
        session.commit()
        session.add(shop.Parent(name='four', children=[shop.Child(note='d')]))
        session.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["ONE", "TWO", "THREE", "four"],
        head=SESSION,
    ),
    "session_without_commit": Case(
        """
        session = Session(bind=op.get_bind())
        session.add(shop.Parent(name='four'))
        session.flush()
        """,
        "SELECT count(*) FROM parent WHERE id < 4",
        [3],
        head=SESSION,
    ),
    "session_flush_and_close": Case(
        """
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        session = Session(bind=op.get_bind())
        session.execute(sa.text("INSERT INTO other (n) VALUES ('x')"))
        session.flush()
        session.close()
        """,
        "SELECT count(*) FROM parent",
        [3],
        head=SESSION,
    ),
    "session_closed_and_the_bind_used_again": Case(
        """
        with Session(op.get_bind()) as session:
            session.add(shop.Parent(name='four'))
            session.commit()
        op.execute("INSERT INTO parent (name) VALUES ('five')")
        op.create_index('ix_name', 'parent', ['name'])
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four", "five"],
        head=SESSION,
    ),
    "session_begin": Case(
        """
        with sessionmaker(bind=op.get_bind()).begin() as session:
            session.add(shop.Parent(name='four'))
        with Session(op.get_bind()) as session, session.begin():
            session.add(shop.Parent(name='five'))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four", "five"],
        head=SESSION,
    ),
    "session_rollback_of_dml": Case(
        """
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        session = Session(bind=op.get_bind())
        session.execute(sa.text("INSERT INTO other (n) VALUES ('x')"))
        session.rollback()
        """,
        "SELECT count(*) FROM other",
        [0],
        head=SESSION,
    ),
    "session_rollback_after_commit": Case(
        """
        session = Session(bind=op.get_bind())
        session.add(shop.Parent(name='four'))
        session.commit()
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        session.add(shop.Parent(name='five'))
        session.flush()
        session.rollback()
        """,
        "SELECT count(*) FROM sqlite_master WHERE name = 'other'",
        [0],
        head=SESSION,
    ),
    "session_rollback_then_commit": Case(
        """
        session = Session(bind=op.get_bind())
        session.add(shop.Parent(name='four'))
        session.flush()
        session.rollback()
        session.add(shop.Parent(name='five'))
        session.commit()
        """,
        "SELECT count(*) FROM parent WHERE name = 'five'",
        [1],
        head=SESSION,
    ),
    "session_begin_nested": Case(
        """
        session = Session(bind=op.get_bind())
        session.add(shop.Parent(name='four'))
        with session.begin_nested():
            session.add(shop.Parent(name='five'))
        inner = session.begin_nested()
        session.add(shop.Parent(name='six'))
        session.flush()
        inner.rollback()
        try:
            with session.begin_nested():
                session.execute(sa.text("INSERT INTO parent VALUES (1, 'x')"))
        except sa.exc.IntegrityError:
            session.add(shop.Parent(name='seven'))
        session.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four", "five", "seven"],
        head=SESSION,
    ),
    "several_sessions": Case(
        """
        one, two = Session(bind=op.get_bind()), sessionmaker(op.get_bind())()
        one.add(shop.Parent(name='four'))
        one.commit()
        two.query(shop.Parent).filter_by(id=4).one().name = '4'
        two.commit()
        one.refresh(one.get(shop.Parent, 4))
        one.close()
        two.close()
        three = scoped_session(sessionmaker(bind=op.get_bind()))
        three.add(shop.Parent(name='five'))
        three.commit()
        three.remove()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "4", "five"],
        head=SESSION,
    ),
    "session_bulk": Case(
        """
        session = Session(bind=op.get_bind())
        session.bulk_insert_mappings(shop.Parent, [{'name': 'four'}])
        session.bulk_save_objects([shop.Parent(name='five')])
        session.execute(sa.update(shop.Parent).values(name=shop.Parent.name + '!'))
        session.connection().execute(sa.text("DELETE FROM parent WHERE id = 1"))
        assert session.get_bind() is op.get_bind()
        session.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["two!", "three!", "four!", "five!"],
        head=SESSION,
    ),
    "session_deletes_with_children": Case(
        """
        session = Session(bind=op.get_bind())
        for c in session.query(shop.Child):
            session.delete(c)
        session.delete(session.get(shop.Parent, 1))
        session.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["two", "three"],
        head=SESSION,
    ),
    "session_control_fully": Case(
        """
        session = Session(op.get_bind(), join_transaction_mode='create_savepoint')
        session.add(shop.Parent(name='four'))
        session.commit()
        session.add(shop.Parent(name='five'))
        session.flush()
        session.rollback()
        session.add(shop.Parent(name='six'))
        session.commit()
        session.close()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "four", "six"],
        head=SESSION,
    ),
    # The transaction of the bind
    "bind_commit": Case(
        """
        bind = op.get_bind()
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        bind.execute(sa.text("INSERT INTO other (n) VALUES ('x')"))
        bind.commit()
        bind.execute(sa.text("INSERT INTO other (n) VALUES ('y')"))
        bind.commit()
        """,
        "SELECT n FROM other ORDER BY id",
        ["x", "y"],
    ),
    "bind_commit_and_more": Case(
        """
        op.get_bind().commit()
        op.add_column('parent', sa.Column('more', sa.Integer))
        op.get_bind().commit()
        op.execute('UPDATE parent SET more = 1')
        op.get_bind().commit()
        """,
        "SELECT more FROM parent",
        [1, 1, 1],
    ),
    "bind_rollback_of_dml_keeps_ddl": Case(
        """
        bind = op.get_bind()
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        bind.execute(sa.text("INSERT INTO other (n) VALUES ('x')"))
        bind.rollback()
        bind.execute(sa.text("INSERT INTO other (n) VALUES ('y')"))
        bind.commit()
        """,
        "SELECT n FROM other ORDER BY id",
        ["y"],
    ),
    "bind_rollback_before_anything": Case(
        """
        op.get_bind().rollback()
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        op.execute("INSERT INTO other (n) VALUES ('y')")
        op.get_bind().commit()
        """,
        "SELECT n FROM other ORDER BY id",
        ["y"],
    ),
    "bind_rollback_of_ddl_after_dml": Case(
        """
        bind = op.get_bind()
        op.execute("UPDATE parent SET name = 'lost'")
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        bind.rollback()
        assert not sa.inspect(bind).has_table('other')
        op.execute("UPDATE parent SET name = 'kept'")
        bind.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["kept", "kept", "kept"],
    ),
    "bind_rollback_since_commit_only": Case(
        """
        bind = op.get_bind()
        op.execute("INSERT INTO parent (name) VALUES ('kept')")
        bind.commit()
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        op.execute("INSERT INTO parent (name) VALUES ('lost')")
        op.execute('DROP TABLE child')
        bind.rollback()
        assert sa.inspect(bind).has_table('child') and sa.inspect(bind).has_table('other')
        op.execute("INSERT INTO other (n) VALUES ('z')")
        bind.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three", "kept"],
    ),
    "bind_begin_after_commit": Case(
        """
        bind = op.get_bind()
        bind.commit()
        with bind.begin():
            bind.execute(sa.text('DELETE FROM parent WHERE id = 3'))
        try:
            with bind.begin():
                bind.execute(sa.text('DELETE FROM parent'))
                raise KeyError
        except KeyError:
            pass
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two"],
    ),
    "bind_begin_nested": Case(
        """
        bind = op.get_bind()
        with bind.begin_nested():
            bind.execute(sa.text('DELETE FROM child'))
        inner = bind.begin_nested()
        bind.execute(sa.text('DELETE FROM parent'))
        inner.rollback()
        try:
            with bind.begin_nested():
                bind.execute(sa.text("INSERT INTO parent VALUES (1, 'x')"))
        except sa.exc.IntegrityError:
            bind.execute(sa.text('DELETE FROM parent WHERE id = 1'))
        with bind.begin_nested():
            with bind.begin_nested():
                bind.execute(sa.text('DELETE FROM parent WHERE id = 2'))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["three"],
    ),
    "bind_get_transaction": Case(
        """
        bind = op.get_bind()
        op.execute('DELETE FROM parent WHERE id = 3')
        assert bind.in_transaction()
        bind.get_transaction().commit()
        assert not bind.in_transaction()
        op.execute('DELETE FROM parent WHERE id = 2')
        bind.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
    # Raw connections
    "raw_cursor": Case(
        """
        cursor = op.get_bind().connection.cursor()
        cursor.execute('UPDATE parent SET name = ? WHERE id = 1', ('raw',))
        cursor.executemany('INSERT INTO parent (name) VALUES (?)', [('four',), ('five',)])
        cursor.close()
        assert op.get_bind().connection.dbapi_connection.execute('SELECT count(*) FROM parent').fetchone() == (5,)
        assert op.get_bind().connection.driver_connection.total_changes >= 3
        """,
        "SELECT name FROM parent ORDER BY id",
        ["raw", "two", "three", "four", "five"],
    ),
    "raw_commit": Case(
        """
        raw = op.get_bind().connection
        raw.cursor().execute('DELETE FROM parent WHERE id = 3')
        raw.commit()
        raw.cursor().execute('DELETE FROM parent')
        raw.rollback()
        op.execute('DELETE FROM parent WHERE id = 2')
        raw.dbapi_connection.commit()
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
}

# Those that end the transaction by themselves: recorded as started, then as applied.
LOOSE: dict[str, Case] = {
    "autocommit_block_vacuum": Case(
        """
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        with op.get_context().autocommit_block():
            op.execute('VACUUM')
        op.execute("INSERT INTO other (n) VALUES ('x')")
        """,
        "SELECT n FROM other ORDER BY id",
        ["x"],
    ),
    "autocommit_block_ddl_and_dml": Case(
        """
        op.execute('DELETE FROM parent WHERE id = 3')
        with op.get_context().autocommit_block():
            op.create_index('ix_name', 'parent', ['name'])
            op.execute('DELETE FROM parent WHERE id = 2')
        op.add_column('parent', sa.Column('more', sa.Integer))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
    "autocommit_block_twice": Case(
        """
        for n in (3, 2):
            with op.get_context().autocommit_block():
                op.execute(f'DELETE FROM parent WHERE id = {n}')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
    "commit_text": Case(
        """
        op.execute('DELETE FROM parent WHERE id = 3')
        op.execute('COMMIT')
        op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(20)))
        op.execute("INSERT INTO other (n) VALUES ('x')")
        """,
        "SELECT n FROM other ORDER BY id",
        ["x"],
    ),
    "begin_and_commit_text": Case(
        """
        op.execute('PRAGMA foreign_keys=off')
        op.execute('BEGIN TRANSACTION')
        op.execute('ALTER TABLE parent RENAME TO old')
        op.execute('CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL)')
        op.execute('INSERT INTO parent SELECT id, name FROM old')
        op.execute('DROP TABLE old')
        op.execute('COMMIT')
        op.execute('PRAGMA foreign_keys=on')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one", "two", "three"],
    ),
    "commit_begin_text": Case(
        """
        op.execute('DELETE FROM parent WHERE id = 3')
        op.execute('COMMIT')
        op.execute('BEGIN')
        op.execute('DELETE FROM parent WHERE id = 2')
        """,
        "SELECT name FROM parent ORDER BY id",
        ["one"],
    ),
    "executescript": Case(
        """
        op.get_bind().connection.cursor().executescript('''
        DELETE FROM parent WHERE id = 3;
        CREATE TABLE other (id INTEGER PRIMARY KEY, n TEXT);
        INSERT INTO other (n) VALUES ('x');''')
        """,
        "SELECT n FROM other ORDER BY id",
        ["x"],
    ),
}

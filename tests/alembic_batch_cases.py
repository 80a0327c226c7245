"""
`batch_alter_table` as projects write it, and connections of a script's own, after the same first revision.

A script that opens a second connection may not hold the write lock of the first one, with Alembic either: the first
statement that writes would wait for itself.
"""

from __future__ import annotations

from alembic_script_cases import Case

__all__ = ["BATCH", "SECOND", "SECOND_AFTER_OUR_LOCK"]

NAMES = "SELECT name FROM parent ORDER BY id"

BATCH: dict[str, Case] = {
    "always": Case(
        """
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer, server_default="5"), insert_after="id")
            batch.alter_column("name", type_=sa.String(80), nullable=True, server_default="none")
            batch.create_unique_constraint("uq_name", ["name"])
            batch.create_check_constraint("ck_more", "more > 0")
            batch.create_index("ix_more", ["more"])
        """,
        "SELECT more, name FROM parent ORDER BY id",
        [(5, "one"), (5, "two"), (5, "three")],
    ),
    "auto": Case(
        """
        with op.batch_alter_table("parent") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
        with op.batch_alter_table("parent", schema=None) as batch:
            batch.alter_column("name", new_column_name="title", existing_type=sa.String(50), existing_nullable=False)
        with op.batch_alter_table("parent") as batch:
            batch.drop_column("more")
        """,
        "SELECT title FROM parent ORDER BY id",
        ["one", "two", "three"],
    ),
    "never": Case(
        """
        with op.batch_alter_table("parent", recreate="never") as batch:
            batch.add_column(sa.Column("more", sa.Integer, server_default="7"))
            batch.create_index(batch.f("ix_more"), ["more"], unique=False)
        """,
        "SELECT more FROM parent",
        [7, 7, 7],
    ),
    "copy_from": Case(
        """
        parent = sa.Table("parent", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String(50), nullable=False), sa.CheckConstraint("id > 0", name="ck_id"))
        with op.batch_alter_table("parent", copy_from=parent) as batch:
            batch.alter_column("name", server_default="x")
        """,
        NAMES,
        ["one", "two", "three"],
    ),
    "table_args": Case(
        """
        with op.batch_alter_table("parent", recreate="always", table_args=(sa.UniqueConstraint("name", name="uq"),),
                                  table_kwargs={"sqlite_autoincrement": True}) as batch:
            pass
        op.execute("INSERT INTO parent (name) VALUES ('four')")
        """,
        "SELECT seq FROM sqlite_sequence WHERE name = 'parent'",
        [4],
    ),
    "reflect": Case(
        """
        def listen(inspector, table, column_info):
            if column_info["name"] == "name":
                column_info["type"] = sa.Enum("one", "two", "three", name="names", create_constraint=True)
        key = sa.Column("id", sa.BigInteger, primary_key=True)
        with op.batch_alter_table("parent", recreate="always", reflect_args=[key],
                                  reflect_kwargs={"listeners": [("column_reflect", listen)]}) as batch:
            batch.alter_column("name", nullable=True)
        """,
        "SELECT count(*) FROM sqlite_master WHERE sql LIKE '%IN (''one'', ''two'', ''three'')%' AND sql LIKE '%BIGI%'",
        [1],
    ),
    "naming_convention": Case(
        """
        names = {"uq": "uq_%(table_name)s_%(column_0_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"}
        op.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, n TEXT, p INTEGER REFERENCES parent, UNIQUE (n))")
        op.execute("INSERT INTO other VALUES (1, 'x', 1)")
        with op.batch_alter_table("other", naming_convention=names) as batch:
            batch.drop_constraint("uq_other_n", type_="unique")
        with op.batch_alter_table("other", naming_convention=names) as batch:
            batch.drop_constraint("fk_other_p", type_="foreignkey")
            batch.create_foreign_key("fk_other_p", "child", ["p"], ["id"])
        """,
        "SELECT count(*) FROM sqlite_master WHERE name = 'other' AND sql LIKE '%fk_other_p%REFERENCES child%'",
        [1],
    ),
    "partial_reordering": Case(
        """
        with op.batch_alter_table("child", partial_reordering=[("note", "id")], recreate="always") as batch:
            batch.alter_column("note", nullable=False, server_default="-")
        """,
        "SELECT name FROM pragma_table_info('child')",
        ["parent_id", "note", "id"],
    ),
    "several_tables": Case(
        """
        for table in ("parent", "child"):
            with op.batch_alter_table(table, recreate="always") as batch:
                batch.add_column(sa.Column("stamp", sa.DateTime, server_default=sa.text("'2020'")))
        op.execute("UPDATE child SET note = (SELECT name FROM parent WHERE id = parent_id)")
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.drop_column("stamp")
        """,
        "SELECT note, stamp FROM child",
        [("one", 2020), ("one", 2020), ("two", 2020)],
    ),
    "foreign_key_and_primary_key": Case(
        """
        with op.batch_alter_table("child", recreate="always") as batch:
            batch.add_column(sa.Column("other_id", sa.Integer))
            batch.create_foreign_key("fk_other", "parent", ["other_id"], ["id"], ondelete="SET NULL")
        with op.batch_alter_table("child") as batch:
            batch.drop_constraint("fk_other", type_="foreignkey")
            batch.drop_column("other_id")
        op.execute("CREATE TABLE plain (id INTEGER NOT NULL, n TEXT NOT NULL)")
        with op.batch_alter_table("plain") as batch:
            batch.create_primary_key("pk_plain", ["n", "id"])
        """,
        "SELECT name FROM pragma_table_info('plain') WHERE pk ORDER BY pk",
        ["n", "id"],
    ),
    "rows_changed_around_it": Case(
        """
        op.execute("UPDATE parent SET name = 'before'")
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
        op.get_bind().execute(sa.text("UPDATE parent SET more = 1 WHERE id = 1"))
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.alter_column("more", type_=sa.String(9))
        op.execute("INSERT INTO parent (id, name, more) VALUES (4, 'after', 'm')")
        """,
        "SELECT name, more FROM parent ORDER BY id",
        [("before", "1"), ("before", None), ("before", None), ("after", "m")],
    ),
    "in_a_session": Case(
        """
        from sqlalchemy.orm import Session
        session = Session(op.get_bind())
        session.execute(sa.text("UPDATE parent SET name = upper(name)"))
        session.commit()
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
        session.execute(sa.text("UPDATE parent SET more = id"))
        session.commit()
        """,
        "SELECT name, more FROM parent ORDER BY id",
        [("ONE", 1), ("TWO", 2), ("THREE", 3)],
    ),
}

# With nothing written before by the script: neither tool has a reason to let them wait.
SECOND: dict[str, Case] = {
    "application_session_reads": Case(
        """
        with shop.SessionLocal() as session:
            found = [p.name for p in session.query(shop.Parent).order_by(shop.Parent.id)]
        op.execute(f"UPDATE parent SET name = '{'-'.join(found)}'")
        """,
        NAMES,
        ["one-two-three"] * 3,
        head="import shop",
    ),
    "application_engine_connects": Case(
        """
        with shop.engine.connect() as connection:
            found = connection.execute(sa.select(sa.func.count()).select_from(shop.Child)).scalar()
        op.execute(f"UPDATE parent SET name = '{found}'")
        """,
        NAMES,
        ["3"] * 3,
        head="import shop",
    ),
    "engine_of_the_bind_connects": Case(
        """
        with op.get_bind().engine.connect() as connection:
            found = connection.execute(sa.text("SELECT count(*) FROM child")).scalar()
        op.execute(f"UPDATE parent SET name = '{found}'")
        """,
        NAMES,
        ["3"] * 3,
    ),
    "engine_of_the_same_url": Case(
        """
        engine = sa.create_engine(op.get_bind().engine.url)
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT count(*) FROM child")).scalar()
        engine.dispose()
        op.execute(f"UPDATE parent SET name = '{found}'")
        """,
        NAMES,
        ["3"] * 3,
    ),
    "raw_connection": Case(
        """
        raw = op.get_bind().engine.raw_connection()
        found = raw.cursor().execute("SELECT count(*) FROM child").fetchone()[0]
        raw.close()
        op.execute(f"UPDATE parent SET name = '{found}'")
        """,
        NAMES,
        ["3"] * 3,
    ),
    "sqlite3_of_the_same_file": Case(
        """
        import sqlite3
        raw = sqlite3.connect(op.get_bind().engine.url.database)
        found = raw.execute("SELECT count(*) FROM child").fetchone()[0]
        raw.close()
        op.execute(f"UPDATE parent SET name = '{found}'")
        """,
        NAMES,
        ["3"] * 3,
    ),
}

# These write over the second connection, or read what the first has just made: they need to be let in.
SECOND_AFTER_OUR_LOCK: dict[str, Case] = {
    "application_session_commits": Case(
        """
        with shop.SessionLocal() as session:
            session.add(shop.Parent(name="four"))
            session.commit()
        op.execute("UPDATE parent SET name = name || '!'")
        """,
        NAMES,
        ["one!", "two!", "three!", "four!"],
        head="import shop",
    ),
    "application_session_rolls_back": Case(
        """
        session = shop.SessionLocal()
        session.add(shop.Parent(name="four"))
        session.flush()
        session.rollback()
        session.add(shop.Parent(name="five"))
        session.commit()
        session.close()
        op.execute("UPDATE parent SET name = name || '!'")
        """,
        NAMES,
        ["one!", "two!", "three!", "five!"],
        head="import shop",
    ),
    "application_engine_begin": Case(
        """
        with shop.engine.begin() as connection:
            shop.shout(connection)
        try:
            with shop.engine.begin() as connection:
                connection.execute(sa.delete(shop.Parent))
                raise KeyError
        except KeyError:
            pass
        """,
        NAMES,
        ["ONE", "TWO", "THREE"],
        head="import shop",
    ),
    "application_engine_sees_the_new_table": Case(
        """
        op.create_table("other", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.String(9)))
        with shop.SessionLocal.begin() as session:
            session.execute(sa.text("INSERT INTO other (n) VALUES ('x')"))
        op.add_column("other", sa.Column("more", sa.Integer))
        """,
        "SELECT n, more FROM other",
        [("x", None)],
        head="import shop",
    ),
    "create_all_of_the_application": Case(
        """
        op.drop_table("child")
        shop.Base.metadata.create_all(shop.engine)
        op.execute("INSERT INTO child (parent_id, note) VALUES (3, 'z')")
        """,
        "SELECT note FROM child",
        ["z"],
        head="import shop",
    ),
    "engine_of_the_bind_begins": Case(
        """
        with op.get_bind().engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM parent WHERE id = 3"))
        op.execute("DELETE FROM parent WHERE id = 2")
        """,
        NAMES,
        ["one"],
    ),
    "session_of_the_engine_of_the_bind": Case(
        """
        from sqlalchemy.orm import sessionmaker
        session = sessionmaker(bind=op.get_bind().engine)()
        session.execute(sa.text("DELETE FROM parent WHERE id = 3"))
        session.commit()
        session.close()
        """,
        NAMES,
        ["one", "two"],
    ),
    "raw_connection_commits": Case(
        """
        raw = op.get_bind().engine.raw_connection()
        raw.cursor().execute("DELETE FROM parent WHERE id = 3")
        raw.commit()
        raw.close()
        """,
        NAMES,
        ["one", "two"],
    ),
    "engine_of_the_same_url_writes": Case(
        """
        engine = sa.create_engine(op.get_bind().engine.url, connect_args={"timeout": 1})
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM parent WHERE id = 3"))
        engine.dispose()
        """,
        NAMES,
        ["one", "two"],
    ),
}

"""Scripts as well known projects have them, after the same first revision."""

from __future__ import annotations

from alembic_script_cases import Case
from alembic_transaction_cases import SESSION

__all__ = ["PROJECTS"]

PROJECTS: dict[str, Case] = {
    "begin_transaction_of_the_context": Case(
        """
        with op.get_context().begin_transaction():
            op.execute("DELETE FROM parent WHERE id = 3")
        with context.begin_transaction():
            op.execute("DELETE FROM parent WHERE id = 2")
        """,
        "SELECT name FROM parent",
        ["one"],
    ),
    "paginated_commits": Case(
        """
        session = Session(bind=op.get_bind(), autoflush=False)
        for number, parent in enumerate(session.query(shop.Parent).order_by(shop.Parent.id).yield_per(1)):
            parent.name = f"{number}"
            session.merge(shop.Child(id=parent.id, note=parent.name))
        session.commit()
        last = 0
        while True:
            found = session.query(shop.Child).filter(shop.Child.id > last).order_by(shop.Child.id).limit(2).all()
            if not found:
                break
            for child in found:
                child.note += "!"
                last = child.id
            session.commit()
        session.expunge_all()
        """,
        "SELECT note FROM child ORDER BY id",
        ["0!", "1!", "2!"],
        head=SESSION,
    ),
    "batches_until_nothing_is_left": Case(
        """
        op.add_column("child", sa.Column("done", sa.Integer))
        with op.get_context().autocommit_block():
            while True:
                result = op.get_bind().execute(sa.text(
                    "UPDATE child SET done = 1 WHERE id IN (SELECT id FROM child WHERE done IS NULL LIMIT 2)"
                ))
                if result.rowcount <= 0:
                    break
        """,
        "SELECT count(*) FROM child WHERE done = 1",
        [3],
    ),
    "foreign_keys_off_in_a_context_manager": Case(
        """
        with disable_sqlite_fkeys(op):
            with op.batch_alter_table("parent") as batch:
                batch.alter_column("name", type_=sa.String(99), existing_nullable=False)
        """,
        "SELECT count(*) FROM child",
        [3],
        head="""
        from contextlib import contextmanager

        @contextmanager
        def disable_sqlite_fkeys(op):
            if op.get_bind().dialect.name == "sqlite":
                op.execute("PRAGMA foreign_keys=off")
                yield op
                op.execute("PRAGMA foreign_keys=on")
            else:
                yield op
        """,
    ),
    "commit_or_rollback_and_raise": Case(
        """
        session = sessionmaker(bind=op.get_bind())()
        try:
            session.execute(sa.update(shop.Parent).values(name="x"))
            session.commit()
        except Exception:
            session.rollback()
            raise
        finally:
            session.close()
        """,
        "SELECT DISTINCT name FROM parent",
        ["x"],
        head=SESSION,
    ),
    "results": Case(
        """
        bind = op.get_bind()
        parent = sa.Table("parent", sa.MetaData(), autoload_with=bind)
        key, = bind.execute(parent.insert().values(name="four")).inserted_primary_key
        assert bind.execute(parent.update().where(parent.c.id == key).values(name="4")).rowcount == 1
        assert bind.execute(parent.insert().values(name="five").returning(parent.c.id)).scalar_one() == key + 1
        assert bind.scalar(sa.select(sa.func.count()).select_from(parent)) == 5
        assert bind.scalars(sa.select(parent.c.id)).all() == [1, 2, 3, 4, 5]
        bind.execution_options(stream_results=True).execute(sa.text("DELETE FROM parent WHERE id = 1"))
        """,
        "SELECT name FROM parent ORDER BY id",
        ["two", "three", "4", "five"],
    ),
    "plain_alter": Case(
        """
        op.add_column("parent", sa.Column("more", sa.Integer))
        op.alter_column("parent", "name", new_column_name="title")
        op.drop_column("parent", "more")
        """,
        "SELECT title FROM parent ORDER BY id",
        ["one", "two", "three"],
    ),
    "options_of_the_context": Case(
        """
        assert "target_metadata" in op.get_context().opts and op.get_context().opts["as_sql"] is False
        assert op.get_context().opts.get("render_as_batch") is False
        op.get_bind().engine.dispose()
        op.execute("DELETE FROM parent WHERE id = 3")
        """,
        "SELECT count(*) FROM parent",
        [2],
    ),
    "drop_everything_and_make_it_anew": Case(
        """
        metadata = sa.MetaData()
        metadata.reflect(bind=op.get_bind())
        for table in reversed(metadata.sorted_tables):
            if table.name != "alembic_version" and not table.name.startswith("migration_"):
                table.drop(op.get_bind())
        shop.Base.metadata.create_all(bind=op.get_bind())
        """,
        "SELECT count(*) FROM parent",
        [0],
        head=SESSION,
    ),
}

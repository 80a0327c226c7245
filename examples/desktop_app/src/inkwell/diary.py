"""The diary: what a window shows, and what it writes."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, text

from sqlmig import Migrator, SnapshotPolicy


class Diary:
    """
    The diary in a folder, which is made where there is none.

    Raises:
        sqlmig.DatabaseTooNew: A newer release has written it.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{home / 'diary.db'}")
        # By the name of the package: where its files are is the installer's affair.
        migrator = Migrator(
            self._engine,
            "inkwell.migrations.versions",
            snapshot=SnapshotPolicy(home / "snapshots", keep=3),
            lock_timeout=10,
        )
        self.migrated = migrator.migrate()

    def write(self, body: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text("INSERT INTO entries (body) VALUES (:body)"), {"body": body})

    def read(self) -> list[tuple[str, int]]:
        """The entries, and how many words they have."""
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT body, words FROM entries ORDER BY id"))
            return [(row.body, row.words) for row in rows]

    def close(self) -> None:
        self._engine.dispose()

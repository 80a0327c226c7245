"""Notes: `notes.py add TEXT`, `notes.py done NUMBER`, `notes.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sqlmig import DatabaseConnection, MigrationError, Migrator

MIGRATIONS = Path(__file__).parent / "migrations"


def main(words: list[str]) -> None:
    db = DatabaseConnection(os.environ.get("NOTES", "notes.db"))
    try:
        Migrator(db, MIGRATIONS).migrate()
    except MigrationError as error:
        # It says what happened, and what to do next.
        sys.exit(str(error))
    match words:
        case ["add", text]:
            db.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        case ["done", number]:
            db.execute("UPDATE notes SET done_at = CURRENT_TIMESTAMP WHERE id = ?", (int(number),))
        case []:
            for note in db.fetch_all("SELECT id, text FROM open_notes"):
                print(f"{note['id']:>3}  {note['text']}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])

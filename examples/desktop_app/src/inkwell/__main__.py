"""`inkwell write TEXT`, `inkwell read`: the diary without its window."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

from sqlmig import DatabaseTooNew, MigrationError

from .diary import Diary


def main() -> None:
    home = Path(os.environ.get("INKWELL_HOME") or Path.home() / ".inkwell")
    try:
        diary = Diary(home)
    except DatabaseTooNew:
        sys.exit("This diary was written by a newer Inkwell. Please update; nothing was changed.")
    except MigrationError as error:
        sys.exit(f"The diary could not be opened, and is as it was.\n\n{error}")
    with closing(diary):
        match sys.argv[1:]:
            case ["write", body]:
                diary.write(body)
            case ["read"]:
                for body, words in diary.read():
                    print(f"{body} ({words} words)")
            case _:
                sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""Which loop of a resumable migration a checkpoint belongs to, and what a loop must have done to have one."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from conftest import Folder
from resumable_support import COUNTING, RESUMABLE, counted, visits
from sqlalchemy import Engine

from sqlmig import CheckpointMismatch, MigrationFailed, Migrator

STOP = "\n    if rows[0]['id'] == {}: raise ValueError('stop')"
LOOP = COUNTING.format(size=4)
FROM = (
    "from sqlalchemy import MetaData, Table, select, text\nt = Table('t', MetaData(), autoload_with=self.connection)\n"
)


def stopped(folder: Folder, url: str, up: str, rows: int = 40) -> Migrator:
    """A migration that has failed, and whose batches before that have stayed."""
    counted(folder, rows=rows)
    folder.add(2, up, extra=RESUMABLE)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    return migrator


def go_on(folder: Folder, url: str, up: str) -> None:
    folder.add(2, up, extra=RESUMABLE)
    assert Migrator(url, folder.path).migrate().applied == [2]


def loops(url: str) -> list[dict[str, Any]]:
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    (text,) = raw.execute("SELECT metadata FROM migration_versions WHERE state = 'started'").fetchone()
    raw.close()
    return list(json.loads(text)["loops"])


# A loop that only reads


def test_a_loop_that_only_reads_is_read_again(folder: Folder, url: str) -> None:
    """What it has put into variables is gone with the process that it was in."""
    collect = "found = []\nfor rows in self.batches('t', size=4):\n    found += [row['id'] for row in rows]"
    write = "\nself.execute_sql('UPDATE t SET done = done + 1 WHERE id = ?', [(one,) for one in found])"
    write += "\nself.execute_sql('INSERT INTO log (id) VALUES (?)', [(one,) for one in found])"
    stopped(folder, url, collect + STOP.format(21) + write)
    assert [loop["after"] for loop in loops(url)] == [None]
    go_on(folder, url, collect + write)
    assert visits(url) == {1: 40}


def test_one_that_has_ended_is_read_again_for_a_later_one(folder: Folder, url: str) -> None:
    collect = (
        "found = set()\nfor rows in self.batches('t', ['n', 'id'], size=7):\n    found |= {row['id'] for row in rows}\n"
    )
    loop = LOOP + "\n    assert {row['id'] for row in rows} <= found"
    stopped(folder, url, collect + loop + STOP.format(21))
    go_on(folder, url, collect + loop)
    assert visits(url) == {1: 40}
    (entry,) = Migrator(url, folder.path).get_migration_history(1)
    assert entry["metadata"]["rows"] == 80


def test_the_checkpoint_stays_where_something_was_written_last(folder: Folder, url: str) -> None:
    """Batches in which nothing was to be done are read again, and cost nothing but that."""
    some = """for rows in self.batches("t", size=4):
    for row in rows:
        if row["id"] in (6, 30):
            self.execute_sql("UPDATE t SET done = done + 1 WHERE id = ?", (row["id"],))
            self.execute_sql("INSERT INTO log (id) VALUES (?)", (row["id"],))"""
    migrator = stopped(folder, url, some + STOP.format(21))
    assert [loop["after"] for loop in loops(url)] == [[8]]
    assert migrator.get_migration_status().progress[2]["rows"] == 8
    go_on(folder, url, some)
    assert visits(url) == {0: 38, 1: 2}
    (entry,) = migrator.get_migration_history(1)
    assert (entry["metadata"]["rows"], entry["metadata"]["batches"]) == (40, 10)


def test_a_change_of_the_schema_is_something_written(folder: Folder, url: str) -> None:
    up = """for rows in self.batches("t", size=4):
    self.execute_sql(f"CREATE TABLE part_{rows[0]['id']} (id INTEGER)")"""
    stopped(folder, url, up + STOP.format(21))
    go_on(folder, url, up)
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'part%'").fetchone() == (10,)


def test_the_lock_is_given_back_by_a_loop_that_only_reads_as_well(folder: Folder, url: str) -> None:
    counted(folder)
    folder.add(2, "for rows in self.batches('t', size=4): pass", extra=f"{RESUMABLE}\nthrottle = 0.001")
    said = []

    def write(done: int, total: int, message: str) -> None:
        raw = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)
        raw.execute("INSERT INTO log (id) VALUES (1)")
        raw.commit()
        raw.close()
        said.append(message)

    Migrator(url, folder.path).migrate_to_version(1)
    import sqlmig.data.pace as pace

    before, pace._EVERY = pace._EVERY, 0.0
    try:
        Migrator(url, folder.path, progress=write).migrate()
    finally:
        pace._EVERY = before
    assert sum("of 40 rows" in text for text in said) == 10


def test_all_batches_in_a_list_are_written_at_the_end(folder: Folder, url: str) -> None:
    whole = LOOP.replace('in self.batches("t", size=4)', 'in list(self.batches("t", size=4))')
    stopped(folder, url, whole + STOP.format(21))
    assert visits(url) == {0: 40}
    go_on(folder, url, whole)
    assert visits(url) == {1: 40}


# Checks


def test_loops_of_the_checks_are_no_loops_of_up(folder: Folder, url: str) -> None:
    checks = """def pre_migrate_checks(self): return sum(map(len, self.batches("t", size=4))) == 40
def post_migrate_checks(self): return all(row["done"] == 1 for rows in self.batches("t", size=4) for row in rows)"""
    counted(folder, up=COUNTING + STOP.format(21), extra=checks)
    with pytest.raises(MigrationFailed, match="20 of 40 rows"):
        Migrator(url, folder.path).migrate()
    counted(folder, extra=checks)
    Migrator(url, folder.path).migrate()
    assert visits(url) == {1: 40}


# Which loop is which


def test_loops_behind_a_condition(folder: Folder, url: str) -> None:
    """The first has done its part, and is not begun again: the second goes on in its own place."""
    first = "if not self.db.fetch_one('SELECT max(done) FROM t')[0]:\n    " + LOOP.replace("\n", "\n    ")
    second = """
for rows in self.batches("t", size=4):
    self.update_rows("t", [{"id": r.id, "n": -r.n - 1} for r in rows])"""
    stopped(folder, url, first + second + STOP.format(21))
    go_on(folder, url, first + second)
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT count(*) FROM t WHERE n = -(id - 1) * 7 - 1").fetchone() == (40,)
    assert visits(url) == {1: 40}


def test_one_that_was_interrupted_and_is_not_begun_again(folder: Folder, url: str) -> None:
    once = "if self.db.fetch_one('SELECT count(*) FROM log')[0] < 4:\n    " + LOOP.replace("\n", "\n    ")
    stopped(folder, url, once + STOP.format(21).replace("\n", "\n    "))
    with pytest.raises(CheckpointMismatch, match="t by id in up") as caught:
        Migrator(url, folder.path).migrate()
    assert "has ended without it" in str(caught.value)
    assert visits(url) == {0: 20, 1: 20}


def test_a_loop_that_was_put_in_front(folder: Folder, url: str) -> None:
    stopped(folder, url, LOOP + STOP.format(21))
    both = (
        'for rows in self.batches("t", size=4):\n    self.update_rows("t", [{"id": r.id, "n": 0} for r in rows])\n'
        + LOOP
    )
    folder.add(2, both, extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch, match="1 of 1"):
        Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 20, 1: 20}
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT count(*) FROM t WHERE n = (id - 1) * 7").fetchone() == (40,)


def test_a_loop_that_was_taken_out(folder: Folder, url: str) -> None:
    stopped(folder, url, LOOP + "\n" + LOOP.replace("done + 1", "done + 10") + STOP.format(21))
    folder.add(2, LOOP.replace("done + 1", "done + 10"), extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch):
        Migrator(url, folder.path).migrate()
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT done, count(*) FROM t GROUP BY done").fetchall() == [(1, 20), (11, 20)]


def test_one_place_in_the_code_that_reads_several_tables(folder: Folder, url: str) -> None:
    """In another order than before, and each goes on where it was."""
    counted(folder)
    up = """for name in {}:
    for rows in self.batches(name, "id", size=4):
        self.execute_sql(f"UPDATE {{name}} SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0].id, rows[-1].id))"""
    more = 'self.execute_sql("CREATE TABLE IF NOT EXISTS u (id INTEGER PRIMARY KEY, done INTEGER)")\n'
    more += 'self.execute_sql("INSERT OR IGNORE INTO u SELECT id, 0 FROM t")\n'
    stop = "\n        if name == 'u' and rows[0].id == 21: raise ValueError"
    folder.add(2, more + up.format('("t", "u")') + stop, extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    folder.add(2, more + up.format('("u", "t")'), extra=RESUMABLE)
    Migrator(url, folder.path).migrate()
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    for name in ("t", "u"):
        assert raw.execute(f"SELECT min(done), max(done) FROM {name}").fetchone() == (1, 1)


def test_the_values_of_a_select_belong_to_it(folder: Folder, url: str) -> None:
    up = FROM + LOOP.replace('"t", size', "select(t).where(t.c.n < {}), 'id', size")
    stopped(folder, url, up.format(200) + STOP.format(21))
    folder.add(2, up.format(100), extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch):
        Migrator(url, folder.path).migrate()
    go_on(folder, url, up.format(200))
    assert visits(url) == {0: 11, 1: 29}


def test_a_retry_inside_up_is_not_gone_on_with(folder: Folder, url: str) -> None:
    """What it retried after is not known any more; nothing is written twice, and nothing recorded."""
    up = """for attempt in range(2):
    try:
        for rows in self.batches("t", size=4):
            if rows[0]["id"] == 9 and not attempt: raise KeyError
            if rows[0]["id"] == 21: raise ValueError
            self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0].id, rows[-1].id))
        break
    except KeyError: pass"""
    stopped(folder, url, up)
    before = sqlite3.connect(url.removeprefix("sqlite:///")).execute("SELECT sum(done) FROM t").fetchone()
    folder.add(2, up.replace("raise ValueError", "pass"), extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch):
        Migrator(url, folder.path).migrate()
    assert sqlite3.connect(url.removeprefix("sqlite:///")).execute("SELECT sum(done) FROM t").fetchone() == before


# What cannot be gone on with is refused before anything is written


def test_a_rowid_that_vacuum_gives_anew(folder: Folder, url: str) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE t (a TEXT)")\nself.execute_sql("INSERT INTO t VALUES (1), (2)")')
    for up in ("for rows in self.batches('t'): pass", "self.backfill('t', 'a', \"'x'\")"):
        folder.add(2, up, extra=RESUMABLE)
        with pytest.raises(MigrationFailed, match="VACUUM"):
            Migrator(url, folder.path).migrate()
    folder.add(2, "for rows in self.batches('t', 'a'): pass", extra=RESUMABLE)
    Migrator(url, folder.path).migrate()


def test_the_rowid_of_a_full_text_table_stays(folder: Folder, url: str) -> None:
    make = 'self.execute_sql("CREATE VIRTUAL TABLE d USING fts5(body)")\n'
    folder.add(1, make + 'self.execute_sql("INSERT INTO d VALUES (?)", [("a",)] * 40)')
    up = """for rows in self.batches("d", size=4):
    self.update_rows("d", [{"rowid": r.rowid, "body": "b"} for r in rows])"""
    folder.add(2, up, extra=RESUMABLE)
    Migrator(url, folder.path).migrate()
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT count(*) FROM d WHERE d MATCH 'b'").fetchone() == (40,)


@pytest.mark.parametrize("value", ["id + 100", "lambda id: id + 100"])
def test_a_backfill_of_the_key_that_it_goes_by(folder: Folder, url: str, value: str) -> None:
    """The rows that were moved would come again, without end."""
    counted(folder)
    given = value if value.startswith("lambda") else repr(value)
    folder.add(2, f"self.backfill('t', 'id', {given})", extra=RESUMABLE)
    with pytest.raises(MigrationFailed, match=r"cannot fill t\.id"):
        Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 40}


def test_a_loop_inside_a_savepoint(folder: Folder, url: str) -> None:
    counted(folder)
    folder.add(2, "with self.db.transaction():\n    " + LOOP.replace("\n", "\n    "), extra=RESUMABLE)
    with pytest.raises(MigrationFailed, match="inside a savepoint") as caught:
        Migrator(url, folder.path).migrate()
    assert "batches have stayed" not in str(caught.value)
    assert visits(url) == {0: 40}


def test_a_savepoint_inside_a_batch(folder: Folder, url: str) -> None:
    head, *body = LOOP.split("\n")
    inside = head + "\n    with self.db.transaction():\n" + "\n".join(f"    {line}" for line in body)
    stopped(folder, url, inside + STOP.format(21))
    go_on(folder, url, inside)
    assert visits(url) == {1: 40}


def test_names_of_a_select_and_of_ours(folder: Folder, engine: Engine) -> None:
    """A select may have parameters of any name."""
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")\n'
        'self.execute_sql("INSERT INTO t (n) VALUES (?)", [(k,) for k in range(40)])',
    )
    up = """from sqlalchemy import MetaData, Table, bindparam, select
t = Table("t", MetaData(), autoload_with=self.connection)
size, after, until = bindparam("size", 4), bindparam("after_0", 30), bindparam("until_0", 50)
chosen = select(t.c.id).where(t.c.n >= size, t.c.n < after, t.c.n < until)
assert [row.id for rows in self.batches(chosen, size=7) for row in rows] == list(range(5, 31))"""
    folder.add(2, up)
    assert Migrator(engine, folder.path).migrate().applied == [1, 2]

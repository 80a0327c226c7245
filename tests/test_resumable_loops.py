"""Which loop of a resumable migration a checkpoint belongs to, and what a loop must have done to have one."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from resumable_support import COUNTING, RESUMABLE, TABLE, counted, visits
from sqlalchemy import Engine, create_engine, event

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


RETRY = """for attempt in range(2):
    try:
        for rows in self.batches("t", size=4):
            self.execute_sql("UPDATE t SET done = done + 1 WHERE id = ?", (rows[0].id,))
            if rows[0]["id"] == 9 and not attempt: raise KeyError
            if rows[0]["id"] == STOP: raise ValueError
            self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[1].id, rows[-1].id))
        break
    except KeyError: pass"""


def test_a_retry_inside_up_does_what_it_does_in_one_transaction(folder: Folder, url: str) -> None:
    """After an error that was caught in the middle of a batch nothing more is committed, until all is."""
    stopped(folder, url, RETRY.replace("STOP", "21"))
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT done, count(*) FROM t GROUP BY done").fetchall() == [(0, 32), (1, 8)]
    go_on(folder, url, RETRY.replace("STOP", "-1"))
    assert raw.execute("SELECT done, count(*) FROM t GROUP BY done").fetchall() == [(1, 31), (2, 9)]


@pytest.mark.parametrize("how", ["finally", "except Exception"])
def test_an_error_in_a_batch_and_a_loop_behind_it(folder: Folder, url: str, how: str) -> None:
    """The half of the batch is undone with the rest, though a loop comes between the error and its end."""
    body = LOOP.replace("\n", "\n    ").replace('self.execute_sql("INSERT', '{}\n        self.execute_sql("INSERT')
    up = f"try:\n    {body}\n{how}:\n    for rows in self.batches('t', 'n', size=9): self.update_rows('t', rows)\n"
    up += "    raise" if how != "finally" else ""
    stopped(folder, url, up.format("if rows[0].id == 21: raise ValueError"))
    assert visits(url) == {0: 20, 1: 20}
    go_on(folder, url, up.removesuffix("    raise").format(""))
    assert visits(url) == {1: 40}


# Helpers, and the same place for several things


FILL = """def fill(column):
    for rows in self.batches("t", size=4):
        self.execute_sql(f"UPDATE t SET {column} = {column} + 1 WHERE id BETWEEN ? AND ?", (rows[0].id, rows[-1].id))
"""


def test_a_helper_that_is_called_from_two_places(folder: Folder, url: str) -> None:
    """The first call is left out when it has done its part; the second has its own loop."""
    folder.add(1, TABLE.format(rows=40) + "\nself.execute_sql('INSERT INTO log (id) SELECT id FROM t')")
    up = FILL + "if not self.db.fetch_one('SELECT min(done) FROM t')[0]: fill('done')\n"
    up += "for rows in self.batches('log', size=9):\n"
    up += "    self.update_rows('log', [{'entry': row.entry, 'id': 0} for row in rows])"
    folder.add(2, up + "\n    if rows[0].entry > 18: raise ValueError\nfill('n')", extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    go_on(folder, url, up + "\nfill('n')")
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT count(*) FROM t WHERE done = 1 AND n = (id - 1) * 7 + 1").fetchone() == (40,)


def test_backfills_of_several_columns_in_one_place(folder: Folder, url: str) -> None:
    """In another order, as that of a set is in each process; and one that was put in front."""
    make = "for c in 'abc': self.add_column_if_not_exists('t', Column(c, Integer, server_default='0'))\n"
    up = "from sqlalchemy import Column, Integer\n" + make + "for c in ({}): self.backfill('t', c, {})"
    slow = "lambda row: int(c == 'b' and row.id == 2500) and 1 // 0 or row[c] + 1"
    stopped(folder, url, up.format("'a', 'b'", slow), rows=3000)
    quick = "lambda row: row[c] + 1"
    folder.add(2, up.format("'c', 'a', 'b'", quick), extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch, match="to fill b of t"):
        Migrator(url, folder.path).migrate()
    go_on(folder, url, up.format("'b', 'a'", quick))
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT DISTINCT a, b, c FROM t").fetchall() == [(1, 1, 0)]


def test_a_set_in_a_select_has_no_order(folder: Folder, url: str) -> None:
    up = FROM + LOOP.replace('"t", size', "select(t).where(t.c.n.in_({}), t.c.n >= 0), 'id', size")
    stopped(folder, url, up.format([7 * n for n in range(30)]) + STOP.format(21))
    go_on(folder, url, up.format([7 * n for n in reversed(range(30))]))
    assert visits(url) == {0: 10, 1: 30}


def test_a_loop_that_was_made_and_not_asked(folder: Folder, url: str) -> None:
    """It is not gone on with by being called."""
    stopped(folder, url, LOOP + STOP.format(21))
    folder.add(2, LOOP.replace("for rows in ", "pending = ").split(":\n")[0], extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch):
        Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 20, 1: 20}


def test_what_was_read_behind_the_last_write_is_read_again_though_the_loop_has_ended(folder: Folder, url: str) -> None:
    up = """found = []
for rows in self.batches("t", size=4):
    if rows[0].id == 1: self.execute_sql("UPDATE t SET n = -1 WHERE id < 5")
    else: found += [row.id for row in rows]
for rows in self.batches("log", size=4): self.update_rows("log", rows){}
for one in found:
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id = ?", (one,))
    self.execute_sql("INSERT INTO log (id) VALUES (?)", (one,))"""
    folder.add(1, TABLE.format(rows=40) + "\nself.execute_sql('INSERT INTO log (id) VALUES (1000)')")
    folder.add(2, up.format("; stop = rows[0].entry\nif stop: raise ValueError"), extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    go_on(folder, url, up.format(""))
    assert visits(url) == {0: 4, 1: 36}


@pytest.mark.parametrize(
    "keep",
    [
        "self.execute_sql('CREATE TEMP TABLE IF NOT EXISTS found (id)')\n"
        "for rows in self.batches('t', size=4):\n"
        "    self.execute_sql('INSERT INTO found VALUES (?)', [(row.id,) for row in rows])",
        "found = []\n"
        "for rows in self.batches('t', size=4):\n"
        "    try:\n"
        "        with self.db.transaction():\n"
        "            self.update_rows('t', [{'id': row.id, 'n': 0} for row in rows])\n"
        "            raise KeyError\n"
        "    except KeyError: found += [row.id for row in rows]",
        "found = []\n"
        "for rows in self.batches('t', size=4):\n"
        "    try: self.update_rows('t', [*({'id': row.id, 'n': 0} for row in rows), {'id': -1, 'n': 0}])\n"
        "    except Exception: found += [row.id for row in rows]",
    ],
    ids=["a temporary table", "a savepoint", "a refused batch"],
)
def test_what_does_not_stay_moves_no_checkpoint(folder: Folder, url: str, keep: str) -> None:
    """It is counted by SQLite as a change all the same."""
    write = (
        "\nids = [(one,) for one in found]"
        if "TEMP" not in keep
        else ("\nids = [(row[0],) for row in self.db.fetch_all('SELECT id FROM found')]")
    )
    write += "\nself.execute_sql('UPDATE t SET done = done + 1 WHERE id = ?', ids)"
    write += "\nself.execute_sql('INSERT INTO log (id) VALUES (?)', ids)"
    counted(folder)
    folder.add(2, keep + STOP.format(21) + write, extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    go_on(folder, url, keep + write)
    assert visits(url) == {1: 40}


def test_a_table_that_each_batch_makes_in_an_attached_file(folder: Folder, url: str, tmp_path: Path) -> None:
    engine = create_engine(url)
    other = tmp_path / "other.db"
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"ATTACH '{other}' AS aux"))
    up = """for rows in self.batches("t", size=4):
    self.execute_sql(f"CREATE TABLE aux.part_{rows[0].id} AS SELECT * FROM t WHERE id = {rows[0].id}")"""
    counted(folder)
    folder.add(2, up + STOP.format(21), extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(engine, folder.path).migrate()
    folder.add(2, up, extra=RESUMABLE)
    assert Migrator(engine, folder.path).migrate().applied == [2]


def test_a_file_that_a_batch_attaches(folder: Folder, url: str, tmp_path: Path) -> None:
    """What is made in it is written, though the batch began without it."""
    up = f"""for rows in self.batches("t", size=4):
    if not self.db.fetch_all("SELECT 1 FROM pragma_database_list WHERE name = 'aux'"):
        self.execute_sql("ATTACH ? AS aux", ({str(tmp_path / "other.db")!r},))
    self.execute_sql(f"CREATE TABLE aux.part_{{rows[0].id}} (x)")"""
    counted(folder)
    folder.add(2, up + STOP.format(5), extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    folder.add(2, up, extra=RESUMABLE)
    assert Migrator(url, folder.path).migrate().applied == [2]


def test_a_batch_that_is_taken_by_hand(folder: Folder, url: str) -> None:
    """What stands between it and the next is no batch: from there on all is one transaction."""
    up = """first = self.batches("t", size=4)
count(next(first))
for rows in self.batches("log", size=3): self.update_rows("log", [{"entry": row.entry, "id": row.id} for row in rows])
for rows in first: count(rows, 21)"""
    count = """def count(rows, stop=None):
    if rows[0].id == STOP: raise ValueError
    ends = (rows[0]["id"], rows[-1]["id"])
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", ends)
    self.execute_sql("INSERT INTO log (id) SELECT id FROM t WHERE id BETWEEN ? AND ?", ends)
"""
    stopped(folder, url, count.replace("STOP", "stop") + up)
    assert visits(url) == {0: 40}
    go_on(folder, url, count.replace("STOP", "-1") + up)
    assert visits(url) == {1: 40}


def test_an_error_of_a_checkpoint_that_was_caught(folder: Folder, url: str) -> None:
    """Nothing is committed any more, whatever the migration goes on with."""
    stopped(folder, url, LOOP + STOP.format(21))
    caught = "try:\n    for rows in self.batches('t', 'n', size=4): pass\nexcept Exception: pass\n"
    more = "for rows in self.batches('log', size=4): self.execute_sql('UPDATE log SET id = -1')"
    folder.add(2, caught + more, extra=RESUMABLE)
    with pytest.raises(CheckpointMismatch):
        Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 20, 1: 20}


def test_a_backfill_from_the_table_that_it_fills(folder: Folder, url: str) -> None:
    """A later batch would see what an earlier one has made of it."""
    counted(folder)
    folder.add(2, "self.backfill('t', 'done', 'n * 100 / (SELECT max(n) FROM t)')", extra=RESUMABLE)
    with pytest.raises(MigrationFailed, match="reads t itself"):
        Migrator(url, folder.path).migrate()
    folder.add(2, "self.backfill('t', 'done', '(SELECT count(*) FROM log) + 1')", extra=RESUMABLE)
    Migrator(url, folder.path).migrate()


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

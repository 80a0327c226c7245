"""
The document library in `migrations/versions`, on every database: from nothing, and from an old version with data in
it, to head.
"""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from places import Place
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from sqlmig import BaseMigration, MigrationError, MigrationFailed, Migrator
from sqlmig.testing import DatabaseAt

DatabasesAt = Callable[[int], DatabaseAt]

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"
HEAD = 7

# What is printed on documents, and the authors that it names.
PRINTED: list[tuple[str | None, list[str]]] = [
    ("Ada Lovelace; Charles Babbage", ["Ada Lovelace", "Charles Babbage"]),
    ("Charles Babbage;Ada Lovelace", ["Charles Babbage", "Ada Lovelace"]),
    ("  Ada \t Lovelace\n;; ;Ada Lovelace;", ["Ada Lovelace"]),
    ("ada lovelace; Ada Lovelace", ["ada lovelace", "Ada Lovelace"]),
    ("Kurt\u00a0G\u00f6del ;\u3000\u738b\u5c0f\u660e\u2003", ["Kurt G\u00f6del", "\u738b\u5c0f\u660e"]),
    ("Kurt Go\u0308del", ["Kurt Go\u0308del"]),
    (
        "O'Brien, Flann; \"Quoted\"; Robert'); DROP TABLE documents;--",
        ["O'Brien, Flann", '"Quoted"', "Robert')", "DROP TABLE documents", "--"],
    ),
    ("100% _; ?; :name; ??", ["100% _", "?", ":name", "??"]),
    ("\U0001f469\u200d\U0001f52c Emoji; %s; {0}", ["\U0001f469\u200d\U0001f52c Emoji", "%s", "{0}"]),
    ("; ;\u00a0; \n", []),
    ("", []),
    (None, []),
    ("x" * 5000, ["x" * 5000]),
    ("; ".join(f"Member {n}" for n in range(300)), [f"Member {n}" for n in range(300)]),
]


@pytest.fixture
def library(place: Place) -> Migrator:
    return Migrator(place.engine(), VERSIONS)


@pytest.fixture
def old_library(library: Migrator) -> Migrator:
    """Version 1 with 250 documents; two have ids that somebody set."""
    library.migrate_to_version(1)
    fill(library)
    return library


def dialect(library: Migrator) -> str:
    return library.db.engine.dialect.name


def documents(library: Migrator) -> dict[int, tuple[str | None, list[str]]]:
    """What is printed on each document, and whom that names."""
    found = {number - 1: PRINTED[number % len(PRINTED)] for number in range(250)}
    if dialect(library) == "mysql":
        # There an id of 0 means that the next one is to be taken; and a name is no longer than an index can hold.
        del found[0]
        found = {id: (f"{'x' * 700}", ["x" * 700]) if p[0] == "x" * 5000 else p for id, p in found.items()}
    return found


def fill(library: Migrator) -> None:
    rows = [
        (id, f"Title {id + 1} caf\u00e9", f"word{id + 1} \u2603 it's", printed, f"/papers/{id + 1}.pdf")
        for id, (printed, _) in documents(library).items()
    ]
    library.db.execute("INSERT INTO documents (id, title, content, authors, file_path) VALUES (?, ?, ?, ?, ?)", rows)
    library.db.execute("INSERT INTO document_tags (document_id, tag_id) SELECT id, 1 FROM documents")
    if dialect(library) == "postgresql":
        library.db.execute("SELECT setval(pg_get_serial_sequence('documents', 'id'), 1000)")


def expected_authors(library: Migrator) -> dict[int, list[str]]:
    return {id: names for id, (_, names) in documents(library).items() if names}


def authors_in(library: Migrator) -> dict[int, list[str]]:
    """The authors of each document that has some; their positions are checked on the way."""
    found: dict[int, list[str]] = {}
    for document, position, name in library.db.fetch_all(
        "SELECT document_id, position, name FROM document_authors JOIN authors ON authors.id = author_id ORDER BY 1, 2"
    ):
        found.setdefault(document, []).append(name)
        assert position == len(found[document])
    return found


SEARCHES = {
    "sqlite": "SELECT rowid FROM documents_fts WHERE documents_fts MATCH ? ORDER BY rowid",
    "postgresql": "SELECT id FROM documents WHERE search @@ plainto_tsquery('simple', without_accents(?)) ORDER BY id",
    "mysql": "SELECT id FROM documents WHERE MATCH (title, abstract, content) AGAINST (? IN BOOLEAN MODE) ORDER BY id",
}


def search(library: Migrator, words: str) -> list[int]:
    return [row[0] for row in library.db.fetch_all(SEARCHES[dialect(library)], (words,))]


def check_search_index(library: Migrator) -> None:
    """Raises when the index and the documents disagree, where they could."""
    if dialect(library) == "sqlite":
        library.db.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")


def count(library: Migrator, table: str) -> int:
    return int(library.db.execute(f"SELECT count(*) FROM {table}").scalar())


def migration(version: int) -> type[BaseMigration]:
    """The class in the file of *version*, to be run by hand."""
    (path,) = VERSIONS.glob(f"{version:03}_*.py")
    spec = spec_from_file_location(f"shipped_{version}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = (
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    )
    return found


def test_an_empty_database_comes_to_head(library: Migrator) -> None:
    result = library.migrate()

    assert result.applied == [1, 2, 3, 4, 5, 6, 7]
    assert result.skipped == []
    assert library.get_current_version() == HEAD
    assert [row[0] for row in library.db.fetch_all("SELECT name FROM tags ORDER BY id")] == [
        "unread",
        "favourite",
        "archived",
    ]
    assert library.manager.validate_migration_sequence() == []
    assert library.migrate().direction == "none"


def test_a_tag_is_there_once_in_any_case(library: Migrator) -> None:
    library.migrate()

    with pytest.raises(IntegrityError):
        library.db.execute("INSERT INTO tags (name) VALUES ('Unread')")


def test_sqlite_s_schema_is_what_it_always_was(migrated_url: str) -> None:
    """To the letter, for it is that of databases which are on these versions already."""
    library = Migrator(migrated_url, VERSIONS)
    query = "SELECT sql FROM sqlite_schema WHERE tbl_name NOT LIKE 'migration%' AND sql IS NOT NULL ORDER BY rowid"

    text = ";\n".join(row[0] for row in library.db.fetch_all(query))

    assert sha256(text.encode()).hexdigest() == "a14c63524b3aaddadfcabf0e58663ef6af24b0d87e86cbeb8de9db573506cca4"
    assert library.db.execute("PRAGMA user_version").scalar() == HEAD
    assert library.validate_schema()


def test_the_history_declares_what_it_can_take_back(library: Migrator) -> None:
    library.migrate()

    steps = library.get_migration_plan(0).migrations_to_rollback

    assert [step.version for step in steps if not step.rollback_supported] == [6]
    assert library.manager.can_rollback_to(6) == (True, [])
    assert not library.manager.can_rollback_to(5)[0]


COLUMNS = "id, title, abstract, content, authors, publication_year, file_path, created_at"


def test_an_old_library_comes_to_head_with_all_that_it_holds(old_library: Migrator) -> None:
    before = old_library.db.fetch_all(f"SELECT {COLUMNS} FROM documents ORDER BY id")

    assert old_library.migrate().applied == [2, 3, 4, 5, 6, 7]

    check_content(old_library, before)


@pytest.mark.parametrize("all_or_nothing", [False, True])
@pytest.mark.parametrize("foreign_keys", ["ON", "OFF"])
def test_on_sqlite_whatever_its_settings(database_at: DatabasesAt, foreign_keys: str, all_or_nothing: bool) -> None:
    library = database_at(1).migrator
    event.listen(library.db.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA foreign_keys = {foreign_keys}"))
    fill(library)
    before = library.db.fetch_all(f"SELECT {COLUMNS} FROM documents ORDER BY id")

    assert library.migrate(all_or_nothing=all_or_nothing).applied == [2, 3, 4, 5, 6, 7]

    check_content(library, before)
    assert library.db.fetch_all("PRAGMA foreign_key_check") == []
    assert library.db.execute("PRAGMA integrity_check").scalar() == "ok"


def check_content(library: Migrator, before: Any) -> None:
    assert library.db.fetch_all(f"SELECT {COLUMNS} FROM documents ORDER BY id") == before
    assert count(library, "document_tags") == len(before)
    expected = expected_authors(library)
    assert authors_in(library) == expected
    assert count(library, "authors") == len({name for names in expected.values() for name in names})


def test_every_content_gets_its_hash(old_library: Migrator) -> None:
    old_library.migrate_to_version(2)

    rows = old_library.db.fetch_all("SELECT content, content_hash FROM documents")

    assert len(rows) == len(documents(old_library))
    assert all(row["content_hash"] == sha256(row["content"].encode()).hexdigest() for row in rows)
    names = [index["name"] for index in old_library.inspector.get_indexes("documents")]
    assert "idx_documents_content_hash" in names


def test_search_finds_what_was_there_before(old_library: Migrator) -> None:
    old_library.migrate()

    assert search(old_library, "word7") == [6]
    assert len(search(old_library, "cafe")) == len(search(old_library, "caf\u00e9")) == len(documents(old_library))
    check_search_index(old_library)


@pytest.mark.parametrize(
    ("change", "hare", "turtle"),
    [
        ("UPDATE documents SET title = 'turtle' WHERE id = 6", [], [6]),
        ("UPDATE documents SET abstract = 'turtle' WHERE id = 6", [6], [6]),
        ("UPDATE documents SET id = 9000, content = 'turtle' WHERE id = 6", [9000], [9000]),
        ("UPDATE documents SET authors = 'turtle' WHERE id = 6", [6], []),
        ("DELETE FROM documents WHERE id = 6", [], []),
        ("INSERT INTO documents (id, title) VALUES (9000, 'turtle')", [6], [9000]),
        ("INSERT INTO documents (title, file_path) VALUES ('turtle', '/papers/7.pdf') ON CONFLICT DO NOTHING", [6], []),
        (
            "INSERT INTO documents (title, file_path) VALUES ('turtle', '/papers/7.pdf')"
            " ON CONFLICT (file_path) DO UPDATE SET title = excluded.title",
            [],
            [6],
        ),
    ],
)
def test_search_follows_every_change(old_library: Migrator, change: str, hare: list[int], turtle: list[int]) -> None:
    old_library.db.execute("UPDATE documents SET title = 'hare' WHERE id = 6")
    old_library.db.execute("DELETE FROM document_tags WHERE document_id = 6")
    old_library.migrate_to_version(5)
    if dialect(old_library) == "mysql":
        change = change.replace("ON CONFLICT DO NOTHING", "ON DUPLICATE KEY UPDATE id = id")
        change = change.replace("ON CONFLICT (file_path) DO UPDATE SET", "ON DUPLICATE KEY UPDATE")
        change = change.replace("excluded.title", "VALUES(title)")

    old_library.db.execute(change)

    assert search(old_library, "hare") == hare
    assert search(old_library, "turtle") == turtle
    check_search_index(old_library)


def test_search_follows_replace_under_recursive_triggers(database_at: DatabasesAt) -> None:
    old_library = database_at(1).migrator
    fill(old_library)
    old_library.migrate_to_version(5)

    with old_library.db.transaction():
        old_library.db.execute("PRAGMA recursive_triggers = ON")
        old_library.db.execute("INSERT OR REPLACE INTO documents (title, file_path) VALUES ('turtle', '/papers/7.pdf')")

    assert search(old_library, "word7") == []
    check_search_index(old_library)


def test_indexes_serve_the_queries_that_they_were_made_for(library: Migrator) -> None:
    library.migrate()
    if dialect(library) == "mysql":
        asked = "SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
        names = {row[0] for row in library.db.fetch_all(asked)}
        assert names >= {"idx_documents_list", "idx_documents_year", "idx_citations_unresolved", "idx_citations_doi"}
        return
    queries = {
        "idx_documents_list": "SELECT title, id FROM documents ORDER BY created_at DESC",
        "idx_documents_year": "SELECT id FROM documents WHERE publication_year = 1843",
        "idx_citations_unresolved": "SELECT id FROM citations WHERE cited_document_id IS NULL AND doi = '10.1/x'",
        "idx_citations_doi": "SELECT id FROM citations WHERE lower(doi) = '10.1/x'",
        "idx_citation_relations_target": "SELECT source_id FROM citation_relations WHERE target_id = 1",
    }

    explain, covering = "EXPLAIN QUERY PLAN ", "COVERING"
    with library.db.transaction():
        if dialect(library) == "postgresql":
            # Of tables without rows a scan would do.
            explain, covering = "EXPLAIN ", "Index Only Scan"
            library.db.execute("SET LOCAL enable_seqscan = off")
            library.db.execute("SET LOCAL enable_bitmapscan = off")
        plans = {
            index: " ".join(str(row[-1]) for row in library.db.fetch_all(explain + query))
            for index, query in queries.items()
        }
    for index, plan in plans.items():
        assert index in plan, plan
    assert covering in plans["idx_documents_list"]


def test_normalising_again_changes_nothing(place: Place, old_library: Migrator) -> None:
    old_library.migrate()
    before = place.contents()

    assert migration(7)(old_library.db).run() is True

    assert place.contents() == before


def test_a_batch_may_name_more_authors_than_a_statement_takes_variables(database_at: DatabasesAt) -> None:
    library = database_at(6).migrator
    limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    event.listen(library.db.engine, "connect", lambda raw, _: raw.setlimit(limit, 999))
    library.db.execute("INSERT INTO documents (title, authors) VALUES ('T', ?)", ("; ".join(map(str, range(2000))),))

    library.migrate()

    assert authors_in(library) == {1: [str(number) for number in range(2000)]}


def test_many_documents_are_normalised_in_bounded_memory(database_at: DatabasesAt) -> None:
    library = database_at(6).migrator
    names = [f"Author {number} {'n' * 400}" for number in range(40)]
    printed = ["; ".join(names[(start + step) % 40] for step in range(4)) for start in range(40)]
    rows = [(f"T{number}", printed[number % 40]) for number in range(10_001)]
    library.db.execute("INSERT INTO documents (title, authors) VALUES (?, ?)", rows)
    del rows

    tracemalloc.start()
    try:
        library.migrate()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert count(library, "authors") == 40
    assert count(library, "document_authors") == 40_004
    assert peak < 10_000_000, f"{peak:,} bytes; the texts alone are 16 MB"


def test_back_to_the_first_version_and_up_again(place: Place, old_library: Migrator) -> None:
    first = place.contents()
    old_library.migrate_to_version(5)
    fifth = place.contents()

    assert old_library.rollback_to_version(1).rolled_back == [5, 4, 3, 2]
    assert place.contents() == first
    old_library.migrate_to_version(5)

    assert place.contents() == fifth
    check_search_index(old_library)


def test_authors_go_back_and_come_again(place: Place, old_library: Migrator) -> None:
    old_library.migrate()
    head = place.contents()

    old_library.rollback_to_version(6)
    assert not old_library.inspector.has_table("authors")
    assert count(old_library, "documents") == len(documents(old_library))
    old_library.migrate()

    assert place.contents() == head


def test_an_empty_library_goes_back_to_nothing(library: Migrator) -> None:
    library.migrate_to_version(5)

    assert library.rollback_to_version(0).rolled_back == [5, 4, 3, 2, 1]

    assert not library.inspector.has_table("documents")


def test_accounts_are_never_rolled_back(place: Place, old_library: Migrator) -> None:
    old_library.migrate()
    before = place.contents()

    with pytest.raises(MigrationError, match="6"):
        old_library.rollback_to_version(5)

    assert place.contents() == before


@pytest.mark.parametrize(
    ("target", "added"),
    [
        (2, "INSERT INTO citations (document_id, raw_text) VALUES (1, 'Lovelace 1843')"),
        (2, "INSERT INTO citation_relations (source_id, target_id, kind) VALUES (1, 2, 'cites')"),
        (0, "INSERT INTO documents (title) VALUES ('Mine')"),
    ],
)
def test_rollback_refuses_to_delete_what_people_added(
    place: Place, old_library: Migrator, target: int, added: str
) -> None:
    old_library.migrate_to_version(5)
    old_library.db.execute(added)
    before = place.contents()
    tables = ["documents", "tags", "citations", "citation_relations"] if target else ["documents", "tags"]
    rows = [count(old_library, table) for table in tables]

    with pytest.raises(MigrationFailed, match="which a rollback would delete"):
        old_library.rollback_to_version(target)

    assert [count(old_library, table) for table in tables] == rows
    # On MariaDB each step is by itself, and those above this one went back.
    assert place.contents() == before or not place.undoes_ddl

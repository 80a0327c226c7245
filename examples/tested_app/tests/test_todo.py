"""The application, each test on a database of its own."""

from __future__ import annotations

import todo


def test_urgent_tasks_come_first(migrated_engine):
    todo.add(migrated_engine, "Sweep the floor")
    todo.add(migrated_engine, "Put the fire out", urgent=True)
    assert todo.open_tasks(migrated_engine) == ["Put the fire out", "Sweep the floor"]


def test_nothing_of_another_test_is_there(migrated_engine):
    assert todo.open_tasks(migrated_engine) == []


def test_the_application_makes_its_database_itself(empty_engine):
    todo.boot(empty_engine)
    assert todo.open_tasks(empty_engine) == []


def test_titles_that_cried_out_become_urgent(database_at):
    old = database_at(1)
    old.db.execute("INSERT INTO tasks (title) VALUES (?)", [("Sweep the floor",), ("Fire!",)])
    old.migrate()
    assert todo.open_tasks(old.engine) == ["Fire!", "Sweep the floor"]

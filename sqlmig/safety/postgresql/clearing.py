"""What a PostgreSQL database holds, as the statements that drop it: so that a snapshot finds the place empty."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ...backends.sqlite import quoted
from .statements import ask, literal, run

__all__ = ["clear"]

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
# The objects of a schema depend on it, but for those that an extension made, or that are a part of another.
_OBJECTS = """
SELECT o.type, o.identity FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) o
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = {schema}::regnamespace AND d.deptype = 'n'
    AND NOT EXISTS (
        SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype IN ('e', 'i'))
ORDER BY d.classid <> 'pg_class'::regclass, d.objid"""
_SCHEMALESS = (
    ("EVENT TRIGGER", "SELECT evtname FROM pg_event_trigger", "pg_event_trigger"),
    ("PUBLICATION", "SELECT pubname FROM pg_publication", "pg_publication"),
    ("SERVER", "SELECT srvname FROM pg_foreign_server", "pg_foreign_server"),
    ("FOREIGN DATA WRAPPER", "SELECT fdwname FROM pg_foreign_data_wrapper", "pg_foreign_data_wrapper"),
)
_KINDS = {"composite type": "TYPE", "domain": "TYPE", "statistics object": "STATISTICS"}


def clear(raw: Any, extensions: Collection[str]) -> None:
    """
    Drop everything that an archive will make, in the transaction that is open.

    What is usual (the schema public, the extensions that the archive has too) stays.

    Args:
        extensions: Those of the archive.
    """
    for sql in _large_objects(raw):
        run(raw, sql)
    for what, query, catalogue in _SCHEMALESS:
        members = f"SELECT objid FROM pg_depend WHERE classid = '{catalogue}'::regclass AND deptype = 'e'"
        for (name,) in ask(raw, f"{query} WHERE oid NOT IN ({members})"):
            run(raw, f"DROP {what} IF EXISTS {quoted(name)} CASCADE")
    for (name,) in ask(raw, "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'"):
        if name not in extensions:
            run(raw, f"DROP EXTENSION IF EXISTS {quoted(name)} CASCADE")
    for (schema,) in ask(raw, _SCHEMAS):
        for kind, identity in ask(raw, _OBJECTS.format(schema=literal(quoted(schema)))):
            run(raw, f"DROP {_KINDS.get(kind, kind)} IF EXISTS {identity} CASCADE")
        if schema != "public":
            run(raw, f"DROP SCHEMA {quoted(schema)}")


def _large_objects(raw: Any) -> Iterator[str]:
    if ask(raw, "SELECT 1 FROM pg_largeobject_metadata LIMIT 1"):
        yield "SELECT lo_unlink(oid) FROM pg_largeobject_metadata"

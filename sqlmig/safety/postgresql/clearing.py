"""What a PostgreSQL database holds, as the statements that drop it: so that a snapshot finds the place empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...backends.raw import ask_any
from ...backends.sqlite import quoted
from .statements import literal, run

__all__ = ["clear"]

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
_EXTENSIONS = """
SELECT e.extname, quote_ident(e.extname), n.nspname, quote_ident(n.nspname)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql'"""
_MEMBER_SCHEMAS = """
SELECT n.nspname FROM pg_depend d JOIN pg_namespace n ON n.oid = d.objid
WHERE d.classid = 'pg_namespace'::regclass AND d.deptype = 'e'"""
# Rows of a table of an extension that pg_dump dumps, for they are the user's.
_CONFIGURED = """
SELECT concat_ws(' ', t.id::regclass, t.condition)
FROM pg_extension e, unnest(e.extconfig, e.extcondition) t (id, condition)
JOIN pg_class c ON c.oid = t.id AND c.relkind = 'r'"""
# The objects of a schema depend on it, but for those that an extension made, or that are a part of another. The key
# columns of a partitioned table depend on it in the same way.
_OBJECTS = """
SELECT o.type, o.identity FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) o
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = {schema}::regnamespace AND d.deptype = 'n'
    AND d.classid <> 'pg_extension'::regclass AND NOT EXISTS (
        SELECT FROM pg_depend e
        WHERE e.classid = d.classid AND e.objid = d.objid AND e.objsubid = 0 AND e.deptype IN ('e', 'i'))
ORDER BY d.classid <> 'pg_class'::regclass, d.objid"""
# Those with a number below are the server's own.
_SCHEMALESS = """
SELECT o.type, o.identity FROM {catalogue} c, pg_identify_object('{catalogue}'::regclass, c.oid, 0) o
WHERE c.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = '{catalogue}'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))"""
_CATALOGUES = (
    "pg_event_trigger",
    "pg_publication",
    "pg_cast",
    "pg_foreign_server",
    "pg_foreign_data_wrapper",
    "pg_am",
    "pg_language",
)
_KINDS = {
    "composite type": "TYPE",
    "domain": "TYPE",
    "statistics object": "STATISTICS",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    # An aggregate of no arguments has an identity that DROP AGGREGATE does not read.
    "aggregate": "ROUTINE",
}
_DEFAULTS = """
SELECT 'FOR ROLE ' || quote_ident(r.rolname) || coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''), d.defaclobjtype,
    quote_ident(r.rolname), n.nspname IS NULL,
    ARRAY(SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM aclexplode(d.defaclacl))
FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
WHERE pg_has_role(r.oid, 'USAGE')"""
_DEFAULT_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
# What pg_dump takes for granted of the schema public, and writes only where it is otherwise.
_PUBLIC = """
SELECT quote_ident(o.rolname), CASE WHEN pg_has_role(o.oid, 'USAGE') THEN quote_ident(o.rolname) END,
    quote_ident(pg_get_userbyid(n.nspowner)), current_setting('server_version_num')::integer >= 150000,
    ARRAY(SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        FROM aclexplode(n.nspacl))
FROM pg_namespace n, pg_roles o
WHERE n.nspname = 'public' AND pg_has_role(n.nspowner, 'USAGE')
    AND CASE WHEN current_setting('server_version_num')::integer >= 150000
        THEN o.rolname = 'pg_database_owner' ELSE o.oid = 10 END"""


def clear(raw: Any, extensions: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """
    Drop everything that an archive will make, in the transaction that is open.

    Args:
        extensions: Those of the archive, and the schemas they were in; one that is there in the same stays.

    Returns:
        The extensions that stay, and the schemas that do because of them.
    """
    if ask_any(raw, "SELECT 1 FROM pg_largeobject_metadata LIMIT 1"):
        run(raw, "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    for catalogue in _CATALOGUES:
        for kind, identity in ask_any(raw, _SCHEMALESS.format(catalogue=catalogue)):
            _drop(raw, kind, identity)
    kept, stay = set(), {"public"}
    for name, written, schema, place in ask_any(raw, _EXTENSIONS):
        if extensions.get(written) == place:
            kept.add(name)
            stay.add(schema)
        else:
            run(raw, f"DROP EXTENSION IF EXISTS {written} CASCADE")
    stay |= {schema for (schema,) in ask_any(raw, _MEMBER_SCHEMAS)}
    for (schema,) in ask_any(raw, _SCHEMAS):
        for kind, identity in ask_any(raw, _OBJECTS.format(schema=literal(quoted(schema)))):
            _drop(raw, kind, identity)
        if schema not in stay:
            run(raw, f"DROP SCHEMA {quoted(schema)}")
    for (rows,) in ask_any(raw, _CONFIGURED):
        if ask_any(raw, f"SELECT 1 FROM {rows} LIMIT 1"):
            run(raw, f"DELETE FROM {rows}")
    for sql in _usual_defaults(raw):
        run(raw, sql)
    _have_public(raw)
    return kept, stay - {"public"}


def _drop(raw: Any, kind: str, identity: str) -> None:
    run(raw, f"DROP {_KINDS.get(kind, kind)} IF EXISTS {identity} CASCADE")


def _usual_defaults(raw: Any) -> Iterator[str]:
    """Without default privileges: what is made under them would have grants that no archive takes away."""
    for whose, kind, role, everywhere, grantees in ask_any(raw, _DEFAULTS):
        what = _DEFAULT_KINDS[kind]
        for grantee in grantees:
            yield f"ALTER DEFAULT PRIVILEGES {whose} REVOKE ALL ON {what} FROM {grantee}"
        if everywhere:
            yield f"ALTER DEFAULT PRIVILEGES {whose} GRANT ALL ON {what} TO {role}"
            if what in ("FUNCTIONS", "TYPES"):
                yield f"ALTER DEFAULT PRIVILEGES {whose} GRANT ALL ON {what} TO PUBLIC"


def _have_public(raw: Any) -> None:
    """Make the schema public as a new database has it, where it is this user's to do."""
    if not ask_any(raw, "SELECT 1 FROM pg_namespace WHERE nspname = 'public'"):
        run(raw, "CREATE SCHEMA public")
    for usual, may_be, owner, narrow, grantees in ask_any(raw, _PUBLIC):
        for grantee in grantees:
            run(raw, f"REVOKE ALL ON SCHEMA public FROM {grantee} CASCADE")
        if may_be and owner != usual:
            run(raw, f"ALTER SCHEMA public OWNER TO {usual}")
        run(raw, f"GRANT ALL ON SCHEMA public TO {usual if may_be else owner}")
        run(raw, f"GRANT {'USAGE' if narrow else 'ALL'} ON SCHEMA public TO PUBLIC")
        run(raw, "COMMENT ON SCHEMA public IS 'standard public schema'")

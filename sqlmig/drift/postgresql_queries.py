"""
What is asked of PostgreSQL's catalogue for the shape of a database: for all schemas at once, and not table by table.

Where a name is told it is as the search path of the moment has it. Objects of extensions are left out.
"""

from __future__ import annotations

from collections.abc import Collection

from ..safety.postgresql.statements import literal

__all__ = ["COLUMNS", "CONSTRAINTS", "INDEXES", "RELATIONS", "SEQUENCES", "THINGS", "within"]


def within(query: str, schemas: Collection[str] | None, version: int) -> str:
    """
    One of the queries, for a server of this version.

    Args:
        schemas: Those that are looked at; None for all.
    """
    ours = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    if schemas is not None:
        ours = f"n.nspname IN ({', '.join(map(literal, sorted(schemas))) or 'NULL'})"
    # Releases before the 14th have no such column.
    compression = "nullif(a.attcompression::text, '')" if version >= 140_000 else "NULL"
    return query.replace("/*ours*/", ours).replace("/*compression*/", compression)


def _no_extension(catalogue: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalogue}'::regclass AND e.objid = {oid}"
        " AND e.deptype = 'e')"
    )


def _commented(definition: str, oid: str, catalogue: str) -> str:
    """A definition, with the comment on the object behind it."""
    return f"concat_ws(' ', {definition}, 'COMMENT ' || quote_literal(obj_description({oid}, '{catalogue}')))"


_FROM = f"""pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND /*ours*/ AND c.relpersistence <> 't'
    AND {_no_extension("pg_class", "c.oid")}"""
_TABLES = "c.relkind IN ('r', 'p', 'f')"

# Tables and views: what is said of them besides their columns.
RELATIONS = f"""
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, array_remove(ARRAY[
    CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED' END,
    CASE WHEN c.relispartition THEN 'PARTITION OF ' || (SELECT inhparent::regclass FROM pg_inherits
        WHERE inhrelid = c.oid LIMIT 1) || ' ' || pg_get_expr(c.relpartbound, c.oid)
    ELSE (SELECT 'INHERITS (' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) || ')'
        FROM pg_inherits WHERE inhrelid = c.oid) END,
    CASE WHEN c.relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid) END,
    (SELECT 'USING ' || m.amname FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'),
    (SELECT 'OF ' || format_type(c.reloftype, NULL) WHERE c.reloftype <> 0),
    CASE WHEN c.relrowsecurity THEN 'ROW LEVEL SECURITY' END,
    CASE WHEN c.relforcerowsecurity THEN 'FORCED ROW LEVEL SECURITY' END,
    CASE WHEN c.relkind IN ('r', 'p') AND c.relreplident <> 'd' THEN 'REPLICA IDENTITY ' || CASE c.relreplident
        WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE 'USING INDEX' END END,
    'WITH (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o) || ')',
    (SELECT 'FOREIGN, SERVER ' || quote_ident(s.srvname) || coalesce(' OPTIONS ' || t.ftoptions::text, '')
        FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = c.oid)
    ], NULL)::text[], obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
FROM {_FROM} WHERE {_TABLES} OR c.relkind IN ('v', 'm') ORDER BY c.oid"""

COLUMNS = f"""
SELECT a.attrelid::bigint, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.attidentity::text, a.attgenerated::text, pg_get_expr(f.adbin, f.adrelid),
    CASE WHEN a.attcollation <> t.typcollation THEN (SELECT concat(nullif(o.nspname, 'pg_catalog') || '.', l.collname)
        FROM pg_collation l JOIN pg_namespace o ON o.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
    col_description(c.oid, a.attnum), concat_ws(' ',
        CASE WHEN a.attstorage <> t.typstorage THEN 'STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN'
            WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,
        'COMPRESSION ' || CASE /*compression*/ WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
        CASE WHEN a.attstattarget >= 0 THEN 'STATISTICS ' || a.attstattarget END,
        CASE WHEN a.attnotnull AND EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n'
            AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated) THEN 'NOT VALID' END,
        'WITH (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o
            WHERE starts_with(o, 'n_distinct')) || ')')
FROM {_FROM} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
WHERE {_TABLES} ORDER BY c.oid, a.attnum"""

# What a partition or a child has from its parent is told with that. The second list of columns is that from which the
# server makes a name: of an index all, expressions too, which are called there as the server calls them.
CONSTRAINTS = f"""
SELECT k.conrelid::bigint, k.conname::text, k.contype::text, c.relname::text,
    {_commented("pg_get_constraintdef(k.oid)", "k.oid", "pg_constraint")},
    ARRAY(SELECT u.attname::text FROM unnest(k.conkey) WITH ORDINALITY i(attnum, place)
        JOIN pg_attribute u ON u.attrelid = k.conrelid AND u.attnum = i.attnum ORDER BY i.place),
    ARRAY(SELECT coalesce(u.attname, v.attname)::text FROM pg_index x
        CROSS JOIN unnest(x.indkey) WITH ORDINALITY i(attnum, place)
        JOIN pg_attribute v ON v.attrelid = x.indexrelid AND v.attnum = i.place
        LEFT JOIN pg_attribute u ON u.attrelid = k.conrelid AND u.attnum = nullif(i.attnum, 0)
        WHERE x.indexrelid = k.conindid AND k.contype IN ('u', 'x') ORDER BY i.place),
    (SELECT m.nspname::text FROM pg_class p JOIN pg_namespace m ON m.oid = p.relnamespace WHERE p.oid = k.confrelid),
    (SELECT p.relname::text FROM pg_class p WHERE p.oid = k.confrelid),
    ARRAY(SELECT u.attname::text FROM unnest(k.confkey) WITH ORDINALITY i(attnum, place)
        JOIN pg_attribute u ON u.attrelid = k.confrelid AND u.attnum = i.attnum ORDER BY i.place)
FROM {_FROM} JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x', 'f', 'c')
    AND k.conparentid = 0 AND (k.coninhcount = 0 OR k.conislocal)
WHERE {_TABLES} ORDER BY k.oid"""

INDEXES = f"""
SELECT n.nspname::text, i.relname::text, c.relname::text, x.indisunique, {
    _commented(
        "pg_get_indexdef(x.indexrelid), CASE WHEN NOT x.indisvalid THEN 'INVALID' END,"
        " CASE WHEN x.indisclustered THEN 'CLUSTERED' END, CASE WHEN x.indisreplident THEN 'REPLICA IDENTITY' END",
        "x.indexrelid",
        "pg_class",
    )
}
FROM {_FROM} JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid AND NOT i.relispartition
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = c.oid
    AND k.contype IN ('p', 'u', 'x')) ORDER BY i.oid"""

# With the column that one belongs to, and whether that takes its default from it.
SEQUENCES = f"""
SELECT n.nspname::text, c.relname::text, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
    s.seqcache, s.seqcycle, o.oid::bigint, o.relname::text, a.attname::text, format_type(a.atttypid, NULL),
    d.deptype::text, EXISTS (SELECT FROM pg_attrdef f JOIN pg_depend e ON e.classid = 'pg_attrdef'::regclass
        AND e.objid = f.oid AND e.refclassid = 'pg_class'::regclass AND e.refobjid = c.oid
        WHERE f.adrelid = d.refobjid AND f.adnum = d.refobjsubid),
    obj_description(c.oid, 'pg_class')
FROM {_FROM} JOIN pg_sequence s ON s.seqrelid = c.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
LEFT JOIN pg_class o ON o.oid = d.refobjid
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid ORDER BY c.oid"""

# The others: kind, schema, name, the table they belong to, and what they say.
THINGS = " UNION ALL ".join(
    (
        f"""SELECT 'trigger', n.nspname::text, g.tgname::text, c.relname::text, {
            _commented(
                "pg_get_triggerdef(g.oid), CASE g.tgenabled WHEN 'D' THEN 'DISABLED' WHEN 'A' THEN 'ENABLED ALWAYS'"
                " WHEN 'R' THEN 'ENABLED REPLICA' END",
                "g.oid",
                "pg_trigger",
            )
        } FROM {_FROM} JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0""",
        f"""SELECT 'policy', n.nspname::text, p.polname::text, c.relname::text, {
            _commented(
                "CASE WHEN NOT p.polpermissive THEN 'AS RESTRICTIVE' END, 'FOR ' || CASE p.polcmd WHEN '*' THEN 'ALL'"
                " WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END,"
                " 'TO ' || nullif(p.polroles::regrole[]::text, '{-}'),"
                " 'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',"
                " 'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'",
                "p.oid",
                "pg_policy",
            )
        } FROM {_FROM} JOIN pg_policy p ON p.polrelid = c.oid""",
        f"""SELECT 'rule', n.nspname::text, r.rulename::text, c.relname::text, {
            _commented("pg_get_ruledef(r.oid)", "r.oid", "pg_rewrite")
        } FROM {_FROM} JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'""",
        f"""SELECT 'statistics', n.nspname::text, s.stxname::text, c.relname::text, {
            _commented("pg_get_statisticsobjdef(s.oid)", "s.oid", "pg_statistic_ext")
        } FROM {_FROM} JOIN pg_statistic_ext s ON s.stxrelid = c.oid""",
        f"""SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
            n.nspname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', NULL, {
            _commented(
                "CASE WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', pg_get_function_result(p.oid), g.aggtransfn,"
                " nullif(g.aggfinalfn::oid, 0)::regproc, format_type(g.aggtranstype, NULL), g.agginitval)"
                " FROM pg_aggregate g WHERE g.aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END",
                "p.oid",
                "pg_proc",
            )
        } FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND /*ours*/
        WHERE {_no_extension("pg_proc", "p.oid")}""",
        f"""SELECT CASE t.typtype WHEN 'c' THEN 'composite type' WHEN 'r' THEN 'range type' ELSE 'type' END,
            n.nspname::text, t.typname::text, NULL, {
            _commented(
                "CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,"
                " CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN 'COLLATE ' ||"
                " (SELECT quote_ident(l.collname) FROM pg_collation l WHERE l.oid = t.typcollation) END,"
                " CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(t.typdefaultbin, 0),"
                " (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY pg_get_constraintdef(k.oid))"
                " FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'),"
                " (SELECT 'ENUM (' || string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) || ')'"
                " FROM pg_enum e WHERE e.enumtypid = t.oid),"
                " (SELECT '(' || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '"
                " ORDER BY a.attnum) || ')' FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0"
                " AND NOT a.attisdropped),"
                " (SELECT 'RANGE OF ' || format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)",
                "t.oid",
                "pg_type",
            )
        } FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND /*ours*/
        LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type b ON b.oid = t.typbasetype
        WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
            AND {_no_extension("pg_type", "t.oid")}""",
    )
)

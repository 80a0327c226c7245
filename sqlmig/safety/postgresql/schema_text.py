"""
A schema as PostgreSQL's catalogue describes it, compared with another.

The server words every definition in one way, so that two of them are the same when their texts are. Names are told with
their schemas, whatever the search path is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Self

from ...backends.raw import ask_any
from ..differences import Key, Schema, one_line

if TYPE_CHECKING:
    from ...backends.session import Session

__all__ = ["PostgreSQLSchema", "SchemaReader"]

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
# What an extension made is the extension's.
_NO_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = {0}::regclass AND d.objid = {1} AND d.deptype = 'e')"
)
_RELATIONS = f"""pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND {_OURS} AND c.relpersistence <> 't'
    AND {_NO_EXTENSION.format("'pg_class'", "c.oid")}"""
_KIND = """CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
    WHEN 'f' THEN 'foreign table' ELSE 'table' END"""


def _granted(acl: str, kind: str, owner: str) -> str:
    """Who may use it, where that is not as it is for everything new: what was granted and revoked leaves a trace."""
    usual = f"(SELECT string_agg(b::text, ' ' ORDER BY b::text) FROM unnest(acldefault('{kind}', {owner})) b)"
    return f"(SELECT 'granted ' || nullif(string_agg(a::text, ' ' ORDER BY a::text), {usual}) FROM unnest({acl}) a)"


# Kinds that are told in few words: their catalogues, and what of them is compared besides their names.
_OTHERS = {
    "pg_event_trigger": "concat_ws(' ', x.evtevent, x.evtfoid::regproc, x.evtenabled::text, x.evttags::text)",
    "pg_publication": "concat_ws(' ', to_jsonb(x) - 'oid' - 'pubowner',"
    " (SELECT string_agg(r.prrelid::regclass::text, ', ' ORDER BY r.prrelid::regclass::text)"
    " FROM pg_publication_rel r WHERE r.prpubid = x.oid))",
    "pg_default_acl": "(SELECT coalesce(string_agg(a::text, ' ' ORDER BY a::text), '') FROM unnest(x.defaclacl) a)",
    "pg_foreign_server": "concat_ws(' ', x.srvversion, x.srvoptions::text)",
    "pg_foreign_data_wrapper": "coalesce(x.fdwoptions::text, '')",
    "pg_language": "''",
    "pg_collation": "''",
    "pg_conversion": "''",
    "pg_cast": "''",
    "pg_operator": "''",
    "pg_opclass": "''",
    "pg_opfamily": "''",
    "pg_am": "''",
    "pg_transform": "''",
    "pg_ts_config": "''",
    "pg_ts_dict": "coalesce(x.dictinitoption, '')",
    "pg_ts_parser": "''",
    "pg_ts_template": "''",
}
# The server's own have lower numbers.
_FIRST = 16384

_LINES = (
    # Schemas and extensions.
    f"""SELECT '', 'schema', n.nspname, '',
        concat_ws(', ', 'owned by ' || n.nspowner::regrole, {_granted("n.nspacl", "n", "n.nspowner")})
    FROM pg_namespace n WHERE {_OURS} ORDER BY 3""",
    "SELECT '', 'extension', extname, '', 'version ' || extversion FROM pg_extension ORDER BY 3",
    # What tables and views are, beside their columns.
    f"""SELECT n.nspname, {_KIND}, c.relname, c.relname, concat_ws(', ', 'owned by ' || c.relowner::regrole,
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
        CASE WHEN c.relkind = 'p' THEN 'partition by ' || pg_get_partkeydef(c.oid) END,
        CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
        (SELECT 'inherits ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
            FROM pg_inherits WHERE inhrelid = c.oid),
        CASE WHEN c.relrowsecurity THEN 'row level security' END,
        CASE WHEN c.relforcerowsecurity THEN 'forced row level security' END,
        CASE WHEN c.relreplident <> 'd' THEN 'replica identity ' || c.relreplident::text END,
        'with (' || array_to_string(c.reloptions, ', ') || ')',
        (SELECT 'of ' || s.srvname || coalesce(' ' || t.ftoptions::text, '')
            FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = c.oid),
        CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'with no data' END,
        {_granted("c.relacl", "r", "c.relowner")},
        'comment ' || quote_literal(obj_description(c.oid, 'pg_class')))
    FROM {_RELATIONS} AND c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY c.oid""",
    f"""SELECT n.nspname, {_KIND}, c.relname, c.relname, concat_ws(' ', 'column ' || quote_ident(a.attname),
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || a.attcollation::regcollation END,
        CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        CASE a.attidentity WHEN 'a' THEN 'ALWAYS AS IDENTITY' WHEN 'd' THEN 'BY DEFAULT AS IDENTITY' END,
        CASE WHEN a.attgenerated <> '' THEN 'GENERATED AS (' || pg_get_expr(f.adbin, f.adrelid) || ')'
            ELSE 'DEFAULT ' || pg_get_expr(f.adbin, f.adrelid) END,
        CASE WHEN a.attstorage <> t.typstorage THEN 'STORAGE ' || a.attstorage::text END,
        CASE WHEN a.attstattarget >= 0 THEN 'STATISTICS ' || a.attstattarget END,
        {_granted("a.attacl", "c", "c.relowner")}, 'COMMENT ' || quote_literal(col_description(c.oid, a.attnum)))
    FROM {_RELATIONS} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY c.oid, a.attnum""",
    f"""SELECT n.nspname, {_KIND}, c.relname, c.relname,
        concat_ws(' ', 'constraint ' || quote_ident(k.conname), pg_get_constraintdef(k.oid))
    FROM {_RELATIONS} JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype NOT IN ('n', 't') ORDER BY k.conname""",
    # What belongs to a table and has a name of its own.
    f"""SELECT n.nspname, 'index', i.relname, c.relname, concat_ws(' ', pg_get_indexdef(x.indexrelid),
        CASE WHEN NOT x.indisvalid THEN 'INVALID' END, CASE WHEN x.indisclustered THEN 'CLUSTERED' END)
    FROM {_RELATIONS} JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
    ORDER BY 3""",
    f"""SELECT n.nspname, 'trigger', g.tgname, c.relname, pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text
    FROM {_RELATIONS} JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal ORDER BY 3""",
    f"""SELECT n.nspname, 'policy', p.polname, c.relname, concat_ws(' ', p.polcmd::text, p.polpermissive::text,
        p.polroles::regrole[]::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM {_RELATIONS} JOIN pg_policy p ON p.polrelid = c.oid ORDER BY 3""",
    f"""SELECT n.nspname, 'rule', r.rulename, c.relname, pg_get_ruledef(r.oid)
    FROM {_RELATIONS} JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN' ORDER BY 3""",
    f"""SELECT n.nspname, 'statistics', s.stxname, c.relname, pg_get_statisticsobjdef(s.oid)
    FROM {_RELATIONS} JOIN pg_statistic_ext s ON s.stxrelid = c.oid ORDER BY 3""",
    f"""SELECT n.nspname, {_KIND}, c.relname, c.relname, pg_get_viewdef(c.oid)
    FROM {_RELATIONS} AND c.relkind IN ('v', 'm') ORDER BY 3""",
    f"""SELECT n.nspname, 'sequence', c.relname, coalesce(o.relname, ''), concat_ws(' ',
        format_type(s.seqtypid, NULL), 'start', s.seqstart, 'by', s.seqincrement, 'from', s.seqmin, 'to', s.seqmax,
        CASE WHEN s.seqcycle THEN 'cycle' END, 'of ' || o.oid::regclass || '.' || (SELECT a.attname
            FROM pg_attribute a WHERE a.attrelid = d.refobjid AND a.attnum = d.refobjsubid),
        'owned by ' || c.relowner::regrole, {_granted("c.relacl", "s", "c.relowner")},
        'comment ' || quote_literal(obj_description(c.oid, 'pg_class')))
    FROM {_RELATIONS} JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass
    LEFT JOIN pg_class o ON o.oid = d.refobjid ORDER BY 3""",
    # Functions and types.
    f"""SELECT n.nspname, CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
        p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '',
        concat_ws(' ', CASE WHEN p.prokind = 'a' THEN pg_get_function_result(p.oid)
            ELSE pg_get_functiondef(p.oid) END, 'owned by ' || p.proowner::regrole,
            {_granted("p.proacl", "f", "p.proowner")})
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND {_OURS}
    WHERE {_NO_EXTENSION.format("'pg_proc'", "p.oid")} ORDER BY 3""",
    f"""SELECT n.nspname, CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typname, '', concat_ws(' ',
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
        CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || t.typdefault,
        (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k
            WHERE k.contypid = t.oid),
        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e
            WHERE e.enumtypid = t.oid),
        (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
            FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid),
        'owned by ' || t.typowner::regrole, {_granted("t.typacl", "T", "t.typowner")})
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace AND {_OURS}
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
        AND {_NO_EXTENSION.format("'pg_type'", "t.oid")} ORDER BY 3""",
    " UNION ALL ".join(
        f"""SELECT '', o.type, o.identity, '', {words} FROM {catalogue} x,
            pg_identify_object('{catalogue}'::regclass, x.oid, 0) o
        WHERE x.oid >= {_FIRST} AND {_NO_EXTENSION.format(f"'{catalogue}'", "x.oid")}"""
        for catalogue, words in _OTHERS.items()
    )
    + " ORDER BY 2, 3",
    # Those of tables and their like are told with them.
    f"""SELECT '', 'comment on', o.type || ' ' || o.identity, coalesce(i.indrelid::regclass::text, ''), d.description
    FROM pg_description d LEFT JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND c.oid = d.objoid
    LEFT JOIN pg_index i ON i.indexrelid = c.oid, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
    WHERE (c.oid IS NULL OR c.relkind NOT IN ('r', 'p', 'f', 'v', 'm', 'S'))
        AND (d.objoid >= {_FIRST} OR d.classoid = 'pg_namespace'::regclass AND d.objoid = to_regnamespace('public'))
        AND d.classoid <> 'pg_extension'::regclass
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
    ORDER BY 3""",
)


class PostgreSQLSchema(Schema):
    """All objects of a database that are neither temporary nor an extension's."""

    @classmethod
    def read(cls, raw: Any, ignored: Collection[str], usual: str) -> Self:
        """
        Read it off a connection, in the transaction that is open.

        Args:
            ignored: Tables that are records of migrations, in lower case; they and theirs are left out.
            usual: The schema that is not named.
        """
        [[path]] = ask_any(raw, "SELECT current_setting('search_path')")
        lines: defaultdict[Key, list[str]] = defaultdict(list)
        tables: dict[Key, str] = {}
        # What is not on the path is worded with its schema.
        ask_any(raw, "SELECT set_config('search_path', '', true)")
        for query in _LINES:
            for schema, kind, name, table, line in ask_any(raw, query):
                if table.lower() not in ignored:
                    key = Key("" if schema == usual else schema, kind, _of_table(kind, name, table))
                    lines[key].append(line)
                    tables[key] = table
        ask_any(raw, f"SELECT set_config('search_path', '{path.replace(chr(39), chr(39) * 2)}', true)")
        return cls({key: "\n".join(found) for key, found in lines.items()}, tables, {})

    def is_same(self, before: str, after: str) -> bool:
        """Whether two definitions are one text."""
        return before == after

    def changes(self, key: Key, before: str, after: str) -> Iterator[str]:
        """Columns, constraints and properties of a table."""
        if key.kind not in ("table", "foreign table"):
            return
        was, now = (Counter(text.splitlines()) for text in (before, after))
        gone, new = list((was - now).elements()), list((now - was).elements())
        for line in list(gone):
            other = next((one for one in new if _subject(one) == _subject(line)), None)
            if other is not None:
                gone.remove(line)
                new.remove(other)
                yield f"{one_line(line)} -> {one_line(other)}"
        yield from (f"- {one_line(line)}" for line in gone)
        yield from (f"+ {one_line(line)}" for line in new)
        old, order = (_columns(text) for text in (before, after))
        if [name for name in old if name in order] != [name for name in order if name in old]:
            yield f"columns in another order: {', '.join(order)}"


class SchemaReader:
    """Reads the schema of one database again and again, without the name of the schema that was usual at first."""

    _usual: str | None = None

    def __call__(self, session: Session, ignored: Collection[str]) -> PostgreSQLSchema:
        """
        As the catalogue describes it now.

        Args:
            ignored: As in `PostgreSQLSchema.read`.
        """
        if self._usual is None:
            # Once: a migration may make a schema that comes before it.
            [[usual]] = ask_any(session.raw, "SELECT coalesce(current_schema(), '')")
            self._usual = str(usual)
        found = PostgreSQLSchema.read(session.raw, ignored, self._usual)
        if not session.in_transaction:
            # The driver has begun one by itself.
            session.raw.rollback()
        return found


def _of_table(kind: str, name: str, table: str) -> str:
    """Triggers, policies and rules of two tables may have one name."""
    return f"{name} on {table}" if kind in ("trigger", "policy", "rule") else name


def _subject(line: str) -> str:
    """What a line of a table is about."""
    words = line.split(" ", 2)
    return " ".join(words[:2]) if words[0] in ("column", "constraint") else ""


def _columns(text: str) -> list[str]:
    return [line.split(" ", 2)[1] for line in text.splitlines() if line.startswith("column ")]

"""What is asked of information_schema for the shape of a database of MariaDB or MySQL: for all tables at once."""

from __future__ import annotations

__all__ = [
    "CHECKS",
    "CHECKS_OF_MYSQL",
    "COLUMNS",
    "EVENTS",
    "FACTS",
    "FOREIGN_KEYS",
    "PARAMETERS",
    "PARTITIONS",
    "ROUTINES",
    "TABLES",
    "TRIGGERS",
    "VERSION",
    "VIEWS",
    "indexes",
    "sequences",
]

VERSION = "SELECT VERSION()"
# The collation of the database, and the engine that tables have which name none.
FACTS = "SELECT DATABASE(), @@collation_database, @@default_storage_engine"

TABLES = """
SELECT table_name, table_type, engine, table_collation, create_options, table_comment
FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY create_time, table_name"""

COLUMNS = """
SELECT table_name, column_name, column_type, is_nullable, column_default, extra, collation_name,
    generation_expression, column_comment
FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"""

_INDEXES = """
SELECT table_name, index_name, non_unique, column_name, collation, sub_part, index_type, index_comment, {0}
FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index"""

FOREIGN_KEYS = """
SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name,
    k.referenced_column_name, r.update_rule, r.delete_rule
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
    ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name
    AND r.table_name = k.table_name
WHERE k.table_schema = DATABASE() AND k.constraint_schema = DATABASE() AND r.constraint_schema = DATABASE()
    AND k.referenced_table_name IS NOT NULL
ORDER BY k.table_name, k.constraint_name, k.ordinal_position"""

CHECKS = """
SELECT table_name, constraint_name, check_clause, level
FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()"""
CHECKS_OF_MYSQL = """
SELECT t.table_name, c.constraint_name, c.check_clause, 'Table' FROM information_schema.check_constraints c
JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema
    AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK'
WHERE t.table_schema = DATABASE() AND c.constraint_schema = DATABASE()"""

PARTITIONS = """
SELECT table_name, partition_name, subpartition_name, partition_method, subpartition_method, partition_expression,
    subpartition_expression, partition_description
FROM information_schema.partitions WHERE table_schema = DATABASE() AND partition_name IS NOT NULL
ORDER BY table_name, partition_ordinal_position, subpartition_ordinal_position"""

VIEWS = """
SELECT table_name, view_definition, check_option, security_type
FROM information_schema.views WHERE table_schema = DATABASE() ORDER BY table_name"""

TRIGGERS = """
SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement
FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY event_object_table, trigger_name"""

ROUTINES = """
SELECT routine_type, routine_name, specific_name, dtd_identifier, is_deterministic, sql_data_access, security_type,
    routine_comment, routine_definition
FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY routine_type, routine_name"""
PARAMETERS = """
SELECT specific_name, routine_type, parameter_mode, parameter_name, dtd_identifier
FROM information_schema.parameters WHERE specific_schema = DATABASE() AND ordinal_position > 0
ORDER BY specific_name, ordinal_position"""

EVENTS = """
SELECT event_name, event_type, execute_at, interval_value, interval_field, status, on_completion, event_definition
FROM information_schema.events WHERE event_schema = DATABASE() ORDER BY event_name"""


def indexes(*, mariadb: bool, version: tuple[int, ...]) -> str:
    """The query for indexes; what is said of one that queries pass over has another name on each server."""
    if mariadb:
        ignored = "CASE WHEN ignored = 'YES' THEN 'IGNORED' END" if version >= (10, 6) else "NULL"
        return _INDEXES.format(f"{ignored}, NULL")
    return _INDEXES.format("CASE WHEN is_visible = 'NO' THEN 'INVISIBLE' END, expression")


def sequences(names: list[str]) -> str:
    """What is said of these sequences of MariaDB's, each of which is a table with one row."""
    return " UNION ALL ".join(
        f"SELECT {place}, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option FROM {name}"
        for place, name in enumerate(names)
    )

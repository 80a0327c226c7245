"""
People who use the library: accounts, sessions and keys for programs.

Passwords and tokens are kept as hashes only. There is no way back: the accounts that people made are not this
migration's to delete.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    func,
    true,
)

from sqlmig import BaseMigration

metadata = MetaData()
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("email", String(254), nullable=False, unique=True),
    Column("password_hash", String(128), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("created_at", DateTime, nullable=False, server_default=func.current_timestamp()),
    CheckConstraint("email LIKE '%_@_%'", name="ck_users_email"),
)
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("expires_at", DateTime, nullable=False),
)
Index("idx_sessions_expires_at", sessions.c.expires_at)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("last_used_at", DateTime),
)


class AddAuthenticationTables(BaseMigration):
    version = 6
    description = "Users, sessions and API keys"
    rollback_supported = False

    def up(self) -> None:
        for table in (users, sessions, api_keys):
            self.create_table_if_not_exists(table)

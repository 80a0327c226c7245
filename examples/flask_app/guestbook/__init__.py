"""A guest book."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, current_app, jsonify, request
from sqlalchemy import create_engine, text

from sqlmig import Migrator

MIGRATIONS = Path(__file__).parents[1] / "migrations" / "versions"


def create_app(database: str | None = None) -> Flask:
    """The application, on a database that is at its version."""
    engine = create_engine(database or os.environ.get("GUESTBOOK_DATABASE", "sqlite:///guestbook.db"))
    # Not in the parent of forked workers, who must not share its connections: each of them calls this.
    Migrator(engine, MIGRATIONS, lock_timeout=30).migrate()
    app = Flask(__name__)
    app.extensions["engine"] = engine
    app.add_url_rule("/", view_func=entries)
    app.add_url_rule("/", view_func=sign, methods=["POST"])
    return app


def entries():
    with current_app.extensions["engine"].connect() as connection:
        rows = connection.execute(text("SELECT guest, body, mood FROM entries ORDER BY id"))
        return jsonify([dict(row) for row in rows.mappings()])


def sign():
    with current_app.extensions["engine"].begin() as connection:
        said = {"guest": request.form["guest"], "body": request.form["body"]}
        connection.execute(text("INSERT INTO entries (guest, body) VALUES (:guest, :body)"), said)
    return "Thank you.\n", 201

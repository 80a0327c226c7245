"""How an application stands when it migrates: the contexts and the first tables that projects.py names."""

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def mlflow_tables(engine: Any) -> None:
    """The history begins with tables that the first releases made by create_all."""
    from mlflow.store.tracking.dbmodels.initial_models import Base

    Base.metadata.create_all(engine)


@contextmanager
def flask_app(words: dict[str, str], db: Any, **settings: Any) -> Iterator[Any]:
    """A Flask application with Flask-Migrate, and its context."""
    from flask import Flask
    from flask_migrate import Migrate

    app = Flask("corpora")
    app.config.update(settings, SQLALCHEMY_DATABASE_URI=words["url"])
    db.init_app(app)
    Migrate(app, db)
    with app.app_context():
        yield app


@contextmanager
def ihatemoney(words: dict[str, str]) -> Iterator[None]:
    from ihatemoney.models import db

    with flask_app(words, db):
        yield


@contextmanager
def pgadmin(words: dict[str, str]) -> Iterator[None]:
    found = importlib.util.find_spec("pgadmin4")
    assert found is not None
    assert found.submodule_search_locations
    sys.path.insert(0, next(iter(found.submodule_search_locations)))
    import config  # pgadmin's own, which must come first
    from flask import g
    from flask_babel import Babel
    from pgadmin.model import SCHEMA_VERSION, db

    config.SETTINGS_SCHEMA_VERSION = SCHEMA_VERSION

    with flask_app(words, db) as app:
        Babel(app)
        g.x_arg = []
        yield


@contextmanager
def privacyidea(words: dict[str, str]) -> Iterator[None]:
    from flask_babel import Babel
    from privacyidea.models import db

    with flask_app(words, db) as app:
        Babel(app)
        yield


@contextmanager
def keystone(_words: dict[str, str]) -> Iterator[None]:
    import keystone.conf

    keystone.conf.configure()
    keystone.conf.CONF([], project="keystone", default_config_files=[])
    yield


@contextmanager
def glance(words: dict[str, str]) -> Iterator[None]:
    from glance.db.sqlalchemy import api  # noqa: F401  (registers what the migrations read)
    from oslo_config import cfg
    from oslo_db import options

    options.set_defaults(cfg.CONF, connection=words["url"])
    if not cfg.CONF._args:
        cfg.CONF([], project="glance", default_config_files=[])
    yield


@contextmanager
def dagster(words: dict[str, str]) -> Iterator[None]:
    from dagster import DagsterInstance
    from dagster._core.storage.migration.utils import upgrading_instance

    with DagsterInstance.local_temp(words["folder"]) as instance, upgrading_instance(instance):
        yield


def in_worker_thread(call: Callable[..., None], *arguments: str) -> None:
    """Call as an asynchronous application calls what blocks: in a worker thread of its running event loop."""
    import anyio
    import anyio.to_thread

    anyio.run(anyio.to_thread.run_sync, functools.partial(call, *arguments))

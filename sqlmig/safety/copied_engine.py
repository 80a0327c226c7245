"""
An engine on the copy of a database, which connects as the application's own does.

Its connections are made by the pool's own creator, with everything that the application gave to `create_engine`, and
the listeners of the application's pool and engine: functions, collations, PRAGMAs, the way transactions are begun. Only
the path is exchanged, and every connection is asked which files it has open before anything runs on it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, Dialect, Engine
from sqlalchemy.pool import StaticPool

from ..backends.sqlite import quoted
from ..errors import ConfigurationError
from .fence import AUTHORIZER, Fence
from .source import Source, files_of

__all__ = ["connect_with", "connects_plainly", "engine_like", "engine_on", "given_path", "listen_as", "told"]


def connects_plainly(engine: Engine) -> bool:
    """Whether the engine has a `creator` of its own, which cannot be told to open another file."""
    creator: Any = engine.pool._creator
    return getattr(creator, "__module__", None) != "sqlalchemy.engine.create"


def given_path(engine: Engine) -> str:
    """What the engine's own creator opens: the path as it was when the engine was made, wherever the process is now."""
    return str(told(engine.pool._creator)["cargs_tup"][0])


def told(creator: Any) -> Mapping[str, Any]:
    """What `create_engine` gave to the creator that it made."""
    return inspect.getclosurevars(creator).nonlocals


@contextmanager
def engine_on(
    original: Engine, source: Source, path: str, attached: Mapping[str, str], fill: Callable[[Any], None] | None
) -> Iterator[Engine]:
    """
    An engine whose every connection is to the copy at *path*, until the end of the block.

    Args:
        source: What the application's connections are like.
        path: The copy's file; ":memory:" for one connection, which *fill* is called with when it is made.
        attached: The copies of attached files, by the names they are attached as.

    Raises:
        ConfigurationError: The application's way of connecting leads elsewhere; nothing was run there.
    """
    own = "" if path == ":memory:" else path
    fence = Fence([file for file in (own, *attached.values()) if file])

    def connect(record: Any) -> Any:
        raw = _plain(original, source, path) if connects_plainly(original) else _to_file(original, path, record)
        _require(raw, {"main": own})
        if fill is not None:
            fill(raw)
        return raw

    def settle(raw: Any, _record: object) -> None:
        """After the application's own listeners: have the copies of what they attached in its place."""
        for name, file in files_of(raw).items():
            if file and name != "main" and name in attached and not _same(file, attached[name]):
                cursor = raw.cursor()
                cursor.execute(f"DETACH {quoted(name)}")
                cursor.execute(f"ATTACH ? AS {quoted(name)}", (attached[name],))
        _require(raw, {"main": own, **attached})
        raw.set_authorizer(fence)

    url = URL.create(original.url.drivername, database=path)
    with engine_like(original, url, connect, settle, alone=path == ":memory:", options={AUTHORIZER: fence}) as engine:
        yield engine


@contextmanager
def engine_like(
    original: Engine,
    url: URL,
    connect: Callable[[Any], Any],
    settle: Callable[[Any, object], None],
    *,
    alone: bool = False,
    options: Mapping[str, Any] | None = None,
    dialect: Dialect | None = None,
) -> Iterator[Engine]:
    """
    An engine with the pool, the options and the listeners of another, until the end of the block.

    Args:
        connect: Makes its connections; it is given the pool's record of one.
        settle: Called with each, after the application's own listeners.
        alone: Whether there must be one connection only.
        options: Execution options beside the original's.
        dialect: Where it must not be the original's.
    """
    connect_: Any = connect
    # The class's: the pool's own may ask who connects.
    pool = type(original.pool).recreate(original.pool)
    if alone:
        # A second connection would be to a database of its own.
        listeners = pool.dispatch
        pool = StaticPool(connect_, dialect=original.dialect)
        pool.dispatch._update(listeners, only_propagate=False)
    pool._creator = connect_
    event.listen(pool, "connect", settle)
    options = {**original.get_execution_options(), "sqlmig_rehearsal": original, **(options or {})}
    used = dialect or original.dialect
    engine = Engine(pool, used, url, execution_options=options, hide_parameters=original.hide_parameters)
    listen_as(engine, original)
    try:
        yield engine
    finally:
        engine.dispose()


def listen_as(engine: Engine, original: Engine) -> None:
    """
    Give *engine* the listeners of another; of one made by `execution_options()`, those of the engine below it as well.

    What listens to the class Engine is there already.
    """
    ours: Any = engine.dispatch
    theirs: Any = original.dispatch
    for name in ours._event_names:
        there = list(getattr(ours, name))
        missing = [listener for listener in getattr(theirs, name) if listener not in there]
        if missing:
            getattr(ours, name).for_modify(ours).listeners.extend(missing)
    engine._has_events = engine._has_events or original._has_events


def _to_file(original: Engine, path: str, record: Any) -> Any:
    def lead(arguments: list[Any], _options: dict[str, Any]) -> None:
        arguments[:1] = [path]

    return connect_with(original, lead, record)


def connect_with(original: Engine, lead: Callable[[list[Any], dict[str, Any]], None], record: Any) -> Any:
    """
    Do what the creator does that `create_engine` makes, with *lead* changing what the driver is called with.

    The application's own listeners may connect by themselves, with what they are given.
    """
    dialect: Any = original.dialect
    creator = told(original.pool._creator)
    arguments, options = list(creator["cargs_tup"]), dict(creator["cparams"])
    for listener in list(dialect.dispatch.do_connect):
        lead(arguments, options)
        made = listener(dialect, record, arguments, options)
        if made is not None:
            return made
    lead(arguments, options)
    return dialect.connect(*arguments, **options)


def _plain(original: Engine, source: Source, path: str) -> Any:
    """A connection of the driver's own with what could be read off one of the application's."""
    raw: Any = original.dialect.loaded_dbapi.connect(path, check_same_thread=False)
    for name, value in source.attributes.items():
        setattr(raw, name, value)
    for name, value in source.pragmas.items():
        raw.cursor().execute(f"PRAGMA {name} = {value}")
    return raw


def _require(raw: Any, expected: Mapping[str, str]) -> None:
    found = files_of(raw)
    for name, file in found.items():
        if not _same(file, expected.get(name, "")):
            raise ConfigurationError(
                f"A connection for the rehearsal leads to {file or 'another database'}, and not to the copy.\n"
                "  The engine connects, or attaches files, in a way of its own; nothing was run there\n"
                "Rehearse with an engine whose database is in its URL, or a copy that you make: Migrator(copy, ...)"
            )


def _same(file: str, other: str) -> bool:
    return file == other or bool(file and other and os.path.realpath(file) == os.path.realpath(other))

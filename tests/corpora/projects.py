"""The real applications: what is installed, where the history is, and what it needs around it. Only data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Project:
    """
    An application whose history real Alembic takes to head on SQLite.

    Places are written "package:path inside it". In the values of *options* and *environment* stand {url}, {path} and
    {folder} for the database's, and a value that begins with "@" is a place.
    """

    name: str
    requirements: tuple[str, ...]
    revisions: int
    scripts: str = ""  # the place of script_location, empty: the ini file says it
    ini: str = ""
    listed: str = ""  # the version_locations that env.py itself sets, for the probe to list the revisions
    section: str = "alembic"
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opening: str = ""  # the context in openings.py around everything
    prepare: str = ""  # the function in openings.py that makes what the history expects
    caller: str = ""  # the function in openings.py that calls each step
    hands_connection: bool = False  # Alembic is given config.attributes["connection"]
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # SQL to run when a revision is reached
    seeded: bool = True  # sample rows after every revision
    sparse: bool = True  # of two sample rows the second has nothing in the columns that may be NULL
    values: Mapping[str, Any] = field(default_factory=dict)  # of sample rows, "table.column"; a tuple is one for each
    leave: tuple[str, ...] = ()  # tables without sample rows
    volatile: tuple[str, ...] = ()  # columns that a migration fills with the time or at random
    loses_rows: bool = False  # under foreign_keys=ON Alembic itself deletes rows that the migrations made
    imported_not: str = ""  # why it cannot be run as imported migrations
    reduced: bool = False  # in the set that CI runs
    python: tuple[int, int] = (3, 13)  # the newest that it installs on


PROJECTS = (
    Project(
        "optuna",
        ("optuna==5.0.0", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        10,
        scripts="optuna:storages/_rdb/alembic",
        values={
            "study_directions.direction": "MINIMIZE",
            "studies.direction": "MINIMIZE",
            "trials.state": "COMPLETE",
            "trial_params.distribution_json": '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 9}}',
        },
        ini="optuna:storages/_rdb/alembic.ini",
        reduced=True,
        sparse=False,
    ),
    Project(
        "ihatemoney",
        ("ihatemoney==7.2.1", "alembic==1.20.1", "SQLAlchemy==2.0.58"),
        13,
        scripts="ihatemoney:migrations",
        ini="ihatemoney:migrations/alembic.ini",
        opening="ihatemoney",
        values={"project.password": ("one", "two")},
        volatile=("project.password",),
    ),
    Project(
        "mlflow",
        ("mlflow==3.17.2", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        67,
        scripts="mlflow.store:db_migrations",
        ini="mlflow.store:db_migrations/alembic.ini",
        prepare="mlflow_tables",
        volatile=("jobs.last_update_time",),
    ),
    Project(
        "meltano",
        ("meltano==4.4.1", "alembic==1.20.1", "SQLAlchemy==2.0.58"),
        16,
        scripts="meltano:migrations",
        hands_connection=True,
        values={"*.payload": "{}"},
        leave=("job", "runs"),
    ),
    Project(
        "tiled",
        ("tiled[server]==0.2.20", "alembic==1.20.1", "SQLAlchemy==2.0.58"),
        14,
        scripts="tiled:authn_database/migrations",
        options={"sqlalchemy.url": "sqlite+aiosqlite:///{path}"},
        rows={
            "481830dd6c11": (
                "INSERT INTO roles (name, description, scopes) VALUES ('admin', 'a', '[\"read:metadata\"]')",
                "INSERT INTO roles (name, description, scopes) VALUES ('user', 'u', '[\"read:metadata\"]')",
            )
        },
        values={"*.scopes": '["read:metadata"]'},
        volatile=("*.time_created", "*.time_updated"),
    ),
    Project(
        "aiida-zip",
        ("aiida-core==2.9.4", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        4,
        scripts="aiida.storage:sqlite_zip/migrations",
        hands_connection=True,
    ),
    Project(
        "aiida-dos",
        ("aiida-core==2.9.4", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        2,
        scripts="aiida.storage:sqlite_dos/migrations",
        attributes={"aiida_profile": "corpora"},
        hands_connection=True,
    ),
    Project(
        "pgadmin4",
        ("pgadmin4==9.18", "argon2-cffi==25.1.0", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        53,
        scripts="pgadmin4:migrations",
        ini="pgadmin4:migrations/alembic.ini",
        opening="pgadmin",
        environment={"PGADMIN_SETUP_EMAIL": "one@example.org", "PGADMIN_SETUP_PASSWORD": "corpora"},
        values={"*.port": 5432, "server.ssl_mode": "prefer", "*.sslmode": "prefer"},
        sparse=False,
        volatile=("keys.value", "user.password", "user.fs_uniquifier"),
        loses_rows=True,
        imported_not="its revisions use alembic.context, as the import says",
    ),
    Project(
        "keystone",
        ("keystone==30.0.0", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        10,
        scripts="keystone.common:sql/migrations",
        ini="keystone.common:sql/alembic.ini",
        opening="keystone",
        options={
            "version_locations": ":".join(
                f"@keystone.common:sql/migrations/versions/{folder}"
                for folder in (
                    "",
                    *("yoga/expand", "yoga/contract", "bobcat/expand", "bobcat/contract"),
                    *("2024.1/expand", "2025.2/expand", "2026.1/expand"),
                )
            )
        },
    ),
    Project(
        "glance",
        ("glance==33.0.0", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        29,
        scripts="glance.db:sqlalchemy/alembic_migrations",
        ini="glance.db:sqlalchemy/alembic_migrations/alembic.ini",
        opening="glance",
        rows={"ocata_expand01": ("UPDATE images SET visibility = 'private'",)},
    ),
    Project(
        "skypilot-state",
        ("skypilot==0.14.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        24,
        ini="sky:setup_files/alembic.ini",
        section="state_db",
    ),
    Project(
        "skypilot-jobs",
        ("skypilot==0.14.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        27,
        ini="sky:setup_files/alembic.ini",
        section="spot_jobs_db",
    ),
    Project(
        "skypilot-serve",
        ("skypilot==0.14.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        4,
        ini="sky:setup_files/alembic.ini",
        section="serve_db",
    ),
    Project(
        "dstack",
        ("dstack[server]==0.22.5", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        141,
        scripts="dstack:_internal/server/migrations",
        options={"recursive_version_locations": "true"},
        hands_connection=True,
        sparse=False,
        leave=("projects",),
        volatile=("users.created_at", "gateway_computes.app_updated_at"),
    ),
    Project(
        "argilla-server",
        ("argilla-server==2.8.0", "alembic==1.13.3", "SQLAlchemy==2.0.58"),
        24,
        scripts="argilla_server:alembic",
        ini="argilla_server:alembic.ini",
        environment={"ARGILLA_DATABASE_URL": "{url}", "ARGILLA_HOME_PATH": "{folder}"},
        volatile=("datasets_users.inserted_at", "datasets_users.updated_at"),
    ),
    Project(
        "prefect",
        ("prefect==3.9.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        115,
        ini="prefect.server:database/alembic.ini",
        scripts="prefect.server:database/_migrations",
        environment={"PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///{path}", "PREFECT_HOME": "{folder}"},
        caller="in_worker_thread",
        listed="@prefect.server:database/_migrations/versions/sqlite",
        sparse=False,
        leave=(
            "block",
            "block_data",
            "block_schema",
            "block_spec",
            "block_document",
            "block_type",
            "automation_event_follower",
            "concurrency_limit_v2",
        ),
        volatile=(
            *("*.created", "*.updated", "artifact.id", "artifact_collection.id", "deployment_schedule.id"),
            *("work_pool.id", "work_pool.default_queue_id", "work_queue.id", "work_queue.work_pool_id"),
        ),
    ),
    Project(
        "dagster",
        ("dagster==1.13.29", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        88,
        scripts="dagster:_core/storage/alembic",
        ini="dagster:_core/storage/runs/sqlite/alembic/alembic.ini",
        opening="dagster",
        hands_connection=True,
    ),
    Project(
        "arize-phoenix",
        ("arize-phoenix==20.26.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        35,
        scripts="phoenix:db/migrations",
        ini="phoenix:db/alembic.ini",
        options={"sqlalchemy.url": "sqlite+aiosqlite:///{path}"},
        volatile=("*.created_at", "*.updated_at"),
    ),
    Project(
        "langflow",
        ("langflow-base==1.13.0", "alembic==1.18.5", "SQLAlchemy==2.0.58"),
        162,
        scripts="langflow:alembic",
        ini="langflow:alembic.ini",
        options={"sqlalchemy.url": "sqlite+aiosqlite:///{path}"},
        sparse=False,
        leave=("sso_config",),
        volatile=(
            *("*.created_at", "*.updated_at", "authz_role.id", "authz_role_assignment.role_id"),
            *("authz_role_assignment_grant.id", "authz_team_member_grant.id"),
        ),
    ),
    Project(
        "airflow",
        ("apache-airflow-core==3.3.2", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        124,
        scripts="airflow:migrations",
        ini="airflow:alembic.ini",
        environment={"AIRFLOW_HOME": "{folder}", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "{url}"},
        sparse=False,
        leave=("backfill", "xcom", "task_instance_history", "serialized_dag", "dag_bundle_team"),
        volatile=(
            *("log_template.created_at", "callback.created_at", "deadline.created_at", "deadline.last_updated_at"),
            *("callback.id", "deadline.callback_id", "team.id"),
            *("task_instance.id", "hitl_detail.ti_id", "task_instance_note.ti_id", "task_reschedule.ti_id"),
        ),
    ),
    Project(
        "open-webui",
        ("open-webui==0.12.4", "alembic==1.18.4", "SQLAlchemy==2.0.50"),
        66,
        scripts="open_webui:migrations",
        ini="open_webui:alembic.ini",
        environment={"DATABASE_URL": "{url}", "DATA_DIR": "{folder}", "WEBUI_SECRET_KEY": "corpora"},
        values={"document.content": "{}", "chat.chat": "{}", "*.meta": "{}", "*.data": "{}"},
        sparse=False,
        imported_not="its revisions use alembic.context, as the import says",
        leave=("channel_member", "model"),
        volatile=(
            *("*.created_at", "*.updated_at", "*.version_id"),
            *("function_history.id", "skill_history.id", "tool_history.id"),
            *("prompt.id", "prompt_history.id", "prompt_history.prompt_id"),
            *("access_grant.id", "access_grant.resource_id"),
        ),
    ),
    Project(
        "aim",
        ("aim==3.29.1", "alembic==1.20.1", "SQLAlchemy==2.1.9"),
        6,
        scripts="aim:storage/migrations",
        ini="aim:storage/migrations/alembic.ini",
        environment={"AIM_RUN_META_DATA_DB_URL": "{url}"},
    ),
    Project(
        "fief",
        ("fief-server==0.27.0", "alembic==1.12.0", "SQLAlchemy==2.0.20"),
        6,
        scripts="fief:alembic",
        ini="fief:alembic.ini",
        options={
            "target_base": "MainBase",
            "version_table_name": "alembic_version",
            "version_locations": "@fief:alembic/main_versions",
        },
        environment={
            "SECRET": "corpora",
            "ENCRYPTION_KEY": "hFRGBYrDeqfXSQ4wTiGWUXBuQiuNJJZgnlNBcHUKCG0=",
            "FIEF_CLIENT_ID": "id",
            "FIEF_CLIENT_SECRET": "secret",
            "FIEF_MAIN_USER_EMAIL": "one@example.org",
        },
    ),
)
NAMED = {project.name: project for project in PROJECTS}

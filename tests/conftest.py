"""What tests of every room share: real databases of both kinds and a real S3 server, all on this machine."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from models.db.engine import make_engine
from models.db.schema import migrate
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this test process. Skips, and says why, only where the wheel cannot start one."""
    try:
        server = PostgresServer().__enter__()
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a migrated database that new ones are copied from."""
    postgres.sql("CREATE DATABASE template_desk")
    engine = make_engine(postgres.url("template_desk"))
    migrate(engine)
    engine.dispose()
    return "template_desk"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that new ones are copied from."""
    path = tmp_path_factory.mktemp("template") / "desk.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()  # the last connection closes: the WAL is folded into the file
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, of each kind."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    yield from _new_database(request.getfixturevalue("postgres"))


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated, empty desk's database, of each kind (other processes may open it too)."""
    if database_kind == "sqlite":
        path = tmp_path / "desk.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    like = f"TEMPLATE {request.getfixturevalue('postgres_template')} STRATEGY FILE_COPY"
    yield from _new_database(request.getfixturevalue("postgres"), like)


def _new_database(server: PostgresServer, like: str = "") -> Iterator[str]:
    """The URL of a database that is there until the iterator goes on."""
    name = f"t{uuid4().hex}"
    server.sql(f"CREATE DATABASE {name} {like}")
    yield server.url(name)
    server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a fresh, migrated, empty desk's database: the test runs on SQLite and on PostgreSQL."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3:
    """A bucket on a local S3 server."""

    endpoint: str
    bucket: str

    @property
    def url(self) -> str:
        """What models/blobs/store.py and the `blobs` setting understand; the keys come from the environment."""
        return f"s3://{self.bucket}?endpoint={self.endpoint}&region=us-east-1"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A fresh bucket on a real (moto) S3 server on loopback; AWS_* variables are set for this test."""
    from urllib.request import Request, urlopen

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    bucket = f"b{uuid4().hex}"
    urlopen(Request(f"{s3_endpoint}/{bucket}", method="PUT")).close()
    return S3(endpoint=s3_endpoint, bucket=bucket)

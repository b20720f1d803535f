"""A PostgreSQL server that takes no writes: an outage for who writes, nothing for who reads, a fault where we err."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from models.db.engine import is_outage, make_engine, reading, retrying, transaction
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres

WRITE = sa.text("INSERT INTO counted VALUES (1)")


@pytest.fixture
def standby() -> Iterator[PostgresServer]:
    with PostgresServer() as primary:
        primary.sql("CREATE TABLE counted (one integer)")
        made = PostgresServer.standby_of(primary)
        try:
            yield made
        finally:
            made.__exit__(None, None, None)


def _write(engine: sa.Engine) -> None:
    with transaction(engine, snapshot=True) as session:
        session.connection().execute(WRITE)


def test_f16_a_write_waits_for_the_promotion(standby: PostgresServer) -> None:
    """Also on a connection that only read before: psycopg must not begin with READ WRITE there."""
    engine = make_engine(standby.url("postgres"))
    with reading(engine) as session:
        assert session.connection().execute(sa.text("SELECT count(*) FROM counted")).scalar() == 0
    with pytest.raises(DBAPIError) as met:
        _write(engine)
    assert is_outage(met.value)
    waited: list[float] = []

    def promote_then(seconds: float) -> None:
        if not waited:
            standby.promote()
        waited.append(seconds)

    retrying(lambda: _write(engine), sleep=promote_then)
    assert waited
    engine.dispose()


def test_f16_no_connection_to_a_server_that_refuses_writes_stays_in_the_pool(postgres: PostgresServer) -> None:
    postgres.sql("CREATE DATABASE refusing")
    engine = make_engine(postgres.url("refusing"))
    with transaction(engine) as session:
        session.connection().execute(sa.text("CREATE TABLE counted (one integer)"))
    engine.dispose()
    postgres.sql("ALTER DATABASE refusing SET default_transaction_read_only = on")  # for connections from now on
    with pytest.raises(DBAPIError) as met:
        _write(engine)
    assert is_outage(met.value)
    postgres.sql("ALTER DATABASE refusing SET default_transaction_read_only = off")
    _write(engine)
    engine.dispose()
    postgres.sql("DROP DATABASE refusing")


def test_a_write_where_we_only_read_is_our_fault(postgres: PostgresServer) -> None:
    engine = make_engine(postgres.url("postgres"))
    with pytest.raises(DBAPIError) as met, reading(engine) as session:
        session.connection().execute(sa.text("CREATE TABLE counted (one integer)"))
    assert not is_outage(met.value)
    engine.dispose()

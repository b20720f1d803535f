"""migrations/: a desk with data in it comes to the newest schema, on both databases."""

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from models.db.engine import make_engine
from models.db.schema import configured, is_current, migrate, newest

ROWS = """
INSERT INTO customer (id, name, language, zone, colleagues, needs_belief, seats, created)
    VALUES (1, 'Acme', 'en', 'UTC', 'hold', false, 2, '2026-01-01');
INSERT INTO contact (id, name, created)
    VALUES (1, 'Lucía', '2026-01-01'), (2, 'Jon', '2026-01-01'), (3, 'Eva', '2026-01-01');
INSERT INTO contact_address (contact, address, main) VALUES (1, 'lucia@acme.test', true);
INSERT INTO contact_customer (contact, customer) VALUES (1, 1), (2, 1), (3, 1);
INSERT INTO agent (id, address, name, admin, active, notify, language, zone, created) VALUES
    (1, 'a@v.test', 'A', true, true, true, 'en', 'UTC', '2026-01-01'),
    (2, 'b@v.test', 'B', false, true, false, 'en', 'Europe/Oslo', '2026-01-01');
INSERT INTO seat (id, customer, contact, state, starts) VALUES
    (1, 1, 1, 'active', '2026-01-01'), (2, 1, 2, 'ended', '2026-01-01'), (3, 1, 3, 'active', '2026-01-01');
"""


def test_the_newest_file_is_the_head() -> None:
    with configured() as config:
        assert ScriptDirectory.from_config(config).get_heads() == [newest()]


def test_a_desk_with_seats_gets_slots(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with configured() as config, engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with engine.begin() as connection:
        for statement in filter(str.strip, ROWS.split(";")):
            connection.execute(sa.text(statement))
    migrate(engine)
    assert is_current(engine)
    with engine.connect() as connection:
        seats = connection.execute(sa.text("SELECT id, state, slot FROM seat ORDER BY id")).all()
        customers = connection.execute(sa.text("SELECT name, approves_access FROM customer")).all()
        people = connection.execute(sa.text("SELECT count(*) FROM contact_customer")).scalar_one()
        agents = connection.execute(sa.text("SELECT notices, zone FROM agent ORDER BY id")).all()
    assert [tuple(row) for row in agents] == [("all", ""), ("none", "")], "nobody had chosen a zone"
    assert [tuple(row) for row in seats] == [(1, "active", 1), (2, "ended", None), (3, "active", 2)]
    assert [(row[0], bool(row[1])) for row in customers] == [("Acme", False)] and people == 3
    engine.dispose()


OLDER = """
INSERT INTO ticket (id, subject, status, priority, requester, requester_name, language, marked, paused, created,
    updated, closed_at) VALUES
    (1001, 'Empty report', 'closed', 'normal', 'su@acme.test', '', 'en', false, false, '2026-01-01', '2026-01-03',
    '2026-01-03');
INSERT INTO article (id, ticket, kind, author, author_name, at, subject, text, full_text, ledger, marked, automatic)
    VALUES
    (1, 1001, 'inbound', 'su@acme.test', '', '2026-01-01', '', '', '', '01aa', false, false),
    (2, 1001, 'outbound', 'ana@v.test', 'Ana', '2026-01-02', '', '', '', NULL, false, false);
"""


def test_a_desk_with_tickets_gets_their_history(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with configured() as config, engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
    with engine.begin() as connection:
        for statement in filter(str.strip, OLDER.split(";")):
            connection.execute(sa.text(statement))
    migrate(engine)
    with engine.connect() as connection:
        events = connection.execute(sa.text("SELECT kind, who, door, article, now FROM ticket_event ORDER BY id")).all()
    assert [tuple(row) for row in events] == [
        ("opened", "su@acme.test", "mail", 1, None),
        ("article", "ana@v.test", None, 2, None),
        ("status", "desk", None, None, "closed"),
    ]
    engine.dispose()

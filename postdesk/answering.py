"""An agent's answer to a ticket: an article, a status, and the mails that carry it.

Takes: the ticket's number, the agent's address, the text.  Gives: what was written, or why it was not.
Fails: as the database does; nothing is written then.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from models.db.engine import retrying, transaction
from models.desk.audit import append
from models.facts import gather
from models.outbox.outbox import enqueue, find_suppression
from models.tickets.ticket import NewArticle, add_article, assign_if_free, join_ticket, update_ticket
from rules.reply import answer
from values.actor import Actor
from values.decision import Clues
from values.mail import AttachmentRef, Mailbox
from values.vocabulary import ArticleKind, Door, ParticipantRole


def answer_ticket(
    engine: sa.Engine,
    number: int,
    by: str,
    text: str,
    now: datetime,
    *,
    note: bool = False,
    close: bool = False,
    files: tuple[AttachmentRef, ...] = (),
) -> dict[str, Any] | str:
    """{"ticket", "article", "outbox": [ids], "suppressed": {address: reason}} of the answer that was written; a
    sentence where there is no such ticket or agent.
    `files`: in the blob store, and synced. A suppressed recipient gets nothing: the agent must know."""
    return retrying(lambda: _answer(engine, number, by, text, now, note, close, files))


def _answer(
    engine: sa.Engine,
    number: int,
    by: str,
    text: str,
    now: datetime,
    note: bool,
    close: bool,
    files: tuple[AttachmentRef, ...],
) -> dict[str, Any] | str:
    with transaction(engine) as session:
        facts = gather(session, Clues(spool_id="", content_key="", author=by.lower(), subject_ticket=number), now)
        ticket, agent = facts.ticket(number), facts.agent
        if agent is None:
            return f"{by} is no agent; add one with `postdesk agent add`"
        if ticket is None:
            return f"{number}: there is no such ticket; see `postdesk ticket list`"
        actor = Actor(who=agent.address, door=Door.COMMAND)
        author = Mailbox(address=agent.address, name=agent.name)
        kind = ArticleKind.NOTE if note else ArticleKind.OUTBOUND
        new = NewArticle(kind=kind, author=author, text=text, full_text=text, attachments=files)
        article = add_article(session, ticket.number, new, now, Door.COMMAND)
        join_ticket(session, ticket.number, agent.address, ParticipantRole.AGENT, name=agent.name)
        assign_if_free(session, ticket.number, (agent.id, agent.address), now, actor)
        status, notices = answer(ticket, agent, f"article:{article}", note=note, close=close)
        update_ticket(session, ticket.number, now, actor, status=status)
        outbox = enqueue(session, notices, now, article=article)
        append(session, now, who=agent.address, what=f"ticket.{kind}", subject=f"ticket:{ticket.number}", via="command")
        found = {notice.recipient: find_suppression(session, notice.recipient) for notice in notices}
    suppressed = {address: why.value for address, why in found.items() if why}
    return {"ticket": ticket.number, "article": article, "outbox": list(outbox), "suppressed": suppressed}

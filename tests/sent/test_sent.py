"""Every mail in every language, octet by octet.

After a wanted change: `pytest tests/sent --update`, then read `git diff`.
"""

from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from models.mail_views import MailRows
from models.vocabulary import MailName, StaffTask
from notify.compose import Composed, OutgoingMail, compose
from notify.mails import CATALOGUE, outgoing
from notify.render import LANGUAGES, Renderer
from tests.notify import rows

HERE = Path(__file__).parent
RENDERER = Renderer()
VARIANTS: dict[str, Callable[[str], MailRows]] = {
    "acknowledgement": rows.acknowledgement,
    "acknowledgement.unproved": lambda language: rows.acknowledgement(language, sender_text=0),
    "agent_reply": rows.agent_reply,
    "agent_notice": rows.agent_notice,
    "agent_notice.unproved": lambda language: rows.agent_notice(language, marked=True),
    "agent_notice.reply": lambda language: rows.agent_notice(language, new=False),
    "unknown_author": rows.unknown_author,
    "staff_task.dead-address": lambda language: rows.staff_task(language, StaffTask.DEAD_ADDRESS),
    "staff_task.complaint": lambda language: rows.staff_task(language, StaffTask.COMPLAINT, ticket=None),
    "staff_task.paused": lambda language: rows.staff_task(language, StaffTask.PAUSED),
    "unknown_author.without-page": rows.unknown_author,
}


def composed(variant: str, language: str) -> Composed:
    letterhead = replace(rows.LETTERHEAD, access_url=None) if variant.endswith("without-page") else rows.LETTERHEAD
    mail = outgoing(VARIANTS[variant](language), letterhead)
    assert isinstance(mail, OutgoingMail), mail
    built = compose(mail, RENDERER)
    assert isinstance(built, Composed), built
    assert not built.notes, "nothing falls back"
    return built


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mail_is_the_golden_one(variant: str, language: str, request: pytest.FixtureRequest) -> None:
    golden = HERE / f"{variant}.{language}.eml"
    built = composed(variant, language).message
    if request.config.getoption("--update", default=False):
        golden.write_bytes(built)
    assert built == golden.read_bytes(), f"{golden.name} differs; if it should: pytest tests/sent --update"


def test_every_mail_of_the_catalogue_has_a_golden_one() -> None:
    assert {variant.partition(".")[0] for variant in VARIANTS} == {str(name) for name in CATALOGUE}
    assert {name.partition(".")[0] for name in (path.name for path in HERE.glob("*.eml"))} <= set(MailName)
    assert len(list(HERE.glob("*.eml"))) == len(VARIANTS) * len(LANGUAGES), "no golden mail is left over"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", ["acknowledgement.unproved", "unknown_author"])
def test_subjects_of_ours_are_short(variant: str, language: str) -> None:
    message = message_from_bytes(composed(variant, language).message, policy=policy.default)
    assert len(message["Subject"]) <= 70


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mail_is_small_and_loads_nothing(variant: str, language: str) -> None:
    message = composed(variant, language).message
    assert len(message) < 20_000, "Gmail clips near 102 kB"
    for remote in (b"<img", b"src=3D", b"url(", b"<link", b"<script", b"@import"):
        assert remote not in message

"""The tables `[[imap]]` of postdesk.toml: one for each folder that mail is fetched from.

Takes: what the file or the environment says.  Gives: `ImapSettings`.  Fails: ValueError with what to write instead.
"""

import json
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from values.addresses import is_loopback

EXAMPLE = """# One table for each folder that mail is fetched from; more settings of it: docs/settings.md
# [[imap]]
# host = "imap.provider.example"
# user = "support@nordvik.test"
# password_file = "imap-password"
# folder = "INBOX"
"""


class ImapSettings(BaseModel):
    """One folder on an IMAP server."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(
        pattern=r"^[A-Za-z0-9.:-]{1,253}$", description="The server's name, as it stands in its certificate."
    )
    port: int = Field(0, ge=0, le=65535, description="0: 993, or 143 where `tls` is not `on`.")
    tls: Literal["on", "starttls", "off"] = Field(
        "on", description="`on`: TLS from the start; `starttls`; `off`: to this machine only."
    )
    user: str = Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$", description="Name of the account.")
    password: SecretStr = Field(SecretStr(""), description="Its password, or one for this program only.")
    password_file: Path | None = Field(None, description="File with the password instead, read at each connection.")
    folder: str = Field("INBOX", min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$", description="Folder that is fetched.")
    after: Literal["leave", "seen", "move"] = Field(
        "leave",
        description="What is done to a mail there once it is ours: nothing, marked as read, moved to `move_to`.",
    )
    move_to: str = Field("", pattern=r"^[^\x00-\x1f\x7f]*$", description="Folder that mails are moved to.")
    address: str = Field(
        "",
        description="The desk's address that this mail came to, where its header names none; empty: `support_address`.",
    )
    since: date | None = Field(
        None, description="Mail that came before that day is left alone; empty: all that lies there is fetched."
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.password.get_secret_value()) == (self.password_file is not None):
            raise ValueError('write password_file = "imap-password" (a file of mode 0600), or password; not both')
        if any(ord(letter) < 32 for letter in self.password.get_secret_value()):
            raise ValueError("password: write it on one line, without control characters")
        if (self.after == "move") != bool(self.move_to) or self.move_to == self.folder:
            raise ValueError('after = "move" and move_to = "another folder" go together')
        if self.tls == "off" and not is_loopback(self.host):
            # RFC 3501 §11.1, RFC 8314: a password never goes in clear over the net.
            raise ValueError('tls = "off" is for this machine only; write tls = "on" or tls = "starttls"')
        return self

    @property
    def real_port(self) -> int:
        return self.port or (993 if self.tls == "on" else 143)


def read_tables(value: object) -> object:
    """The environment has them as JSON: a list of objects."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('write a JSON list, as in [{"host": "imap.provider.example", "user": "support"}]') from None


def mistake(location: tuple[int | str, ...]) -> str:
    """Which table and which setting of it is meant."""
    number = f" number {location[1] + 1}" if len(location) > 1 and isinstance(location[1], int) else ""
    return f"[[imap]]{number}{f': {location[2]}' if len(location) > 2 else ''}"


def rows() -> str:
    """The settings of a table, for docs/settings.md."""
    lines = (
        f"| `{key}` | {'needed' if field.is_required() else f'`{_plain(field.default)}`'} | {field.description} |\n"
        for key, field in ImapSettings.model_fields.items()
    )
    return "".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    text = value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
    return f'"{text}"'

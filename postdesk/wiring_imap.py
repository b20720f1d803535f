"""From a table `[[imap]]` to what fetching needs.

Takes: `ImapSettings`.  Gives: `Account`.  Fails: not here; what a password file lacks is told at each connection.
"""

from ingest.imap.folder import Account, After
from ingest.imap.wire import Refused, Server
from postdesk.settings_imap import ImapSettings


def account(settings: ImapSettings, support_address: str) -> Account:
    """The account of one table."""
    return Account(
        server=Server(
            host=settings.host,
            port=settings.real_port,
            tls=settings.tls,
            user=settings.user,
            password=lambda: _password(settings),
        ),
        folder=settings.folder,
        after=After(settings.after),
        move_to=settings.move_to,
        address=settings.address or support_address,
        since=settings.since,
    )


def _password(settings: ImapSettings) -> str:
    path = settings.password_file
    if path is None:
        return settings.password.get_secret_value()
    try:
        password = path.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"password_file {path}: can't be read: {error}") from None
    if not password or any(ord(letter) < 32 for letter in password):
        raise Refused(f"password_file {path}: write the password on one line, and nothing else")
    return password

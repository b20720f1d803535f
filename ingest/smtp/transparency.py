"""The end of DATA and its dots, found in blocks as they come from the wire (RFC 5321 §4.1.1.4, §4.5.2).

*Takes* blocks cut anywhere. *Gives* the mail's octets, dots unstuffed, and what follows the end. *Fails* never.

Only CRLF.CRLF ends the mail (§2.3.8): a bare CR or LF is content, whatever stands around it. Every server that was
kinder than that could be made to see a second mail in the first one.
"""

_END = b"\r\n.\r\n"
_LINE_DOT = b"\r\n."


class DataReader:
    """State of one DATA. `feed` until it gives a rest."""

    __slots__ = ("_held", "_virtual")

    def __init__(self) -> None:
        # The CRLF of the DATA command counts as the one before the first line, so a mail may be empty (§4.1.1.4).
        self._held = b"\r\n"
        self._virtual = True

    def feed(self, block: bytes) -> tuple[bytes, bytes | None]:
        """The octets that are surely content, and None; after the end, the octets behind it instead of None."""
        block = self._held + block
        dot = block.find(_LINE_DOT)  # in most blocks there is none, and one look is all
        end = block.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            octets, rest = block[: end + 2], block[end + len(_END) :]
            self._held = b""
        else:
            keep = len(block) - _open_end(block)
            octets, self._held, rest = block[:keep], block[keep:], None
        # §4.5.2: a dot that begins a line goes. Never torn between blocks: what may be CRLF-dot is held back.
        if dot >= 0:
            octets = octets.replace(_LINE_DOT, b"\r\n")
        if self._virtual and octets:
            self._virtual = False
            octets = octets[2:]
        return octets, rest


def _open_end(block: bytes) -> int:
    """How many octets at the end may be the beginning of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if block.endswith(_END[:length]):
            return length
    return 0

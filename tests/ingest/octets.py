"""Octets of a mail that a test wrote."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Octets:
    raw: bytes

    @property
    def size(self) -> int:
        return len(self.raw)

    def read(self, start: int, stop: int) -> bytes:
        return self.raw[start:stop]

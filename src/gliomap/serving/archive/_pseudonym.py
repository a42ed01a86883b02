"""Patient identifiers as keyed hashes: the same for the same patient, and impossible to guess without the key."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from gliomap.errors import ArchiveError

__all__ = ["KEY_FILE", "Pseudonyms", "is_pseudonym"]

KEY_FILE = "pseudonym.key"
_BYTES = 32
_FORM = re.compile(r"p-[0-9a-f]{16}")


class Pseudonyms:
    """Hashes with one key (HMAC-SHA-256)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of_folder(cls, folder: Path) -> Pseudonyms:
        """Use the key in the folder; if there is none, create one that only its owner can read.

        Raises
        ------
        ArchiveError
            The key is damaged. With another key, the same patient would get another hash.
        """
        path = folder / KEY_FILE
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
            if len(key) != _BYTES:
                raise ArchiveError(path, f"has {len(key)} bytes, not {_BYTES}", "Restore it from a backup.") from None
            return cls(key)
        key = secrets.token_bytes(_BYTES)
        with os.fdopen(handle, "wb") as stream:
            stream.write(key)
            stream.flush()
            os.fsync(stream.fileno())
        return cls(key)

    def of(self, patient: str) -> str:
        """The pseudonym of a patient."""
        return "p-" + hmac.new(self._key, patient.encode(), hashlib.sha256).hexdigest()[:16]


def is_pseudonym(patient: str) -> bool:
    """Whether a patient's name has the form that `Pseudonyms` returns."""
    return _FORM.fullmatch(patient) is not None

"""API keys: read from a file or the environment, compared in constant time, never shown."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gliomap.errors import RequestError, UsageError

__all__ = ["KEYS_VARIABLE", "Client", "Key", "find_client", "keys_as_variable", "read_keys"]

KEYS_VARIABLE = "GLIOMAP_KEYS"
LEAST_LENGTH = 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORM = "Write NAME KEY, followed by 'admin' for a key that may replace the model."


@dataclass(frozen=True, slots=True)
class Client:
    """The caller: the name of the key, and whether it may replace the model."""

    name: str
    admin: bool = False


ANYBODY = Client("anonymous")
"""Without keys, only this machine or holders of a client certificate can reach the service; nobody is an admin."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that admits a client; only its SHA-256 is kept."""

    client: Client
    digest: bytes = field(repr=False)


def read_keys(path: Path | None, environment: Mapping[str, str]) -> tuple[Key, ...]:
    """Read keys from a file (one per line: NAME KEY [admin]) or, without a file, from GLIOMAP_KEYS (NAME:KEY[:admin],…).

    Raises
    ------
    UsageError
        The file does not exist or holds no key, a line has another form, a key is too short, or a name appears twice. The
        message never contains a key.
    """
    if path is not None:
        return _keys(path, _lines(path))
    listed = environment.get(KEYS_VARIABLE, "")
    return _keys(KEYS_VARIABLE, [entry.strip().split(":") for entry in listed.split(",") if entry.strip()])


def keys_as_variable(path: Path) -> str:
    """Read keys from a file and return them in the form of GLIOMAP_KEYS.

    Raises
    ------
    UsageError
        As in `read_keys`, or a key holds a character that separates keys in the variable.
    """
    lines = _lines(path)
    _keys(path, lines)
    if any(set(":,") & set(word) for words in lines for word in words):
        raise UsageError(path, "has keys with ':' or ','", "In keys for a container, use letters, digits, '_' and '-'.")
    return ",".join(":".join(words) for words in lines)


def _lines(path: Path) -> list[list[str]]:
    """The words of each line that holds a key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise UsageError(path, "is not a readable file of keys", _FORM) from error
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise UsageError(path, "has no key, so anybody would be admitted", _FORM)
    return lines


def _keys(origin: object, lines: Iterable[Sequence[str]]) -> tuple[Key, ...]:
    found: dict[str, Key] = {}
    for number, words in enumerate(lines, 1):
        if len(words) not in (2, 3) or (len(words) == 3 and words[2] != "admin") or not _NAME.fullmatch(words[0]):
            raise UsageError(f"{origin}, key {number}", "does not have the form NAME KEY [admin]", _FORM)
        name, key = words[0], words[1]
        if len(key) < LEAST_LENGTH:
            raise UsageError(
                f"{origin}, key {name!r}",
                f"is shorter than {LEAST_LENGTH} characters",
                "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        if name in found:
            raise UsageError(f"{origin}, key {name!r}", "appears twice", "Give each client its own name.")
        found[name] = Key(Client(name, admin=len(words) == 3), hashlib.sha256(key.encode()).digest())
    return tuple(found.values())


def find_client(keys: Sequence[Key], headers: Mapping[str, str], certificate: str | None = None) -> Client:
    """Return the client whose key is in the headers (`Authorization: Bearer KEY` or `X-API-Key: KEY`).

    A service without keys takes the name from the client's certificate, if there is one.

    Every key is compared, each in constant time, so that timing reveals nothing.

    Raises
    ------
    RequestError
        The key is missing or wrong (401).
    """
    if not keys:
        return ANYBODY if certificate is None else Client(certificate)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
    matching = [key.client for key in keys if hmac.compare_digest(key.digest, digest)]
    if not given or not matching:
        raise RequestError(
            "key",
            "is missing" if not given else "is unknown",
            "Send 'Authorization: Bearer KEY' or 'X-API-Key: KEY' with a key of this service; `gliomap score` and `gliomap"
            " bench serve` take --key FILE.",
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
    return matching[0]

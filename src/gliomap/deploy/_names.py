"""Names of images, containers and Kubernetes objects, parsed strictly because they end up in command lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gliomap.errors import UsageError

__all__ = ["ImageName", "check_container_name", "check_dns_label"]

_COMPONENT = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<repository>(?:{_COMPONENT}(?:\.{_COMPONENT})*(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
"""The grammar of https://github.com/distribution/reference, with SHA-256 as the only digest."""

_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ImageName:
    """The name of an image.

    Attributes
    ----------
    repository
        Registry, if any, and path: 'registry.example.org/lab/gliomap'.
    tag
        After the colon, or None.
    digest
        'sha256:…' after the @, or None.
    """

    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Parse `[REGISTRY[:PORT]/]PATH[:TAG][@sha256:…]`.

        Raises
        ------
        UsageError
            The text has another form.
        """
        found = _IMAGE.fullmatch(text)
        if found is None or len(found["repository"]) > 255:
            raise UsageError(
                f"image {text!r}",
                "is not a valid image name",
                "Write [REGISTRY/]PATH[:TAG] with a path in lower case, such as localhost/gliomap:1.",
            )
        return cls(found["repository"], found["tag"], found["digest"])

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def moves(self) -> bool:
        """Whether the name may refer to another image later: by convention, without a digest and with no tag or 'latest'."""
        return self.digest is None and self.tag in (None, "latest")


def check_container_name(name: str) -> str:
    """Return `name` if a container can have it.

    Raises
    ------
    UsageError
        It cannot.
    """
    if not _CONTAINER.fullmatch(name):
        raise UsageError(
            f"name {name!r}",
            "is not a valid container name",
            "Use letters, digits, '.', '_' and '-', at most 63 characters.",
        )
    return name


def check_dns_label(name: str, what: str) -> str:
    """Return `name` if every kind of Kubernetes object can have it (RFC 1035 label).

    Raises
    ------
    UsageError
        It cannot.
    """
    if not _LABEL.fullmatch(name):
        raise UsageError(
            f"{what} {name!r}",
            "is not a name that Kubernetes accepts",
            "Use lower-case letters, digits and '-', starting with a letter, at most 63 characters.",
        )
    return name

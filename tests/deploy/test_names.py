"""Names that end up in command lines and manifests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliomap.deploy._names import ImageName, check_container_name, check_dns_label
from gliomap.errors import UsageError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("gliomap", "gliomap", None, None),
        ("gliomap:or-2", "gliomap", "or-2", None),
        ("localhost/gliomap:0.1.0-abc", "localhost/gliomap", "0.1.0-abc", None),
        ("registry.example.org:5000/lab/glio__map:v1", "registry.example.org:5000/lab/glio__map", "v1", None),
        (f"Registry.example.org/gliomap@{DIGEST}", "Registry.example.org/gliomap", None, DIGEST),
        (f"gliomap:1@{DIGEST}", "gliomap", "1", DIGEST),
    ],
)
def test_image_names_are_parsed_and_written_back(
    text: str, repository: str, tag: str | None, digest: str | None
) -> None:
    name = ImageName.parse(text)
    assert (name.repository, name.tag, name.digest) == (repository, tag, digest)
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "GlioMap", "gliomap:", "gliomap:a b", "-t", "--privileged", "gliomap/", "a//b", "gliomap:" + "x" * 129),
        *("gliomap@sha256:12", "gliomap@md5:" + "0" * 32, "a" * 256, "gliomap\n", "$(id)", "gli_.omap", ":1"),
    ],
)
def test_invalid_image_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid image name"):
        ImageName.parse(text)


@given(st.text(st.sampled_from("ab-_.:/@A0"), max_size=60))
def test_any_accepted_image_name_is_written_back(text: str) -> None:
    try:
        name = ImageName.parse(text)
    except UsageError:
        return
    assert str(name) == text
    assert not text.startswith("-")


@pytest.mark.parametrize(
    ("text", "moves"),
    [("gliomap", True), ("gliomap:latest", True), ("gliomap:1", False), (f"gliomap@{DIGEST}", False)],
)
def test_only_names_without_a_fixed_tag_or_digest_move(text: str, moves: bool) -> None:
    assert ImageName.parse(text).moves is moves


@pytest.mark.parametrize("name", ["", "-d", "a b", "a/b", "x" * 64])
def test_invalid_container_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid container name"):
        check_container_name(name)


@pytest.mark.parametrize("name", ["", "1a", "a-", "A", "a.b", "a" * 64])
def test_invalid_dns_labels_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a name that Kubernetes accepts"):
        check_dns_label(name, "name")


def test_a_valid_name_is_returned_unchanged() -> None:
    assert check_container_name("gliomap") == check_dns_label("gliomap", "name") == "gliomap"

"""Headers with unexpected content are refused or ignored, and never cause a server error."""

from __future__ import annotations

import pytest

from gliomap.errors import RequestError, UsageError
from gliomap.serving._answers import chosen_form
from gliomap.serving._inference_protocol import _split


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("image/png;q=0.5, image/tiff", "tiff"),
        ("image/png;q=x, image/tiff;q=0.1", "tiff"),
        ("image/png;q=², application/zip;q=0.1", "zip"),
    ],
)
def test_the_preferred_form_is_chosen(accept: str, form: str) -> None:
    assert chosen_form(accept, None) == form


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "image/png;q=²"])
def test_unsupported_forms_are_refused(accept: str) -> None:
    with pytest.raises(RequestError, match="Accept"):
        chosen_form(accept, None)


@pytest.mark.parametrize("length", ["x", "-1", "²", "99"])
def test_invalid_header_lengths_are_refused(length: str) -> None:
    with pytest.raises(UsageError, match="inference-header-content-length"):
        _split(bytearray(b"{}"), length)

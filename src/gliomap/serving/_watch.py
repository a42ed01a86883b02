"""Watch a folder into which a camera program writes frames: send each new frame and write its map."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gliomap._files import atomic_file
from gliomap.engine import MAP_FILES, RESULT
from gliomap.errors import MachineError, RequestError
from gliomap.serving._client import Client
from gliomap.serving._exchange import FrameLike, References

__all__ = ["Scored", "score_frame", "watch"]

_PERIOD_S = 0.2
_AWAY_PERIOD_S = 1.0
_ENDS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
_PASSES = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE}
_ENDINGS = {".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Scored:
    """The outcome of one frame.

    Attributes
    ----------
    frame
        The file.
    result
        Content of its result.json; None if it failed.
    fault
        Why it has no map, or None.
    again
        Whether it will be sent again, because the service is unreachable, restarting or busy, or its archive is full.
    """

    frame: Path
    result: dict[str, Any] | None
    fault: str | None
    again: bool = False


def score_frame(
    client: Client,
    raw: FrameLike,
    references: References,
    folder: Path,
    *,
    prefix: str = "",
    patient: str | None = None,
    palette: str = "classic",
) -> dict[str, Any]:
    """Send one frame, write the files of its map, result.json last, and return the content of result.json.

    Parameters
    ----------
    folder, prefix
        Files are named PREFIXmap.png and so on, after those of `gliomap classify -o`.

    Raises
    ------
    RequestError
        The service refused the frame.
    MachineError
        The service cannot be reached, or the disk refused a file.
    """
    files = client.everything(raw, references, patient=patient, palette=palette)
    if set(files) != set(MAP_FILES):
        raise RequestError(
            client.url, f"answered with {sorted(files)}", "Use the same version for client and service.", status=502
        )
    for name in MAP_FILES:
        with atomic_file(folder / f"{prefix}{name}") as temporary:
            temporary.write_bytes(files[name])
    found: dict[str, Any] = json.loads(files[RESULT])
    return found


def watch(
    client: Client,
    folder: Path,
    out: Path,
    *,
    references: str,
    patient: str | None = None,
    palette: str = "classic",
    renew: Callable[[], object] | None = None,
) -> Iterator[Scored]:
    """Send each frame that appears in a folder, until the caller stops; frames that have a result are left alone.

    A file that is written again is a new frame: its map replaces the earlier one. While the service is away, for example
    during a restart, frames wait: only the first of them is reported, and all are sent when the service is back.

    A frame counts as complete when its size and time are unchanged between two scans of the folder. Scanning also works on
    network drives, which do not notify of new files.

    Parameters
    ----------
    out
        Folder for FRAME_map.png, FRAME_result.json and so on.
    renew
        Sends the references again after a restarted service has forgotten them; None if the caller did not send them.

    Raises
    ------
    RequestError
        The key is unknown, or the references are unknown and there is no `renew`.
    """
    away = False
    seen: dict[Path, tuple[int, int]] = {}
    done: dict[Path, tuple[int, int]] = {}
    while True:
        began = time.monotonic()
        for path, state in _frames(folder):
            if done.get(path) == state or seen.get(path) != state:
                seen[path] = state
                continue
            if path in done or not _has_map(path, state, out):
                scored = _score(client, path, references, out, patient, palette, renew)
                if not (scored.again and away):
                    yield scored
                away = scored.again
                if away:
                    break
            done[path] = state
        time.sleep(max(0.0, (_AWAY_PERIOD_S if away else _PERIOD_S) - (time.monotonic() - began)))


def _frames(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _ENDINGS and not path.name.startswith("."):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue  # removed between listing and stat
            yield path, (state.st_size, state.st_mtime_ns)


def _has_map(path: Path, state: tuple[int, int], out: Path) -> bool:
    """Whether an earlier watch made the map of this very frame: its result is no older than the frame."""
    try:
        return (out / f"{path.stem}_{RESULT}").stat().st_mtime_ns >= state[1]
    except FileNotFoundError:
        return False


def _score(
    client: Client,
    path: Path,
    references: str,
    out: Path,
    patient: str | None,
    palette: str,
    renew: Callable[[], object] | None,
) -> Scored:
    """Score one frame; a fault of this frame alone does not end the watch."""
    try:
        try:
            result = score_frame(
                client, path, references, out, prefix=f"{path.stem}_", patient=patient, palette=palette
            )
        except RequestError as error:
            if error.status != HTTPStatus.NOT_FOUND or renew is None:
                raise
            renew()
            result = score_frame(
                client, path, references, out, prefix=f"{path.stem}_", patient=patient, palette=palette
            )
    except (RequestError, MachineError) as error:
        # The map of an earlier frame of this name must not be mistaken for this one's.
        for name in MAP_FILES:
            (out / f"{path.stem}_{name}").unlink(missing_ok=True)
        status = error.status if isinstance(error, RequestError) else None
        if status in _ENDS:
            raise
        return Scored(path, None, str(error), again=status is None or status in _PASSES)
    return Scored(path, result, None)

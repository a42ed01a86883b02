"""Programs that replace podman and docker in tests of how GlioMap uses them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["fake_tool"]

_HEAD = '#!/bin/sh\necho "$@" >>"$0.calls"\n'


def fake_tool(folder: Path, name: str, script: str = "exit 0") -> Path:
    """Write a program that records its arguments and then runs `script`; returns the file of recorded calls."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(_HEAD + script + "\n")
    program.chmod(0o755)
    calls = folder / f"{name}.calls"
    calls.touch()
    return calls

"""Programs that stand for podman and docker where a test is about what GlioMap does with them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["fake_tool"]

_HEAD = '#!/bin/sh\necho "$@" >>"$0.calls"\n'


def fake_tool(folder: Path, name: str, script: str = "exit 0") -> Path:
    """Write a program that notes how it is called and then runs `script`; the file of its calls."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(_HEAD + script + "\n")
    program.chmod(0o755)
    calls = folder / f"{name}.calls"
    calls.touch()
    return calls

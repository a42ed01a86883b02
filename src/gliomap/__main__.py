"""The command `gliomap`, also as `python -m gliomap`."""

from __future__ import annotations

import sys
from typing import NoReturn

from gliomap._signals import heed_while_loading

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process; Ctrl-C during loading exits as an interruption, without a traceback."""
    if sys.argv[1:2] == ["serve"]:
        heed_while_loading()  # importing the command takes a second
    try:
        from gliomap.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

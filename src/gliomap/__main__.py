"""The command `gliomap`, also as `python -m gliomap`."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process; Ctrl-C during loading exits as an interruption, without a traceback."""
    try:
        from gliomap.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""The command line: one thin module per verb, one handler for every error.

Results go to stdout, as tables or as JSON; progress, notes and errors go to stderr. Exit codes: 0
done, 1 internal error, 2 bad usage or bad input, 3 the environment, 130 interrupted.
"""

from gliomap.cli._main import main, run

__all__ = ["main", "run"]

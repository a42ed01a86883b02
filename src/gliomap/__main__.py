"""`python -m gliomap` is the command `gliomap`."""

from gliomap.cli import main

if __name__ == "__main__":
    main()

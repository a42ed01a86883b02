"""GlioMap: tissue maps of the exposed brain from snapshot hyperspectral cameras.

Research software, not a medical device.
"""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # Read on first use: reading a distribution's metadata takes longer than importing the engine's own files.
    if name == "__version__":
        from importlib.metadata import version

        return version("gliomap")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""GlioMap: tissue maps of the exposed brain from snapshot hyperspectral cameras.

Research software, not a medical device.
"""

from importlib.metadata import version as _version

__all__ = ["__version__"]

__version__ = _version("gliomap")

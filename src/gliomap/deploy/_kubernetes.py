"""A folder of manifests for `kubectl apply -k`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gliomap._files import atomic_folder
from gliomap.bundles import open_bundle
from gliomap.deploy._cluster import ClusterRequest
from gliomap.deploy._manifests import manifests
from gliomap.errors import MissingExtraError

__all__ = ["render_kubernetes"]

_HEAD = "# GlioMap {version}, bundle {identity}. Research software, not a medical device.\n"


def render_kubernetes(request: ClusterRequest, bundle: Path, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Write manifests for `bundle` into the folder `out` and return their paths.

    Parameters
    ----------
    request
        What to run.
    bundle
        Bundle that the pods serve, a folder or a .zip.
    out
        Folder to create.
    overwrite
        Replace an earlier one.

    Raises
    ------
    BundleError
        The bundle is damaged, or does not accept frames.
    OutputExistsError
        `out` already exists and `overwrite` is False.
    MissingExtraError
        PyYAML is not installed.
    """
    opened = open_bundle(bundle)
    opened.require_frames()
    identity = opened.identity
    files = {name: _yaml(manifest, identity) for name, manifest in manifests(request, identity).items()}
    with atomic_folder(out, overwrite=overwrite) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    return [out / name for name in files]


def _yaml(manifest: dict[str, Any], identity: str) -> str:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("gliomap deploy kubernetes", "deploy") from error
    from gliomap import __version__

    # Through JSON, so that no object is shared: YAML would write an anchor and an alias for it.
    text: str = yaml.safe_dump(json.loads(json.dumps(manifest)), sort_keys=False, width=120)
    return _HEAD.format(version=__version__, identity=identity) + text

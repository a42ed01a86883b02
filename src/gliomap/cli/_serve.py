"""`gliomap serve`."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._models import located
from gliomap.cli._options import TrackingUri
from gliomap.cli._serve_options import Serving
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb
from gliomap.errors import MissingExtraError


@verb(
    app,
    "serve",
    examples=(
        "gliomap serve bundle",
        "gliomap serve models:/glioma-map@champion",
        "gliomap serve bundle --port 9000 --backend openvino --archive cases",
        "gliomap serve bundle --host 0.0.0.0 --keys keys.txt \\\n      --tls-cert cert.pem --tls-key key.pem",
    ),
)
def serve(
    ui: Ui,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle (folder or .zip), or models:/NAME@ALIAS.")],
    serving: Serving,
    tracking: TrackingUri = None,
) -> None:
    """Serve a bundle over HTTP: a frame in, a tissue map out.

    By default it listens on this machine only; on other addresses it requires
    keys or client certificates. The page /docs shows the interface. On SIGTERM
    it answers the requests under way and ends. On SIGHUP it reloads bundle, keys
    and certificate, and looks up a models:/NAME@ALIAS in the registry again.

    Research software, not a medical device.
    """
    if find_spec("fastapi") is None:
        raise MissingExtraError("gliomap serve", "serve")
    from gliomap.serving import run

    run(serving.settings(partial(located, bundle, tracking), ui.threads))

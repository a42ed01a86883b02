"""SIGHUP: bundle, keys and certificate are read again; whatever is bad leaves the current one in place."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from dataclasses import replace

from gliomap.errors import GlioMapError
from gliomap.serving._keys import read_keys
from gliomap.serving._service import Service

__all__ = ["renew"]

logger = logging.getLogger(__name__)


async def renew(service: Service) -> None:
    """Read again what the service was started with."""
    for what, read in {"keys": _read_keys, "certificate": _read_certificate}.items():
        try:
            read(service)
        except (GlioMapError, OSError) as error:
            logger.error("the new %s cannot be used, the current one stays: %s", what, error)
    try:
        async with service.exchanging:
            await asyncio.to_thread(service.exchange)
    except (GlioMapError, OSError) as error:
        logger.error("the new bundle is not served, the current one stays: %s", error)


def _read_keys(service: Service) -> None:
    settings = service.settings
    if settings.keys_file is None:
        return
    service.settings = replace(settings, keys=read_keys(settings.keys_file, os.environ))
    for stream in service.open_streams:
        stream.check_key()
    logger.info("keys read again: %s", ", ".join(key.client.name for key in service.settings.keys))


def _read_certificate(service: Service) -> None:
    tls, context = service.settings.tls, service.tls
    if tls is None or context is None:
        return
    # A mismatched pair would leave the context in use without a key, so it is tried on another one first. A key with a
    # password would prompt on the terminal and block the service; given an empty password, it is refused.
    for one in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        one.load_cert_chain(tls.certificate, tls.key, password="")
    logger.info("certificate read again: %s", tls.certificate)

"""Convert errors of Azure to those of GlioMap: the thing, the fault, the remedy."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import (
    AzureError as CloudError,
)
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from marshmallow import ValidationError

from gliomap.errors import AzureError, GlioMapError

__all__ = ["SIGN_IN", "NotThereError", "UnreachedError", "azure_faults"]

SIGN_IN = (
    "Sign in with `az login`, or check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of a service principal;"
    " then run the command again."
)
_AGAIN = "Nothing is lost: run the command again later."
_UNREACHED = re.compile(r"HTTPSConnectionPool|Failed to (resolve|establish)|Unable to connect to proxy")
_TAKEN = re.compile(r"(?i)unique within|already exists|already an endpoint")
"""Messages with which Azure answers 400 for a taken endpoint name or asset version."""
_NOBODY = "failed to retrieve a token from the included credentials"
_SIGN_IN_CODE = re.compile(r"AADSTS\d+: [^.\n]*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SECRET = re.compile(r"(?i)\b(sig|sv|se|skoid|sktid|AccountKey|client_secret)=[^&\s\"']+")

_OF_STATUS = {
    401: ("Azure does not accept the sign-in, or it has expired", SIGN_IN),
    403: (
        "you are signed in but lack the permission",
        "Ask the workspace's owner for the role 'AzureML Data Scientist' on the workspace, and 'Storage Blob Data"
        " Contributor' on its storage account.",
    ),
    404: (
        "does not exist",
        "Check the name, subscription and resource group; `gliomap azure check` shows what the workspace has.",
    ),
    409: (
        "already exists and differs, or somebody else is changing it",
        "Choose another name or version, or wait until the other change is done; then run the command again.",
    ),
    413: ("is too large for the endpoint", "Deploy it --to kubernetes, which has no such limit."),
    429: ("Azure refuses so many requests", _AGAIN),
}


_CHATTERERS = ("azure", "azureml", "msal")
"""Azure's loggers: GlioMap's errors say what matters; the rest is about experimental classes."""


class NotThereError(AzureError):
    """The requested thing does not exist; a caller that creates it may go on."""


class UnreachedError(AzureError):
    """There is no network, or Azure itself is failing: connect or wait, then run the command again."""


@contextmanager
def azure_faults(thing: str, *, taken: str = _OF_STATUS[409][1]) -> Iterator[None]:
    """Convert what Azure's libraries raise inside the block to GlioMap errors about `thing`.

    Parameters
    ----------
    thing
        What is requested or created.
    taken
        Remedy if its name is taken.

    Raises
    ------
    UnreachedError
        There is no network, or Azure itself is failing.
    NotThereError
        `thing` does not exist.
    AzureError
        Sign-in or permission is missing, the name is taken, or Azure refuses the document.
    """
    for name in _CHATTERERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except GlioMapError:
        raise
    except ClientAuthenticationError as error:
        if _UNREACHED.search(str(error)):  # the credential chain reports a missing network as a failed sign-in
            raise _no_network(thing, error) from error
        if _NOBODY in str(error) and not _SIGN_IN_CODE.search(str(error)):
            raise AzureError(thing, "nobody is signed in here", SIGN_IN) from error
        raise _told(thing, error, *_OF_STATUS[401]) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _no_network(thing, error) from error
    except HttpResponseError as error:
        raise _of_response(thing, error, taken) from error
    except (MlException, ValidationError, CloudError) as error:
        # azure-ai-ml wraps Azure's answer in its own text, coloured for a terminal.
        behind = list(_behind(error))
        answer = next((one for one in behind if isinstance(one, _ANSWERS)), None)
        if answer is not None:
            with azure_faults(thing, taken=taken):
                raise answer from error
        told = _short(behind[-1])
        if "does not exist" in told:
            raise NotThereError(thing, *_OF_STATUS[404]) from error
        raise AzureError(thing, f"Azure refuses it ({told})", "Correct what the message names.") from error


_ANSWERS = (HttpResponseError, ServiceRequestError, ServiceResponseError)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """An exception of Azure's libraries, followed by their exceptions that caused it."""
    found: BaseException | None = error
    while isinstance(found, MlException | ValidationError | CloudError):
        yield found
        found = found.__cause__ or found.__context__


def _of_response(thing: str, error: HttpResponseError, taken: str) -> AzureError:
    status = error.status_code or 0
    if error.response is None or isinstance(error, IncompleteReadError):  # the answer never came or was cut off
        return _no_network(thing, error)
    if status < 400:  # a long operation that started well and failed later
        return _told(thing, error, "Azure started it, then failed", "Correct what the message names.")
    if status == 408 or status >= 500:
        return UnreachedError(thing, f"Azure itself is failing ({status}: {_short(error)})", _AGAIN)
    if status == 409 or (status == 400 and _TAKEN.search(str(error))):
        return _told(thing, error, _OF_STATUS[409][0], taken)
    if status == 404:
        return NotThereError(thing, f"{_OF_STATUS[404][0]} ({_short(error)})", _OF_STATUS[404][1])
    fault, remedy = _OF_STATUS.get(status, (f"Azure refuses it with {status}", "Correct what the message names."))
    return _told(thing, error, fault, remedy)


def _no_network(thing: str, error: BaseException) -> UnreachedError:
    return UnreachedError(
        thing,
        f"Azure cannot be reached ({_short(error)})",
        "Check the network, HTTPS_PROXY and, behind a firewall that inspects TLS, REQUESTS_CA_BUNDLE. " + _AGAIN,
    )


def _told(thing: str, error: BaseException, fault: str, remedy: str) -> AzureError:
    return AzureError(thing, f"{fault} ({_short(error)})", remedy)


def _short(error: BaseException) -> str:
    """The gist of Azure's message, without signatures in addresses."""
    message = getattr(error, "reason", None) if not isinstance(error, HttpResponseError) else None
    text = str(getattr(error, "message", None) or message or error) or type(error).__name__
    code = _SIGN_IN_CODE.search(text) or _UNREACHED.search(text)
    if code is not None:
        return text[code.start() :].splitlines()[0][:200].rstrip(" .")
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return _SECRET.sub(r"\1=…", " ".join(lines[:2]))[:300].rstrip(" .")

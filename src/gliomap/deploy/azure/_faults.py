"""What goes wrong in Azure, told as GlioMap tells it: the thing, the fault, the remedy."""

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
    " then give the command again."
)
_AGAIN = "Nothing is lost: give the command again later."
_UNREACHED = re.compile(r"HTTPSConnectionPool|Failed to (resolve|establish)|Unable to connect to proxy")
_TAKEN = re.compile(r"(?i)unique within|already exists|already an endpoint")
"""How Azure tells a taken name of an endpoint or a version of an asset, where it answers with 400."""
_NOBODY = "failed to retrieve a token from the included credentials"
_SIGN_IN_CODE = re.compile(r"AADSTS\d+: [^.\n]*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SECRET = re.compile(r"(?i)\b(sig|sv|se|skoid|sktid|AccountKey|client_secret)=[^&\s\"']+")

_OF_STATUS = {
    401: ("Azure does not accept the sign-in, or it has expired", SIGN_IN),
    403: (
        "you are signed in but may not do this",
        "Ask the workspace's owner for the role 'AzureML Data Scientist' on the workspace, and 'Storage Blob Data"
        " Contributor' on its storage account.",
    ),
    404: (
        "is not there",
        "Check the name, subscription and resource group; `gliomap azure check` shows what the workspace has.",
    ),
    409: (
        "is there already and differs, or is being changed by somebody else",
        "Choose another name or version, or wait until the other change is done; then give the command again.",
    ),
    413: ("is too large for the endpoint", "Deploy it --to kubernetes, which sets no such limit."),
    429: ("Azure is asked too often", _AGAIN),
}


_CHATTERERS = ("azure", "azureml", "msal")
"""Loggers of theirs: what matters of it is told by our errors, the rest tells of experimental classes."""


class NotThereError(AzureError):
    """What was asked for does not exist; whoever makes it may go on."""


class UnreachedError(AzureError):
    """No network, or Azure itself is out of order: somebody must connect or wait, and give the command again."""


@contextmanager
def azure_faults(thing: str, *, taken: str = _OF_STATUS[409][1]) -> Iterator[None]:
    """Turn what Azure's libraries raise inside the block into errors of ours about `thing`.

    Parameters
    ----------
    thing
        What is asked for or made.
    taken
        What to do where its name is taken.

    Raises
    ------
    UnreachedError
        No network, or Azure itself is out of order.
    NotThereError
        It does not exist.
    AzureError
        Sign-in, permission, a name that is taken, or a document that Azure refuses.
    """
    for name in _CHATTERERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except GlioMapError:
        raise
    except ClientAuthenticationError as error:
        if _UNREACHED.search(str(error)):  # the chain of credentials tells no network as a failed sign-in
            raise _no_network(thing, error) from error
        if _NOBODY in str(error) and not _SIGN_IN_CODE.search(str(error)):
            raise AzureError(thing, "nobody is signed in here", SIGN_IN) from error
        raise _told(thing, error, *_OF_STATUS[401]) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise _no_network(thing, error) from error
    except HttpResponseError as error:
        raise _of_response(thing, error, taken) from error
    except (MlException, ValidationError, CloudError) as error:
        # azure-ai-ml hides what Azure answered behind texts of its own, coloured for a terminal.
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
    """An exception of theirs and those of theirs from which it came."""
    found: BaseException | None = error
    while isinstance(found, MlException | ValidationError | CloudError):
        yield found
        found = found.__cause__ or found.__context__


def _of_response(thing: str, error: HttpResponseError, taken: str) -> AzureError:
    status = error.status_code or 0
    if error.response is None or isinstance(error, IncompleteReadError):  # the answer never came, or broke off
        return _no_network(thing, error)
    if status < 400:  # what it began well and tells of while it is waited for
        return _told(thing, error, "Azure began it and failed", "Correct what the message names.")
    if status == 408 or status >= 500:
        return UnreachedError(thing, f"Azure is out of order ({status}: {_short(error)})", _AGAIN)
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
        "Check the network, HTTPS_PROXY, and REQUESTS_CA_BUNDLE behind a firewall that reads TLS. " + _AGAIN,
    )


def _told(thing: str, error: BaseException, fault: str, remedy: str) -> AzureError:
    return AzureError(thing, f"{fault} ({_short(error)})", remedy)


def _short(error: BaseException) -> str:
    """The first sentence of what Azure says, without any signature that an address carries."""
    message = getattr(error, "reason", None) if not isinstance(error, HttpResponseError) else None
    text = str(getattr(error, "message", None) or message or error) or type(error).__name__
    code = _SIGN_IN_CODE.search(text) or _UNREACHED.search(text)
    if code is not None:
        return text[code.start() :].splitlines()[0][:200].rstrip(" .")
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return _SECRET.sub(r"\1=…", " ".join(lines[:2]))[:300].rstrip(" .")

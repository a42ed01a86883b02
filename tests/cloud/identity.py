"""Authentication in the stand-in: the sign-in, tokens for one audience each, and what endpoints accept."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

TENANT = "99999999-8888-7777-6666-555555555555"
SECRET = "not-to-be-seen-anywhere"  # what a service principal signs in with
MANAGEMENT, STORAGE, MACHINE_LEARNING = (
    "https://management.azure.com",
    "https://storage.azure.com",
    "https://ml.azure.com",
)
"""Audiences of Entra tokens: the control plane, blobs, and endpoints that ask for a sign-in."""
KEY, SECOND_KEY, SHORT_TOKEN = "key-of-the-endpoint", "second-key-of-the-endpoint", "token-of-the-endpoint"
"""What an endpoint with keys, or with tokens of its own, lets in."""


def token(audience: str = STORAGE, seconds: int = 3600) -> str:
    """An Entra token without a real signature: the stand-in and Azurite's basic check read only its claims."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + seconds,
        "oid": "a-tester",
        "tid": TENANT,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    packed = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts]
    return ".".join([*packed, base64.urlsafe_b64encode(b"signed").rstrip(b"=").decode()])


def sign_in(path: str, content: bytes) -> tuple[int, Any]:
    """Answer as login.microsoftonline.com does: with a token for the requested scope, and for no other."""
    root = f"https://login.microsoftonline.com/{TENANT}"
    if path.endswith("/openid-configuration"):
        return 200, {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "issuer": f"{root}/v2.0",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
        }
    if path.startswith("/common/discovery/instance"):
        host = "login.microsoftonline.com"
        alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return 200, {"tenant_discovery_endpoint": f"{root}/v2.0/.well-known/openid-configuration", "metadata": [alias]}
    if not path.endswith("/token"):
        return 404, {"error": "not found"}
    asked = parse_qs(content.decode())
    if asked.get("client_secret") != [SECRET]:
        told = "AADSTS7000222: The provided client secret keys are expired."
        return 401, {"error": "invalid_client", "error_description": told}
    scope = next(one for one in asked["scope"][0].split() if one.endswith("/.default"))
    made = token(scope.removesuffix("/.default").rstrip("/"))
    return 200, {"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": made}


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token of a request; empty without one."""
    kind, _, shown = headers.get("Authorization", "").partition(" ")
    return shown if kind == "Bearer" else ""


def holds_token(headers: Mapping[str, str], *audiences: str) -> bool:
    """Whether a request has an unexpired Entra token for one of these audiences."""
    parts = bearer(headers).split(".")
    if len(parts) != 3:
        return False
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return claims["aud"] in audiences and claims["exp"] > time.time()


def admits(auth_mode: str, headers: Mapping[str, str]) -> bool:
    """Whether an endpoint of this mode admits a request: each mode accepts one kind of credential."""
    if auth_mode == "AADToken":
        return holds_token(headers, MACHINE_LEARNING)
    return bearer(headers) in {"Key": (KEY, SECOND_KEY), "AMLToken": (SHORT_TOKEN,)}[auth_mode]

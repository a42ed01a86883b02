"""docs/reference/service.md names every endpoint, answer, status and metric of the service, and no others."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, WebSocketRoute

from docs.pages import named, sections
from gliomap.errors import HTTP_STATUS
from gliomap.serving import _examples, _inference_protocol, _routes, _stream, _thesis
from gliomap.serving._access import PROBLEMS
from gliomap.serving._answers import FORMS
from gliomap.serving._examples import EXAMPLES
from gliomap.serving._metrics import Metrics
from gliomap.serving._schemas import StreamReply
from support import PROJECT

PAGE = sections("reference/service.md")
ROUTERS = [module.router for module in (_routes, _stream, _thesis, _inference_protocol, _examples)]
ROUTES: list[BaseRoute] = [route for router in ROUTERS for route in router.routes]
NO_KEY = "○"


def described() -> dict[str, dict[str, Any]]:
    """The OpenAPI description of the service: path → method → operation."""
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return paths


def endpoints() -> dict[str, str]:
    """Endpoint → what the page says about it."""
    return {endpoint: told for names, told in PAGE["Endpoints of the service"].rows() for endpoint in named(names)}


def test_the_page_has_every_endpoint_and_no_other() -> None:
    served = {f"WebSocket {route.path}" for route in ROUTES if isinstance(route, WebSocketRoute)}
    served |= {f"{method} {route.path}" for route in ROUTES if isinstance(route, APIRoute) for method in route.methods}
    assert set(endpoints()) == served


def test_the_page_marks_endpoints_that_need_no_key() -> None:
    open_to_all = {
        f"{method.upper()} {path}"
        for path, operations in described().items()
        for method, operation in operations.items()
        if "security" not in operation
    }
    assert {endpoint for endpoint, told in endpoints().items() if told.startswith(NO_KEY)} == open_to_all


def test_the_forms_of_an_answer_are_those_that_can_be_accepted() -> None:
    told = [named(kind)[0] for kind, *_ in PAGE["Classify"].tables()[0][1:]]
    assert told == list(FORMS)
    pictures = dict(PAGE["Classify"].tables()[0][1:])["`image/png`"]
    assert re.findall(r"`(?:picture=)?(\w+)`", pictures) == list(FORMS["image/png"])


def test_the_headers_of_an_answer_are_those_that_are_set() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (PROJECT / "src/gliomap/serving").glob("_*.py")]
    ours = {name for source in sources for name in re.findall(r'"(GlioMap-\w+|Server-Timing)"', source)}
    assert {name for name in named(PAGE["Classify"].text) if name.startswith(("GlioMap-", "Server-"))} == ours


def test_the_examples_are_those_that_are_served() -> None:
    assert named(endpoints()["GET /v1/examples/{file}"]) == list(EXAMPLES)


def test_the_page_names_the_keys_of_a_stream_reply() -> None:
    assert PAGE["Stream"].names() == set(StreamReply.model_fields)


def test_the_table_lists_every_status_of_an_answer() -> None:
    told = {int(status) for row in PAGE["When something is wrong"].rows() for status in row[0].split(", ")}
    ours = {status for _, status in HTTP_STATUS} | {405, 500}
    clients = ("_watch.py", "_reply.py")
    for source in (PROJECT / "src/gliomap/serving").glob("_*.py"):
        if source.name not in clients:
            ours |= {int(status) for status in re.findall(r"\bstatus=(4\d\d|5\d\d)\b", source.read_text("utf-8"))}
    assert told == ours >= set(PROBLEMS)


def test_the_page_lists_the_prometheus_metrics() -> None:
    endings = {"counter": "_total", "info": "_info"}
    counted = {
        f"{family.name}{endings.get(family.type, '')}"
        for family in Metrics().registry.collect()
        if not family.name.startswith("process_")
    }
    assert PAGE["Metrics"].names() == counted

"""The HTTP side of the stand-in: sign-in, control plane, run history and hosts of endpoints, over TLS on one port."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cloud import identity
from cloud.machine_room import Certificates, HangUps
from cloud.workspace import ARM, LOCATION, SERVICES, SUBSCRIPTION, Cloud, Json, Reply, resource


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _serve(self) -> None:
        cloud: Cloud = self.server.cloud  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        host = (self.headers.get("Host") or "").partition(":")[0]
        with cloud.lock:
            cloud.asked.append(f"{self.command} {host}{self.path}")
        reply = _fault(cloud, f"{self.command} {host}{self.path}") or _route(
            cloud, self.command, host, self.path, dict(self.headers), content
        )
        body = reply.body if isinstance(reply.body, bytes) else b""
        if reply.body is not None and not isinstance(reply.body, bytes):
            body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


for _method in ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)


def _fault(cloud: Cloud, line: str) -> Reply | None:
    with cloud.lock:
        for fault in cloud.faults:
            if fault.times > 0 and re.search(fault.match, line):
                fault.times -= 1
                return Reply(fault.status, {"error": {"code": fault.code, "message": fault.message}}, fault.headers)
    return None


def _route(cloud: Cloud, method: str, host: str, target: str, headers: dict[str, str], content: bytes) -> Reply:
    parts = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if host == "login.microsoftonline.com":
        return Reply(*identity.sign_in(parts.path, content))
    if host.endswith(".inference.ml.azure.com"):
        return _score(cloud, host, target, headers, content)
    if not identity.holds_token(headers, identity.MANAGEMENT) and "/logs/" not in parts.path:
        return Reply(401, {"error": {"code": "AuthenticationFailed", "message": "no token for this audience"}})
    if host == f"{LOCATION}.api.azureml.ms":
        return _services(cloud, method, parts.path)
    if parts.path.casefold() == ARM.casefold():
        return Reply(200, cloud.things[""])
    if parts.path.casefold().startswith(ARM.casefold() + "/"):
        body = json.loads(content) if content else {}
        return resource(cloud, method, parts.path[len(ARM) + 1 :], query, body)
    if parts.path.endswith("/usages"):
        return Reply(200, {"value": [_usage("Standard DSv3 Family", 4, 24), _usage("Total dedicated", 4, 24)]})
    code = "SubscriptionNotFound" if SUBSCRIPTION not in parts.path else "ResourceNotFound"
    return Reply(404, {"error": {"code": code, "message": f"{parts.path} was not found"}})


def _score(cloud: Cloud, host: str, target: str, headers: dict[str, str], content: bytes) -> Reply:
    """Answer as the host of an endpoint does."""
    endpoint = cloud.things[f"onlineEndpoints/{host.partition('.')[0]}"]["properties"]
    if not identity.admits(endpoint["authMode"], headers):
        return Reply(401, {"error": {"code": "Unauthorized", "message": "not let in"}})
    assert cloud.score is not None
    status, back, body = cloud.score(target, headers, content)
    return Reply(status, body, back)


def _usage(name: str, used: int, limit: int) -> Json:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/usages/{name}",
        "type": "Microsoft.MachineLearningServices/workspaces/usages",
        "unit": "Count",
        "currentValue": used,
        "limit": limit,
        "name": {"value": name, "localizedValue": name},
    }


def _services(cloud: Cloud, method: str, path: str) -> Reply:
    if path == "/discovery":
        return Reply(200, dict.fromkeys(("history", "api", "catalog", "experimentation"), SERVICES))
    found = re.search(r"/runs/([^/]+)(/details|/children)?$", path)
    if found and method in ("GET", "POST", "PATCH"):
        name = found[1]
        job = cloud.things.get(f"jobs/{name}")
        trials = {trial: state for sweep in cloud.trials.values() for trial, state in sweep.items()}
        if job is None and name not in trials:
            return Reply(404, {"error": {"code": "NotFound", "message": f"run {name} was not found"}})
        if found[2] == "/children":
            below = cloud.trials.get(name, {}).items()
            return Reply(200, {"value": [{"runId": trial, "status": state} for trial, state in below]})
        status = trials[name] if job is None else job["properties"]["status"]
        logs = {"user_logs/std_log.txt": f"{SERVICES}/logs/{name}"} if name in cloud.logs else {}
        error = {"error": {"code": "UserError", "message": "the command failed"}} if status == "Failed" else None
        return Reply(
            200,
            {
                "runId": name,
                "status": status,
                "logFiles": logs,
                "properties": {},
                "warnings": [],
                **({"error": error} if error else {}),
            },
        )
    if path.startswith("/logs/"):
        return Reply(200, cloud.logs[path.removeprefix("/logs/")].encode(), {"Content-Type": "text/plain"})
    return Reply(404, {"error": {"code": "NotFound", "message": path}})


class _Server(HangUps, ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serve_cloud(cloud: Cloud, certificates: Certificates) -> Iterator[int]:
    """Serve the stand-in over TLS on a free port; yields the port."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = certificates.server_context().wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.cloud = cloud  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()

"""A stand-in for Azure's machines, which runs the commands of jobs unchanged and the scoring script of deployments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from azure.storage.blob import ContainerClient

from cloud.workspace import ARM, Cloud, Json
from support import free_port


def fetch(container: ContainerClient, prefix: str, folder: Path) -> Path:
    """Download all blobs below a prefix."""
    start = prefix.rstrip("/") + "/" if prefix else ""
    for blob in container.list_blobs(name_starts_with=start):
        target = folder / blob.name[len(start) :]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(container.download_blob(blob.name).readall())
    return folder


def send(container: ContainerClient, folder: Path, prefix: str) -> None:
    """Upload all files of a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            container.upload_blob(f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@dataclass(eq=False)
class Machines:
    """Runs the jobs and deployments of a workspace.

    Attributes
    ----------
    cloud, container
        The workspace and its default container.
    open_container
        A container of the account by name.
    scratch
        Folder for working directories.
    commands
        Commands that were run, in order.
    """

    cloud: Cloud
    container: ContainerClient
    open_container: Callable[[str], ContainerClient]
    scratch: Path
    commands: list[str] = field(default_factory=list)
    servers: dict[str, tuple[subprocess.Popen[bytes], int]] = field(default_factory=dict)

    def run_job(self, name: str, job: Json) -> tuple[str, str]:
        """Run a command, or one command for each value of a sweep."""
        told = job["properties"]
        if told["jobType"] == "Command":
            return self._run(name, told["command"], told["codeId"], told, {})
        (parameter, (_, [values])), *others = told["searchSpace"].items()
        assert not others

        def trial(item: tuple[int, str]) -> str:
            number, value = item
            given = {f"search_space.{parameter}": value}
            run = f"{name}_{number}"
            state, log = self._run(run, told["trial"]["command"], told["trial"]["codeId"], told, given)
            self.cloud.logs[run] = log
            self.cloud.trials.setdefault(name, {})[run] = state
            return state

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(trial, enumerate(values)))
        return "Completed" if all(state == "Completed" for state in done) else "Failed", ""

    def _run(self, name: str, command: str, code: str, told: Json, given: Mapping[str, str]) -> tuple[str, str]:
        folder = self.scratch / name
        places = {
            f"inputs.{one}": fetch(*self._place(what["uri"]), folder / one) for one, what in told["inputs"].items()
        }
        outputs = {f"outputs.{one}": folder / "out" / one for one in told["outputs"]}
        for path in outputs.values():
            path.mkdir(parents=True)
        for placeholder, value in {**places, **outputs, **given}.items():
            command = command.replace(f"${{{{{placeholder}}}}}", str(value))
        assert "${{" not in command
        self.commands.append(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._code(code, folder / "code"),
            env=job_environment(Path(sys.executable).parent, name),
            capture_output=True,
            text=True,
            check=False,
        )
        log = f"{done.stdout}{done.stderr}"
        if done.returncode:
            return "Failed", log
        for one, what in told["outputs"].items():
            container, prefix = self._place(what["uri"].replace("${{name}}", name))
            send(container, outputs[f"outputs.{one}"], prefix)
        return "Completed", log

    def start_deployment(self, deployment: Json) -> str:
        """Start Azure's inference server with the scoring script and the model of a deployment."""
        told = deployment["properties"]
        folder = self.scratch / deployment["name"]
        code = self._code(told["codeConfiguration"]["codeId"], folder / "code")
        model = self.cloud.things[told["model"].removeprefix(f"{ARM}/")]
        fetch(*self._place(model["properties"]["modelUri"]), folder / "model" / "1" / "bundle")
        port = free_port()
        log = folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("azmlinfsrv"),
                    *("--entry_script", told["codeConfiguration"]["scoringScript"]),
                    *("--model_dir", str(folder / "model"), "--port", str(port)),
                ],
                cwd=code,
                env={**os.environ, "AZUREML_MODEL_DIR": str(folder / "model"), "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=stream,
            )
        self.servers[deployment["name"]] = (process, port)
        while process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200:
                    return "Succeeded"
            except httpx.TransportError:
                time.sleep(0.1)
        self.cloud.deployment_log = log.read_text()
        return "Failed"

    def score(self, target: str, headers: dict[str, str], content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Pass a request to the deployment that it names, or else to the one with the most traffic."""
        traffic = next(
            one["properties"]["traffic"]
            for name, one in self.cloud.things.items()
            if re.fullmatch(r"onlineEndpoints/[^/]+", name)
        )
        name = headers.get("azureml-model-deployment") or max(traffic, key=traffic.get)
        passed = {key: value for key, value in headers.items() if key.lower() in ("content-type", "accept")}
        answer = httpx.post(
            f"http://127.0.0.1:{self.servers[name][1]}{target}",
            content=content,
            headers=passed,
            trust_env=False,
            timeout=60,
        )
        return answer.status_code, {"Content-Type": answer.headers["content-type"]}, answer.content

    def close(self) -> None:
        """Stop the servers."""
        for process, _ in self.servers.values():
            process.terminate()
            process.wait(20)

    def _code(self, reference: str, folder: Path) -> Path:
        uri = self.cloud.things[reference.removeprefix(f"{ARM}/")]["properties"]["codeUri"]
        container, _, prefix = uri.split(".blob.core.windows.net/")[1].partition("/")
        return fetch(self.open_container(container), prefix, folder)

    def _place(self, uri: str) -> tuple[ContainerClient, str]:
        """Container and prefix to which an input, output or model refers."""
        asset = uri.removeprefix("azureml:").removeprefix(f"{ARM}/").removeprefix(ARM + "/")
        if asset in self.cloud.things:
            known: Any = self.cloud.things[asset]["properties"]
            uri = known.get("dataUri") or known["modelUri"]
        if ".blob.core.windows.net/" in uri:
            container, _, prefix = uri.split(".blob.core.windows.net/")[1].partition("/")
            return self.open_container(container), prefix
        return self.container, uri.split("/paths/")[1]


def job_environment(binaries: Path, name: str) -> dict[str, str]:
    """The environment that Azure sets for a job's command."""
    kept = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "TMPDIR")}
    return {
        **kept,
        "PATH": f"{binaries}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "OMP_NUM_THREADS": "1",
        "AZUREML_RUN_ID": name,
        "AZUREML_EXPERIMENT_NAME": "gliomap",
        "AZUREML_ARM_SUBSCRIPTION": ARM.split("/")[2],
        "AZUREML_ARM_RESOURCEGROUP": ARM.split("/")[4],
        "AZUREML_ARM_WORKSPACE_NAME": ARM.split("/")[-1],
        "AZUREML_ARM_PROJECT_NAME": "gliomap",
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": "https://westeurope.api.azureml.ms/discovery",
    }

"""The manifests are valid under the Kubernetes schemas, and consistent beyond them: names, labels and ports."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.containers import needed
from docs.pages import named, sections
from gliomap import __version__
from gliomap.bundles import open_bundle
from gliomap.deploy import ClusterRequest, ImageName, render_kubernetes
from gliomap.deploy._cluster import CLIENT_LABEL
from gliomap.deploy._manifests import manifests
from gliomap.errors import BundleError, OutputExistsError, UsageError
from support import PROJECT

IMAGE = ImageName.parse("registry.example.org:5000/lab/gliomap:or-2")
IDENTITY = "0123456789abcdef" * 4
ARCHIVE: dict[str, Any] = {"archive_claim": "cases", "replicas": 1, "scale_on": "none"}
REQUESTS = {
    "plain": ClusterRequest(IMAGE),
    "queue": ClusterRequest(IMAGE, scale_on="queue", namespace="theatre", name="glio-2"),
    "fixed": ClusterRequest(IMAGE, scale_on="none", replicas=3, bundle_claim="bundles"),
    "archive": ClusterRequest(IMAGE, **ARCHIVE),
    "kserve": ClusterRequest(IMAGE, kserve=True, namespace="theatre", bundle_claim="bundles"),
    "kserve archive": ClusterRequest(IMAGE, kserve=True, **ARCHIVE),
}
VERSIONS = ("1.29", kubernetes_validate.latest_version())


@pytest.fixture(params=REQUESTS.values(), ids=REQUESTS)
def request_(request: pytest.FixtureRequest) -> ClusterRequest:
    made: ClusterRequest = request.param
    return made


def kinds(request: ClusterRequest) -> dict[str, Any]:
    made = manifests(request, IDENTITY)
    assert len({one["kind"] for one in made.values()}) == len(made)
    return {one["kind"]: one for one in made.values()}


def pod(request: ClusterRequest) -> dict[str, Any]:
    """The pod of a Deployment or an InferenceService, with its labels and annotations."""
    found = kinds(request)
    if request.kserve:
        own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "labels", "annotations"}
        predictor = found["InferenceService"]["spec"]["predictor"]
        metadata = {"labels": predictor["labels"], "annotations": predictor["annotations"]}
        spec = {name: value for name, value in predictor.items() if name not in own}
    else:
        metadata, spec = (found["Deployment"]["spec"]["template"][part] for part in ("metadata", "spec"))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **metadata}, "spec": spec}


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid_under_the_schemas_of_kubernetes(request_: ClusterRequest, version: str) -> None:
    checked = [
        kubernetes_validate.validate(one, version, strict=True)
        for kind, one in kinds(request_).items()
        if kind not in ("Kustomization", "InferenceService")
    ]
    assert len(checked) >= 1
    assert kubernetes_validate.validate(pod(request_), version, strict=True)


def test_the_schemas_catch_a_misspelt_field() -> None:
    wrong = kinds(REQUESTS["plain"])["Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_every_selector_matches_the_pods(request_: ClusterRequest) -> None:
    labels = pod(request_)["metadata"]["labels"].items()
    found = kinds(request_)
    selectors = [found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]
    selectors += [one["labelSelector"]["matchLabels"] for one in pod(request_)["spec"]["topologySpreadConstraints"]]
    if not request_.kserve:
        selectors += [found["Deployment"]["spec"]["selector"]["matchLabels"], found["Service"]["spec"]["selector"]]
        selectors += [found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels
        assert request_.name in selector.values(), "two services in one namespace would select each other's pods"


def test_ports_and_probes_refer_to_what_exists(request_: ClusterRequest) -> None:
    spec = pod(request_)["spec"]
    (container,) = spec["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"EXPOSE {ports['http']}\n" in (PROJECT / "deploy/docker/Dockerfile").read_text()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    ready = [name for name, path in paths.items() if path == "/health/ready"]
    assert ready == ["readinessProbe"], "a full archive takes a pod out of service but must not get it killed"
    found = kinds(request_)
    (rule,) = found["NetworkPolicy"]["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == list(ports.values())
    assert {"podSelector": {"matchLabels": CLIENT_LABEL}} in rule["from"]
    if not request_.kserve:
        assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == list(ports)
        if "HorizontalPodAutoscaler" in found:
            target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
            deployment = found["Deployment"]
            assert (target["apiVersion"], target["kind"]) == (deployment["apiVersion"], deployment["kind"])
            assert target["name"] == deployment["metadata"]["name"]
            assert "replicas" not in deployment["spec"]


def test_every_mount_has_its_volume(request_: ClusterRequest) -> None:
    spec = pod(request_)["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = [mount for one in (*spec["initContainers"], *spec["containers"]) for mount in one["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == set(volumes)
    (service,) = spec["containers"]
    places = {mount["mountPath"] for mount in service["volumeMounts"]}
    assert service["args"][:2] == ["--keys", "/run/secrets/gliomap/keys"]
    assert "/run/secrets/gliomap" in places
    assert volumes["keys"]["secret"]["secretName"] == request_.keys_secret
    assert ("/bundle" in places) == (request_.bundle_claim is not None)
    assert ("/archive" in places) == (request_.archive_claim is not None) == ("--archive" in service["args"])


def test_pods_are_locked_down(request_: ClusterRequest) -> None:
    spec = pod(request_)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False  # otherwise the Service would add GLIOMAP_… variables
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (
        f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in (PROJECT / "deploy/docker/Dockerfile").read_text()
    )
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["image"] == str(IMAGE)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])
    policy = kinds(request_)["NetworkPolicy"]["spec"]
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_a_pod_has_time_to_finish_requests_under_way(request_: ClusterRequest) -> None:
    from gliomap.serving._server import GRACE_S

    spec = pod(request_)["spec"]
    waits = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > GRACE_S + waits


def test_a_pod_names_its_bundle_and_checks_it_before_it_starts(request_: ClusterRequest) -> None:
    made = pod(request_)
    assert made["metadata"]["annotations"]["gliomap.org/bundle-identity"] == IDENTITY
    (check,) = made["spec"]["initContainers"]
    assert f"'{IDENTITY}  /bundle/manifest.json'" in check["command"][-1]


def test_the_service_has_as_many_threads_as_its_pod_has_processors() -> None:
    (service,) = pod(ClusterRequest(IMAGE, threads=3))["spec"]["containers"]
    assert service["resources"]["limits"]["cpu"] == "3"
    assert service["args"][service["args"].index("--threads") + 1] == "3"


def test_an_archive_has_one_writer() -> None:
    found = kinds(REQUESTS["archive"])
    assert found["Deployment"]["spec"]["replicas"] == 1
    assert found["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert "HorizontalPodAutoscaler" not in found


def test_scaling_on_the_queue_uses_a_metric_of_the_service() -> None:
    from gliomap.serving._metrics import Metrics

    (metric,) = kinds(REQUESTS["queue"])["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert f"# TYPE {metric['pods']['metric']['name']} gauge".encode() in Metrics().text()


def test_kserve_finds_its_container_and_the_protocol() -> None:
    made = kinds(REQUESTS["kserve"])
    assert not {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} & set(made)
    service = made["InferenceService"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    (container,) = service["spec"]["predictor"]["containers"]
    assert container["name"] == "kserve-container"
    assert {"name": "PROTOCOL", "value": "v2"} in container["env"]


def test_every_manifest_has_the_name_and_the_namespace() -> None:
    for kind, one in kinds(REQUESTS["queue"]).items():
        if kind == "Kustomization":
            assert one["namespace"] == "theatre"
        elif kind == "Namespace":
            assert one["metadata"]["name"] == "theatre"
            assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        else:
            assert (one["metadata"]["name"], one["metadata"]["namespace"]) == ("glio-2", "theatre")


def test_the_folder_holds_what_its_kustomization_lists(request_: ClusterRequest, bundle: Path, tmp_path: Path) -> None:
    files = render_kubernetes(request_, bundle, tmp_path / "manifests")
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {path.name for path in (tmp_path / "manifests").iterdir()} == set(texts)
    listed = yaml.safe_load(texts["kustomization.yaml"])
    assert set(listed) <= {"apiVersion", "kind", "namespace", "resources"}
    assert sorted(listed["resources"]) == sorted(set(texts) - {"kustomization.yaml"})
    identity = open_bundle(bundle).identity
    for name, text in texts.items():
        assert text.startswith(
            f"# GlioMap {__version__}, bundle {identity}. Research software, not a medical device.\n"
        )
        assert yaml.safe_load(text) == manifests(request_, identity)[name]
        assert not [line for line in text.splitlines() if "&id" in line or "*id" in line], (
            "readers should not have to resolve anchors"
        )
    assert not any("kind: Secret\n" in text for text in texts.values())


def test_the_docs_list_every_file_of_a_folder() -> None:
    told = {named(row[0])[0] for row in sections("how-to/deploy-kubernetes.md")["What is in the folder"].rows()}
    assert told == {name for request in REQUESTS.values() for name in manifests(request, IDENTITY)}


def test_kubectl_builds_the_folder(request_: ClusterRequest, bundle: Path, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl") or needed("kubectl (Debian: apt-get install kubernetes-client)")
    render_kubernetes(request_, bundle, tmp_path / "manifests")
    done = subprocess.run([kubectl, "kustomize", tmp_path / "manifests"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    expected = manifests(request_, open_bundle(bundle).identity)
    assert built == {one["kind"]: one for name, one in expected.items() if name != "kustomization.yaml"}


def test_an_existing_folder_is_replaced_only_with_overwrite(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "manifests"
    render_kubernetes(REQUESTS["plain"], bundle, out)
    (out / "mine.yaml").touch()
    with pytest.raises(OutputExistsError):
        render_kubernetes(REQUESTS["plain"], bundle, out)
    assert (out / "mine.yaml").exists()
    render_kubernetes(REQUESTS["kserve"], bundle, out, overwrite=True)
    assert (out / "inferenceservice.yaml").exists()
    assert not (out / "deployment.yaml").exists()


def test_for_a_missing_bundle_no_folder_is_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        render_kubernetes(REQUESTS["plain"], tmp_path / "nothing", tmp_path / "manifests")
    assert list(tmp_path.iterdir()) == []


def test_for_a_bundle_with_a_flipped_byte_no_folder_is_written_and_the_earlier_one_is_kept(
    bundle: Path, tmp_path: Path
) -> None:
    copied, out = Path(shutil.copytree(bundle, tmp_path / "bundle")), tmp_path / "manifests"
    render_kubernetes(REQUESTS["plain"], copied, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for name in open_bundle(copied).manifest.files:
        whole = (copied / name).read_bytes()
        (copied / name).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(BundleError, match=re.escape(name)):
            render_kubernetes(REQUESTS["plain"], copied, tmp_path / "other")
        with pytest.raises(BundleError, match=re.escape(name)):
            render_kubernetes(REQUESTS["kserve"], copied, out, overwrite=True)
        (copied / name).write_bytes(whole)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "manifests"]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"name": "GlioMap"}, "is not a name that Kubernetes accepts"),
        ({"namespace": "a.b"}, "is not a name that Kubernetes accepts"),
        ({"keys_secret": ""}, "is not a name that Kubernetes accepts"),
        ({"bundle_claim": "-x"}, "is not a name that Kubernetes accepts"),
        ({"memory": "2g"}, "is not a valid amount"),
        ({"replicas": 8}, "is below the minimum of 8"),
        ({"archive_claim": "cases"}, "can have only one writer"),
        ({"archive_claim": "cases", "replicas": 1}, "can have only one writer"),
        ({"kserve": True, "scale_on": "queue"}, "not on the queue"),
    ],
)
def test_invalid_requests_are_refused(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        ClusterRequest(IMAGE, **wrong)


def test_every_allowed_combination_of_options_gives_a_valid_pod() -> None:
    options = itertools.product(("cpu", "queue", "none"), (None, "theatre"), (None, "bundles"), (True, False))
    for scale_on, namespace, claim, kserve in options:
        if kserve and scale_on == "queue":
            continue
        request = ClusterRequest(
            IMAGE,
            scale_on=scale_on,
            namespace=namespace,
            bundle_claim=claim,
            kserve=kserve,  # type: ignore[arg-type]
        )
        kubernetes_validate.validate(pod(request), VERSIONS[-1], strict=True)

"""A bundle opens as it was written, or is refused with a reason."""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from bundles.makers import small_bundle
from gliomap.bundles import Bundle, Training, copy_bundle, open_bundle, write_bundle
from gliomap.errors import BundleError, OutputExistsError
from gliomap.sensors import MosaicSensor

FILES = ("manifest.json", "manifest.sha256", "cube.onnx", "frame.onnx", "card.md")


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_bundle_opens_as_it_was_written(tmp_path: Path, sensor: MosaicSensor, name: str) -> None:
    written = small_bundle(tmp_path / "other" / name, sensor=sensor)
    opened = open_bundle(written.path, sensor)
    assert opened.identity == written.identity
    assert opened.manifest == written.manifest
    assert (opened.cube_graph, opened.frame_graph) == (written.cube_graph, written.frame_graph)
    assert opened.sensor is not None
    assert opened.sensor.fingerprint() == sensor.fingerprint()
    for fact in ("name", "description", "source", "wavelengths_nominal"):  # which the fingerprint leaves out
        assert getattr(opened.sensor, fact) == getattr(sensor, fact)
    assert opened.sensor.correction is not None
    assert sensor.correction is not None
    assert opened.sensor.correction.bandpass == sensor.correction.bandpass


@pytest.mark.parametrize("name", ["copy", "copy.zip"])
def test_a_copy_equals_its_bundle_and_a_damaged_one_is_not_copied(tmp_path: Path, bundle: Bundle, name: str) -> None:
    copy = copy_bundle(bundle.path, tmp_path / name)
    assert (copy.identity, copy.card) == (bundle.identity, bundle.card)
    assert open_bundle(tmp_path / name).identity == bundle.identity
    with pytest.raises(OutputExistsError):
        copy_bundle(bundle.path, tmp_path / name)
    (bundle.path / "card.md").write_text("Safe for all.")
    with pytest.raises(BundleError, match="damaged"):
        copy_bundle(bundle.path, tmp_path / f"other-{name}")
    assert not (tmp_path / f"other-{name}").exists()


def test_the_identity_is_the_manifest_hash_and_sha256sum_can_check_it(bundle: Bundle) -> None:
    content = (bundle.path / "manifest.json").read_bytes()
    assert bundle.identity == hashlib.sha256(content).hexdigest()
    checked = subprocess.run(["sha256sum", "-c", "manifest.sha256"], cwd=bundle.path, capture_output=True, check=False)
    assert checked.returncode == 0


def test_folder_and_archive_share_an_identity_and_archives_are_identical(
    tmp_path: Path, sensor: MosaicSensor, bundle: Bundle
) -> None:
    archive = small_bundle(tmp_path / "same.zip", sensor=sensor)
    assert archive.identity == bundle.identity
    again = small_bundle(tmp_path / "again.zip", sensor=sensor)
    assert again.path.read_bytes() == archive.path.read_bytes()


def test_a_bundle_for_cubes_only_says_why(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    assert bundle.frame_graph is None
    assert open_bundle(bundle.path).manifest.no_frame
    assert "Preprocessed cubes only" in bundle.card


def test_the_card_states_the_limits_of_the_model(bundle: Bundle) -> None:
    assert "not a medical device" in bundle.card
    assert "never says 'no tumour'" in bundle.card
    assert "Nothing is known about its training" in bundle.card


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_byte_in_any_file_is_refused(bundle: Bundle, name: str, place: float) -> None:
    path = bundle.path / name
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x20
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="damaged"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError):
        open_bundle(bundle.path)


def test_an_unexpected_file_is_refused(bundle: Bundle) -> None:
    (bundle.path / "model.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model\.bin"):
        open_bundle(bundle.path)


def test_a_graph_that_the_manifest_does_not_name_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    cubes = small_bundle(tmp_path / "cubes")
    (cubes.path / "frame.onnx").write_bytes(bundle.frame_graph or b"")
    with pytest.raises(BundleError, match=r"frame\.onnx, which its manifest does not name"):
        open_bundle(cubes.path)


def test_a_symbolic_link_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "elsewhere").write_bytes((bundle.path / "card.md").read_bytes())
    (bundle.path / "card.md").unlink()
    (bundle.path / "card.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(bundle.path)


def test_a_bundle_is_replaced_only_with_overwrite(bundle: Bundle, sensor: MosaicSensor) -> None:
    before = (bundle.path / "manifest.json").read_bytes()
    with pytest.raises(OutputExistsError):
        small_bundle(bundle.path, sensor=sensor)
    assert (bundle.path / "manifest.json").read_bytes() == before
    replaced = write_bundle(bundle.path, bundle.manifest, bundle.cube_graph, bundle.frame_graph, overwrite=True)
    assert open_bundle(bundle.path).identity == replaced.identity


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"manifest.json"])
def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"is not a readable \.zip"):
        open_bundle(path)


def test_opening_a_file_inside_a_bundle_points_to_its_folder(bundle: Bundle) -> None:
    for name in ("frame.onnx", "manifest.json"):
        with pytest.raises(BundleError, match="is a file of a bundle") as raised:
            open_bundle(bundle.path / name)
        assert raised.value.remedy == f"Use the folder: {bundle.path}."


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("name", ["../card.md", "/card.md", "folder/card.md", "card.md/"])
def test_an_archive_that_points_outside_itself_is_refused(tmp_path: Path, sensor: MosaicSensor, name: str) -> None:
    path = small_bundle(tmp_path / "bundle.zip", sensor=sensor).path
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(BundleError, match="no bundle has"):
        open_bundle(path)


def test_an_archive_of_the_folder_itself_opens(tmp_path: Path, sensor: MosaicSensor) -> None:
    bundle = small_bundle(tmp_path / "mine", sensor=sensor)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", root_dir=tmp_path, base_dir="mine")
    assert open_bundle(packed).identity == bundle.identity
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("yours/card.md", b"x")
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        open_bundle(packed)


def test_an_archive_with_a_duplicate_file_is_refused(tmp_path: Path, sensor: MosaicSensor) -> None:
    path = small_bundle(tmp_path / "bundle.zip", sensor=sensor).path
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("card.md", b"x")
    with pytest.raises(BundleError, match="twice"):
        open_bundle(path)


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    entry = zipfile.ZipInfo("card.md")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        archive.writestr(entry, "/etc/hostname")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(path)


def test_an_archive_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"\0" * (9 * 2**20))
    with pytest.raises(BundleError, match="larger than"):
        open_bundle(path)


def test_the_card_names_the_training_patients_and_warns_of_overlap(bundle: Bundle, tmp_path: Path) -> None:
    training = Training(
        study="pilot",
        study_fingerprint="0" * 64,
        protocol="holdout",
        split_fingerprint="1" * 64,
        patients={"train": ("ID0001", "ID0002"), "validation": (), "test": ("ID0002",)},
        captures={"train": ("ID0001C01", "ID0002C01"), "test": ("ID0002C02",)},
        same_patient=("ID0002",),
        labelled={"train": {"healthy": 1200, "tumour": 300}},
        seed=7,
        settings={"epochs": 3, "schedule": "cosine"},
        notes=("tumour has few pixels",),
    )
    manifest = bundle.manifest.model_copy(update={"training": training})
    card = write_bundle(tmp_path / "told", manifest, bundle.cube_graph, bundle.frame_graph).card
    assert "train: 2 patients, 2 captures (ID0001, ID0002)" in card
    assert "healthy 1,200, tumour 300" in card
    assert "Patients ID0002 are in both training and test: the metrics overstate performance." in card
    assert "tumour has few pixels" in card
    assert open_bundle(tmp_path / "told").manifest.training == training
    assert not training.synthetic, "patients are real unless a phantom is recorded"


def test_a_read_error_of_the_disk_is_not_a_bundle_error(
    tmp_path: Path, sensor: MosaicSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_bundle(tmp_path / "bundle.zip", sensor=sensor).path

    def broken(*_: object, **__: object) -> bytes:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", broken)
    with pytest.raises(OSError, match="input/output"):
        open_bundle(path)


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, sensor: MosaicSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("gliomap._files.os.fsync", full)
    for name in ("bundle", "bundle.zip"):
        with pytest.raises(OSError, match="no space"):
            small_bundle(tmp_path / name, sensor=sensor)
    assert not list(tmp_path.iterdir())

"""The converter reads the model files of the thesis and executes nothing in them."""

from __future__ import annotations

import bz2
import collections
import gzip
import io
import lzma
import os
import pickle
import subprocess
import sys
import types
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gliomap.errors import ModelError, OutputExistsError
from gliomap.learning import load_model
from gliomap.learning.convert_legacy import SIZE_LIMIT, convert, main, read_legacy

# The code of the thesis is not available when its files are read, so these classes are in a module of their own
# that can only be imported while a file is written.
ORIGINAL = types.ModuleType("neural_networks_of_2021")


class Conv2DNet(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, 16, 2), nn.MaxPool2d(2), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, num_classes))


class FourLayerNet(nn.Module):
    def __init__(self, D_in: int, H: int, D_out: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(D_in, H)
        self.linear2 = nn.Linear(H, H * 2)
        self.linear3 = nn.Linear(H * 2, H * 3)
        self.linear4 = nn.Linear(H * 3, D_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear2(self.linear1(x).relu()).relu()
        return self.linear4(self.linear3(x).relu())


class Other(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(25, 5)


for kind in (Conv2DNet, FourLayerNet, Other):
    kind.__module__ = ORIGINAL.__name__
    kind.__qualname__ = kind.__name__
    setattr(ORIGINAL, kind.__name__, kind)


@pytest.fixture
def original(monkeypatch):
    """The thesis's module, importable while a file is written."""
    monkeypatch.setitem(sys.modules, ORIGINAL.__name__, ORIGINAL)


@pytest.fixture
def legacy(original, tmp_path):
    """Write a network to a file as the thesis did."""
    del original

    def write(network: object, name: str = "model.pkl", **options: object) -> Path:
        path = tmp_path / name
        joblib.dump(network, path, **options)
        return path

    return write


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (Conv2DNet(5, 25), "conv2d"),
        (Conv2DNet(4, 25).double(), "conv2d"),
        (FourLayerNet(25, 16, 5), "fourlayer"),
        (FourLayerNet(128, 30, 4), "fourlayer"),
    ],
    ids=["conv2d", "conv2d in double precision", "fourlayer", "fourlayer of another size"],
)
def test_networks_keep_every_weight(legacy, tmp_path, monkeypatch, network, name):
    source = legacy(network)
    monkeypatch.delitem(sys.modules, ORIGINAL.__name__)
    target = tmp_path / "weights.safetensors"
    convert(source, target)
    model = load_model(target)
    assert model.name == name
    expected = weights_of(network)
    assert model.tensors().keys() == expected.keys()
    for key, value in model.tensors().items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-6)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
def test_pickle_protocols_2_to_5_are_read(legacy, protocol, trained):
    network = FourLayerNet(25, 16, 5)
    if trained:
        network(torch.ones(1, 25)).sum().backward()
        network.eval()
    model = read_legacy(legacy(network, protocol=protocol))
    assert all(np.array_equal(model.tensors()[k], v) for k, v in weights_of(network).items())


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_compressed_files_are_read(legacy, compress):
    network = Conv2DNet(5, 25)
    model = read_legacy(legacy(network, compress=compress))
    assert np.array_equal(model.tensors()["fc.0.weight"], weights_of(network)["fc.0.weight"])


def test_a_state_dict_is_read(legacy):
    for network, name in ((Conv2DNet(5, 25), "conv2d"), (FourLayerNet(25, 16, 5), "fourlayer")):
        assert read_legacy(legacy(network.state_dict())).name == name


def test_the_converter_runs_as_a_program_with_limited_memory(legacy, tmp_path):
    source, target = legacy(Conv2DNet(5, 25)), tmp_path / "weights.safetensors"
    command = [sys.executable, "-m", "gliomap.learning.convert_legacy", str(source), str(target)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == f"{target}: conv2d, 25 bands, 5 classes\n"
    assert told.stderr == ""
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "already exists" in again.stderr
    # A memo index of two billion makes the reader ask for a table of 32 GB, more than the process is allowed.
    bomb = tmp_path / "bomb.pkl"
    bomb.write_bytes(b"\x80\x02K\x01r\xff\xff\xff\x7f.")
    refused = subprocess.run(
        [*command[:3], str(bomb), str(tmp_path / "o")], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "MemoryError" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_existing_target_is_kept_unless_overwriting(legacy, tmp_path):
    source, target = legacy(FourLayerNet(25, 16, 5)), tmp_path / "weights.safetensors"
    target.write_text("mine")
    with pytest.raises(OutputExistsError):
        convert(source, target)
    assert target.read_text() == "mine"
    convert(source, target, overwrite=True)
    assert load_model(target).name == "fourlayer"


# What a hostile file could hold.


class Runs:
    """An object whose pickle makes the reader call a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def storage_bytes(content: object) -> bytes:
    """Content in the format in which torch writes tensors."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def hostile(sign: Path) -> dict[str, object]:
    touch = f"touch {sign}"
    network = FourLayerNet(25, 16, 5)
    network.extra = Runs(os.system, touch)
    return {
        "os.system": Runs(os.system, touch),
        "eval": Runs(eval, f"open({str(sign)!r}, 'w')"),
        "exec": Runs(exec, f"open({str(sign)!r}, 'w')"),
        "subprocess": Runs(subprocess.check_call, ["touch", str(sign)]),
        "open": Runs(open, str(sign), "w"),
        "getattr": Runs(getattr, "text", "upper"),
        "torch.load": Runs(torch.load, str(sign)),
        "nested in a network": network,
        "nested in a table": {"linear1.weight": Runs(os.system, touch)},
        "inside a tensor's bytes": Runs(torch.storage._load_from_bytes, storage_bytes(Runs(os.system, touch))),
        "builtins of torch": Runs(torch.hub.load, "evil/repository", "model"),
    }


@pytest.mark.parametrize("what", sorted(hostile(Path("unused"))))
def test_hostile_files_are_refused_and_run_nothing(legacy, tmp_path, what):
    sign = tmp_path / "it-ran"
    source, target = legacy(hostile(sign)[what]), tmp_path / "weights.safetensors"
    with pytest.raises(ModelError, match="cannot be read as a network of the thesis"):
        convert(source, target)
    assert not sign.exists()
    assert not target.exists()


def test_an_ordinary_reader_would_run_a_hostile_file(legacy, tmp_path):
    sign = tmp_path / "it-ran"
    joblib.load(legacy(hostile(sign)["os.system"]))
    assert sign.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(S'touch it-ran'\ntR.",
        b"(S'touch it-ran'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch it-ran\x85R.",
        b"\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\n}\x8c\x09_function\x8c\x01xs\x86b.",
        b"\x80\x02ctorch.storage\n_load_from_bytes\nN}\x8c\x09_function\x8c\x01xs\x86b.",
        b"\x80\x02ctorch.nn.modules.linear\nLinear\n}b.",
        b"\x80\x02cx\nConv2DNet\n)\x81K\x01b.",
        b"\x80\x02cx\nConv2DNet\n)\x81.",
        b"\x80\x02cx\nConv2DNet\nK\x01\x85R.",
        b"\x80\x02P123\n.",
        b"\x80\x04\x82\x01.",
        b"\x80\x02K\x01.",
        b"\x80\x02]",
        b".",
        b"",
        b"\x93NUMPY",
        b"plain text, not at all what was expected",
    ],
)
def test_hostile_and_malformed_streams_are_refused(tmp_path, monkeypatch, stream):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "model.pkl"
    source.write_bytes(stream)
    with pytest.raises(ModelError):
        read_legacy(source)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]


def tensor(offset=0, size=(2, 2), stride=(2, 1), numbers=None):
    content = storage_bytes((torch.zeros(4) if numbers is None else numbers).storage()) if numbers != b"" else numbers
    parameter = Runs(
        torch._utils._rebuild_tensor_v2,
        Runs(torch.storage._load_from_bytes, content),
        offset,
        size,
        stride,
        False,
        collections.OrderedDict(),
    )
    return {"linear1.weight": parameter}


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    "description",
    [
        {"offset": 1},
        {"offset": -1},
        {"size": (100, 100), "stride": (100, 1)},
        {"size": (2**40,), "stride": (0,), "offset": 4},
        {"stride": (-2, 1)},
        {"size": (2,)},
        {"size": (0, 2)},
        {"size": 4},
        {"size": (2.0, 2)},
        {"size": (1,) * 9, "stride": (1,) * 9},
        {"numbers": torch.zeros(4, dtype=torch.int64)},
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(legacy, description):
    with pytest.raises(ModelError, match="a tensor"):
        read_legacy(legacy(tensor(**description)))


def test_one_number_broadcast_to_an_enormous_tensor_is_refused(legacy):
    with pytest.raises(ModelError, match="a tensor"):
        read_legacy(legacy(tensor(size=(2**20, 2**20), stride=(0, 0))))


def test_other_networks_are_refused(legacy):
    with pytest.raises(ModelError, match=r"neural_networks_of_2021\.Other"):
        read_legacy(legacy(Other()))
    with pytest.raises(ModelError, match="neither of"):
        read_legacy(legacy(nn.Linear(25, 5)))
    deep = Conv2DNet(5, 25)
    deep.fc = nn.Sequential(nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, 5))
    with pytest.raises(ModelError, match="32×144"):
        read_legacy(legacy(deep))
    spoiled = FourLayerNet(25, 16, 5)
    nn.init.constant_(spoiled.linear2.bias, float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        read_legacy(legacy(spoiled))


def test_tables_with_too_many_parts_are_refused(legacy):
    table: dict[str, object] = {}
    for _ in range(20):
        table = {str(number): table for number in range(50)}
    with pytest.raises(ModelError, match="more than 200 parts"):
        read_legacy(legacy(table))


def test_files_that_are_too_large_packed_or_unpacked_are_refused(tmp_path, monkeypatch):
    source = tmp_path / "model.pkl"
    with source.open("wb") as stream:
        stream.truncate(SIZE_LIMIT + 1)
    with pytest.raises(ModelError, match="is larger than 64 MiB"):
        read_legacy(source)
    monkeypatch.setattr("gliomap.learning.convert_legacy.SIZE_LIMIT", 10_000)
    for pack in (zlib.compress, gzip.compress, bz2.compress, lzma.compress):
        source.write_bytes(pack(bytes(20_000)))
        with pytest.raises(ModelError, match="unpacks to more than 10000"):
            read_legacy(source)


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"\x78\x9c", b"BZh9", b"\xfd7zXZ\x00", b"\x5d\x00\x00"])
def test_damaged_compression_is_refused(tmp_path, head):
    source = tmp_path / "model.pkl"
    source.write_bytes(head + b"and then something else entirely")
    with pytest.raises(ModelError):
        read_legacy(source)


def test_folders_and_missing_files_are_refused(tmp_path, capsys, monkeypatch):
    with pytest.raises(ModelError, match="is a folder"):
        read_legacy(tmp_path)
    monkeypatch.setattr("gliomap.learning.convert_legacy._limit_memory", lambda: None)
    assert main([str(tmp_path / "none.pkl"), str(tmp_path / "o.safetensors")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none.pkl'}: does not exist")


def test_the_program_prints_what_it_wrote(legacy, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gliomap.learning.convert_legacy._limit_memory", lambda: None)
    target = tmp_path / "o.safetensors"
    assert main([str(legacy(FourLayerNet(25, 16, 5))), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: fourlayer, 25 bands, 5 classes\n"


@pytest.fixture(scope="module")
def sound() -> bytes:
    sys.modules[ORIGINAL.__name__] = ORIGINAL
    stream = io.BytesIO()
    joblib.dump(FourLayerNet(4, 2, 2), stream)
    del sys.modules[ORIGINAL.__name__]
    return stream.getvalue()


@given(data=st.data())
@settings(max_examples=50)
def test_corrupted_files_raise_model_error_or_are_read(sound, tmp_path_factory, data):
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    source = tmp_path_factory.mktemp("garbled") / "model.pkl"
    source.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))]))
    try:
        model = read_legacy(source)
    except ModelError:
        return
    assert model.name == "fourlayer"


def test_only_the_converter_reads_pickles():
    package = Path(sys.modules["gliomap"].__file__ or "").parent
    using = [path.name for path in package.rglob("*.py") if "import pickle" in path.read_text(encoding="utf-8")]
    assert using == ["convert_legacy.py"]
    assert pickle.Unpickler in sys.modules["gliomap.learning.convert_legacy"]._TensorUnpickler.__mro__

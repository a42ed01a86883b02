"""Convert weights of the 2021 thesis from its joblib files: `python -m gliomap.learning.convert_legacy IN OUT`.

The thesis stored whole torch modules with joblib, that is, as pickles, and reading a pickle runs whatever code
it names. This is the only module of GlioMap that reads one. It runs on its own, in a separate process with
bounded memory, and takes these precautions:

- `find_class` accepts, by exact name, the names in `_CALLABLES` and `_PARTS` and the two classes of the thesis,
  and refuses all others; nothing is ever imported for a file;
- it returns inert substitutes instead of torch's own classes; they only keep the state they are given, and the
  file cannot change them;
- the bytes of tensors, a stream in torch's own format inside the pickle, go through
  `torch.load(weights_only=True)`, and sizes are checked before memory is accessed;
- the result is written only if its names and shapes are those of Conv2DNet or FourLayerNet.
"""

from __future__ import annotations

import argparse
import bz2
import io
import lzma
import math
import pickle
import struct
import sys
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from gliomap._files import read_limited, refuse_existing
from gliomap.errors import GlioMapError, ModelError, exit_code, machine_error
from gliomap.learning._model import Floats, TissueModel
from gliomap.learning._registry import model_from_tensors, save_model

__all__ = ["convert", "main", "read_legacy"]

SIZE_LIMIT = 64 * 2**20
"""Maximum bytes of a file, compressed or not; the thesis's own files are under 1 MB."""

MEMORY_LIMIT = 8 * 2**30
"""Maximum address space of the process; torch needs about half of it."""

PART_LIMIT = 200
"""Maximum number of modules, tables and tensors together; the thesis's networks have about 30."""

_PARTS = frozenset(
    {
        ("torch.nn.modules.activation", "ReLU"),
        ("torch.nn.modules.container", "Sequential"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch.nn.modules.flatten", "Flatten"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch.nn.modules.pooling", "MaxPool2d"),
    }
)
"""Modules that the two networks are made of."""

_MODELS = {"Conv2DNet": "conv2d", "FourLayerNet": "fourlayer"}
"""Classes of the thesis, whatever module they were in."""

REMEDY = "Give a file that the thesis's code wrote with joblib.dump(model, …)."


class _Part:
    """Replaces a module: keeps its state and does nothing."""

    __slots__ = ("state",)
    title = ""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"the state of a module is a {type(state).__name__}")
        self.state: dict[object, object] = state


class _Conv2DNet(_Part):
    __slots__ = ()
    title = "Conv2DNet"


class _FourLayerNet(_Part):
    __slots__ = ()
    title = "FourLayerNet"


class _Callable:
    """Replaces a function; it has no attribute that a file could set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function cannot be given a state")


def _load_storage(content: object) -> Floats:
    """Read the numbers of a tensor from torch's stream."""
    import torch

    if not isinstance(content, bytes):
        raise pickle.UnpicklingError("the content of a tensor is not bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        # torch's own message recommends loading without the safeguard, so it is not passed on.
        raise pickle.UnpicklingError("the content of a tensor is damaged or contains more than numbers") from error
    if not isinstance(storage, torch.storage.TypedStorage) or not storage.dtype.is_floating_point:
        raise pickle.UnpicklingError("a tensor does not hold floating-point numbers")
    numbers: Floats = torch.empty(0, dtype=storage.dtype).set_(cast(Any, storage)).to(torch.float32).numpy()
    return numbers


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *_ignored: object) -> Floats:
    """Build a tensor from its numbers; refuse one that reaches beyond them."""
    if not isinstance(storage, np.ndarray) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise pickle.UnpicklingError("a tensor is not described by numbers, size and stride")
    lengths = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > 4 or not all(type(n) is int and n >= 0 for n in lengths):
        raise pickle.UnpicklingError(f"a tensor has size {size}, stride {stride} and offset {offset}")
    start = int(str(offset))
    last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 in size or last >= storage.size or math.prod(size) > storage.size:
        raise pickle.UnpicklingError(f"a tensor of size {size} reaches to number {last} of {storage.size}")
    steps = [step * storage.itemsize for step in stride]
    view: Floats = np.lib.stride_tricks.as_strided(storage[start:], size, steps, writeable=False)
    return view.copy()


def _rebuild_parameter(data: object, *_ignored: object) -> object:
    return data


def _encode(text: object, encoding: object) -> bytes:
    """Encode text to bytes, which is how pickle protocol 2 stores bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes are not written as Latin-1")
    return text.encode("latin-1")


_CALLABLES: Mapping[tuple[str, str], Callable[..., object]] = {
    ("_codecs", "encode"): _Callable(_encode),
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _Callable(_rebuild_parameter),
    ("torch._utils", "_rebuild_tensor"): _Callable(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Callable(_rebuild_tensor),
    ("torch.storage", "_load_from_bytes"): _Callable(_load_storage),
}
"""Everything else that a file may name, and its replacement."""


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles tensors and the two networks, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CALLABLES:
            return _CALLABLES[module, name]
        if (module, name) in _PARTS:
            return _Part
        if name == "Conv2DNet":
            return _Conv2DNet
        if name == "FourLayerNet":
            return _FourLayerNet
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which is neither a tensor nor one of {list(_MODELS)}"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to an object outside the file ({str(pid)[:40]!r})")


def read_legacy(path: Path) -> TissueModel:
    """Read a joblib file of the thesis without running anything in it.

    Raises
    ------
    ModelError
        The file is missing, too large or damaged, names anything but tensors and the two networks, or its tensors
        are not those of the network it names.
    """
    stream = io.BytesIO(_unpacked(path))
    try:
        found = _TensorUnpickler(stream).load()
        tensors = _tensors(found)
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        BufferError,
        EOFError,
        ImportError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(
            path, f"cannot be read as a network of the thesis: {str(error) or type(error).__name__}", REMEDY
        ) from error
    return model_from_tensors(_architecture(path, found, tensors), tensors)


def convert(source: Path, target: Path, *, overwrite: bool = False) -> TissueModel:
    """Read `source` with `read_legacy` and write its weights to `target` as safetensors.

    Raises
    ------
    ModelError
        As for `read_legacy`.
    OutputExistsError
        `target` exists and `overwrite` is False.
    """
    refuse_existing(target, overwrite=overwrite)
    model = read_legacy(source)
    save_model(model, target)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gliomap.learning.convert_legacy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("source", type=Path, help="a joblib file of the thesis's Conv2DNet or FourLayerNet")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the target")
    options = parser.parse_args(arguments)
    _limit_memory()
    try:
        model = convert(options.source, options.target, overwrite=options.overwrite)
    except (GlioMapError, OSError) as error:
        known = machine_error(error) if isinstance(error, OSError) else error
        if known is None:
            raise
        sys.stderr.write(f"error: {known}\n")
        return exit_code(known)
    sys.stdout.write(f"{options.target}: {model.name}, {model.n_bands} bands, {model.n_classes} classes\n")
    return 0


def _limit_memory() -> None:
    # A pickle of 8 bytes can make the C reader allocate a table of 64 GB.
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _unpacked(path: Path) -> bytes:
    """The file's bytes; joblib may have compressed them."""
    content = read_limited(path, SIZE_LIMIT, ModelError, large=REMEDY)
    try:
        if content[:2] == b"\x1f\x8b" or content[:1] == b"\x78":
            unpacked = zlib.decompressobj(wbits=47).decompress(content, SIZE_LIMIT + 1)
        elif content[:3] == b"BZh":
            unpacked = bz2.BZ2Decompressor().decompress(content, SIZE_LIMIT + 1)
        elif content[:6] == b"\xfd7zXZ\x00" or content[:3] == b"\x5d\x00\x00":
            unpacked = lzma.LZMADecompressor().decompress(content, SIZE_LIMIT + 1)
        else:
            unpacked = content
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise ModelError(path, f"is damaged: {error}", REMEDY) from error
    if len(unpacked) > SIZE_LIMIT:
        raise ModelError(path, f"unpacks to more than {SIZE_LIMIT} bytes", REMEDY)
    return unpacked


def _tensors(found: object) -> dict[str, Floats]:
    """The tensors by name, from a module and the modules in it, or from a table of tensors."""
    named: dict[str, Floats] = {}
    waiting: list[tuple[str, object]] = [("", found)]
    for _ in range(PART_LIMIT):
        if not waiting:
            return named
        name, value = waiting.pop()
        if isinstance(value, np.ndarray):
            named[name] = value
        elif isinstance(value, _Part):
            waiting += [(name, value.state.get("_parameters")), (name, value.state.get("_modules"))]
        elif isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else str(key), below) for key, below in value.items()]
        elif value is not None:
            raise pickle.UnpicklingError(f"it has a {type(value).__name__} where a tensor was expected")
    raise pickle.UnpicklingError(f"it has more than {PART_LIMIT} parts")


def _architecture(path: Path, found: object, tensors: Mapping[str, Floats]) -> str:
    if isinstance(found, _Part) and found.title in _MODELS:
        return _MODELS[found.title]
    if not isinstance(found, _Part) and "conv.0.weight" in tensors:
        return "conv2d"
    if not isinstance(found, _Part) and "linear1.weight" in tensors:
        return "fourlayer"
    raise ModelError(path, f"contains neither of {list(_MODELS)}", REMEDY)


if __name__ == "__main__":
    sys.exit(main())

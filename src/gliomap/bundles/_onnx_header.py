"""Inputs and outputs of an ONNX graph, and whether it is complete, read from its bytes before anything runs it.

A few protocol-buffer fields suffice, so neither the `onnx` package nor a session is needed. Field numbers are
those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gliomap.bundles._container import FRESH
from gliomap.errors import BundleError

__all__ = ["GraphHeader", "TensorHeader", "read_graph_header"]

_TYPES = {1: "float32", 2: "uint8", 4: "uint16", 6: "int32", 7: "int64", 10: "float16", 11: "float64"}
_EXTERNAL = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT = 63
_NUMBERS = re.compile(rb"(?:\x40[\x80-\xff]*+[\x00-\x7f])++|(?:\x3d.{4})++", re.DOTALL)
"""Consecutive integers (field 8) or floats (field 7) of an attribute; a forest's nodes have some 500,000 of them."""

Field = tuple[int, int | memoryview]


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Name, element type and shape; a free dimension is given by its name."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class GraphHeader:
    """Operator sets, inputs and outputs of a graph; `external` is True if any of its tensors lies in another file."""

    opsets: dict[str, int]
    inputs: tuple[TensorHeader, ...]
    outputs: tuple[TensorHeader, ...]
    external: bool


def read_graph_header(content: bytes, origin: object) -> GraphHeader:
    """Read the header of a serialised ONNX model.

    Raises
    ------
    BundleError
        The bytes are not an ONNX model.
    """
    try:
        return _model(memoryview(content))
    except (ValueError, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(origin, f"is not an ONNX graph ({error})", FRESH) from error


def _model(content: memoryview) -> GraphHeader:
    opsets: dict[str, int] = {}
    graph: memoryview | None = None
    external = False
    for number, value in _fields(content):
        if number == 8:  # opset_import
            domain, version = "", 0
            for inner, found in _fields(_message(value)):
                domain = _text(found) if inner == 1 else domain
                version = _number(found) if inner == 2 else version
            opsets[domain] = version
        elif number == 7:
            graph = _message(value)
        elif number == 25:  # a function
            external |= any(_node_is_external(_message(one)) for inner, one in _fields(_message(value)) if inner == 7)
    if graph is None:
        raise ValueError("it holds no graph")
    inputs, outputs = [], []
    for number, value in _fields(graph):
        if number == 11:
            inputs.append(_value_info(_message(value)))
        elif number == 12:
            outputs.append(_value_info(_message(value)))
    return GraphHeader(opsets, tuple(inputs), tuple(outputs), external or _graph_is_external(graph))


def _value_info(content: memoryview) -> TensorHeader:
    name, dtype = "", "unknown"
    shape: tuple[int | str, ...] = ()
    for number, value in _fields(content):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for kind, tensor in _fields(_message(value)):
                if kind == 1:  # tensor_type
                    dtype, shape = _tensor_type(_message(tensor))
    return TensorHeader(name, dtype, shape)


def _tensor_type(content: memoryview) -> tuple[str, tuple[int | str, ...]]:
    dtype, shape = "unknown", []
    for number, value in _fields(content):
        if number == 1:
            dtype = _TYPES.get(_number(value), f"type {_number(value)}")
        elif number == 2:
            shape = [_dimension(_message(found)) for inner, found in _fields(_message(value)) if inner == 1]
    return dtype, tuple(shape)


def _dimension(content: memoryview) -> int | str:
    size: int | str = "?"
    for number, value in _fields(content):
        if number == 1:
            size = _number(value)
        elif number == 2:
            size = _text(value)
    return size


def _graph_is_external(graph: memoryview) -> bool:
    for number, value in _fields(graph):
        if number == 1 and _node_is_external(_message(value)):
            return True
        if number == 5 and _is_external(_message(value)):  # initializer
            return True
        if number == 15 and any(_is_external(_message(part)) for _, part in _fields(_message(value))):  # a sparse one
            return True
    return False


def _node_is_external(node: memoryview) -> bool:
    """Whether a node has external tensors, including those of nested graphs such as loop bodies."""
    for number, attribute in _fields(node):
        if number != 5:
            continue
        for kind, value in _fields(_message(attribute), skip=_NUMBERS):
            if kind in (5, 10) and _is_external(_message(value)):  # tensors
                return True
            if kind in (6, 11) and _graph_is_external(_message(value)):
                return True
    return False


def _is_external(tensor: memoryview) -> bool:
    return any(
        (number == 14 and _number(value) == _EXTERNAL) or number == 13  # data_location, external_data
        for number, value in _fields(tensor)
    )


def _fields(content: memoryview, skip: re.Pattern[bytes] | None = None) -> Iterator[Field]:
    """Field numbers and values of one message; values are integers or the bytes of the content.

    Fields that match `skip` are omitted.
    """
    position = 0
    while position < len(content):
        if skip is not None and (left_out := skip.match(content, position)):
            position = left_out.end()
            continue
        key, position = _varint(content, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(content, position)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if position + size > len(content):
            raise ValueError("it ends in the middle of a field")
        yield number, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
    raise ValueError("a number is too long")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8")


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number is expected")
    return value

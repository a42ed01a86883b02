"""Pass arrays to OpenVINO without a copy."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
import openvino

__all__ = ["shared_tensor"]


def shared_tensor(array: npt.NDArray[np.generic]) -> openvino.Tensor:
    """A tensor over the memory of a contiguous array, which the caller keeps alive.

    OpenVINO requires a writable array even for an input that it only reads, and prepared references are read-only.
    Copying them would cost more than reading them.
    """
    if not array.flags.writeable:
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        array = np.ndarray(array.shape, array.dtype, buffer=memoryview(memory))
    return openvino.Tensor(array, shared_memory=True)

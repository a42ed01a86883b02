"""The state of a training run in one safetensors file: weights, optimiser, and the rest as JSON in its header.

It is one file so that a process killed between two writes cannot leave halves that do not belong together.
It holds no state of random generators, because none outlives an epoch: each epoch starts from (seed, epoch)
alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gliomap._files import atomic_file
from gliomap.errors import RunError

__all__ = ["read_checkpoint", "restore_adam", "write_checkpoint"]

FORMAT = "gliomap-checkpoint-1"


def write_checkpoint(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint atomically; `state` must hold plain JSON values."""
    tensors = {f"weights/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    slots = optimiser.state_dict()["state"]
    for number, (name, _) in enumerate(network.named_parameters()):
        tensors |= {f"adam/{name}/{slot}": value for slot, value in slots[number].items()}
    content = save(
        {name: value.detach().contiguous().clone() for name, value in tensors.items()},
        metadata={"format": FORMAT, "state": json.dumps(dict(state), allow_nan=False)},
    )
    # Not save_file: it reports a full disk as a SafetensorError without an error number.
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read the tensors by kind ('weights', 'best', 'adam') and name, and the state.

    Raises
    ------
    RunError
        The file is damaged, is not a checkpoint, or has another format.
    """
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "adam": {}}
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            names = stream.keys()
            for key in names:
                kind, _, name = key.partition("/")
                groups[kind][name] = stream.get_tensor(key)
        if metadata["format"] != FORMAT:
            raise RunError(path, f"has format {metadata['format']!r}", f"This version reads {FORMAT!r}.")
        state: dict[str, Any] = json.loads(metadata["state"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            path, f"is damaged or not a checkpoint ({error})", "Delete the folder that contains it and train again."
        ) from error
    return groups, state


def restore_adam(network: nn.Module, optimiser: torch.optim.Optimizer, slots: Mapping[str, Tensor]) -> None:
    """Restore the optimiser's moments."""
    state = {
        number: {slot: slots[f"{name}/{slot}"] for slot in ("step", "exp_avg", "exp_avg_sq")}
        for number, (name, _) in enumerate(network.named_parameters())
    }
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

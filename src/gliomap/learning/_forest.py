"""Random forest."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gliomap.bundles import ML_DOMAIN
from gliomap.errors import ModelError
from gliomap.learning._config import TrainingConfig
from gliomap.learning._model import Floats
from gliomap.learning._spectral import ABSENT_LOGIT, Pixels, SpectralModel, in_blocks
from gliomap.learning._spectral_graph import GraphBuilder, SpectralGraph

__all__ = ["RandomForest"]

TREES, LEAVES = 60, 512
"""More or deeper trees gain little on spectra of 25 bands, and each costs time in every frame."""
PIXELS_PER_TREE = 10_000
"""Each tree draws at most this many of the training pixels."""

_LEAST_SHARE = 1e-3
"""Smaller shares count as this much: a class that no tree names is unlikely, not impossible."""

_MOST_NODES = 2**24
"""Float32 cannot number more nodes."""


class RandomForest(SpectralModel):
    """Random forest (Breiman 2001) on single spectra: 60 trees of at most 512 leaves, scikit-learn.

    The class shares in the leaves are averaged over the trees. One temperature on their logarithms, learned from the
    validation patients, turns them into probabilities.

    One table holds the nodes of all trees, tree by tree, with children after their parent; a leaf is its own child.
    """

    name: ClassVar[str] = "forest"
    shapes = MappingProxyType(
        {
            "roots": "T",
            "feature": "N",
            "threshold": "N",
            "left": "N",
            "right": "N",
            "shares": "NC",
            "importance": "B",
            "absent": "C",
            "factor": "1",
        }
    )

    def _learn(self, pixels: Pixels, config: TrainingConfig) -> dict[str, Floats]:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            TREES,
            max_leaf_nodes=LEAVES,
            max_samples=min(PIXELS_PER_TREE, pixels.labels.size),
            class_weight="balanced_subsample" if config.class_weights == "balanced" else None,
            random_state=config.seed,
            # The trees do not depend on the number of threads.
            n_jobs=config.threads,
        ).fit(pixels.spectra, pixels.labels)
        present = np.asarray(forest.classes_, np.intp) - 1
        absent = np.full(self.n_classes, ABSENT_LOGIT, np.float32)
        absent[present] = 0
        trees = [_table(estimator.tree_, present, self.n_classes) for estimator in forest.estimators_]
        starts = np.cumsum([0, *(len(tree["left"]) for tree in trees)])
        for tree, start in zip(trees, starts, strict=False):
            tree["left"], tree["right"] = tree["left"] + start, tree["right"] + start
        joined = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
        return {
            "roots": starts[:-1].astype(np.float32),
            **{name: values.astype(np.float32) for name, values in joined.items()},
            "importance": np.asarray(forest.feature_importances_, np.float32),
            "absent": absent,
            "factor": np.ones(1, np.float32),
        }

    def _check(self) -> None:
        tensors = self._known()
        count = tensors["left"].size
        whole = all((tensors[name] % 1 == 0).all() for name in ("roots", "feature", "left", "right"))
        if not 0 < count < _MOST_NODES or not whole or tensors["factor"][0] <= 0:
            raise ModelError(
                f"weights of {self.name}", "hold invalid node numbers or a factor that is not positive", "Train again."
            )
        number, roots = np.arange(count), tensors["roots"]
        ends = np.repeat([*roots[1:], count], np.diff([*roots, count]).clip(0).astype(np.intp))
        rising = roots.size > 0 and roots[0] == 0 and (np.diff(roots) > 0).all() and roots[-1] < count
        leaf = tensors["left"] == number
        fits = rising and bool((leaf == (tensors["right"] == number)).all())
        for name in ("left", "right"):
            # Every path ends if children come after their parent and in the same tree.
            fits = fits and bool(((tensors[name] > number) | leaf).all() and (tensors[name] < ends).all())
        fits = fits and bool((tensors["feature"] >= 0).all() and (tensors["feature"] < self.n_bands).all())
        if not fits or (tensors["shares"] < 0).any():
            raise ModelError(f"weights of {self.name}", "hold nodes that do not form trees", "Train again.")

    def _logits(self, spectra: Floats) -> Floats:
        tensors = self._known()
        feature, left, right, roots = (tensors[name].astype(np.intp) for name in ("feature", "left", "right", "roots"))
        threshold = tensors["threshold"]

        def logits(some: Floats) -> Floats:
            pixels = np.arange(len(some))[:, np.newaxis]
            place = np.broadcast_to(roots, (len(some), roots.size))
            while True:
                after = np.where(some[pixels, feature[place]] <= threshold[place], left[place], right[place])
                if np.array_equal(after, place):
                    break
                place = after
            shares = np.zeros((len(some), self.n_classes), np.float32)
            for column in place.T:
                shares += tensors["shares"][column]
            result: Floats = np.log(np.maximum(shares / roots.size, np.float32(_LEAST_SHARE))) * tensors["factor"]
            return result + tensors["absent"]

        return in_blocks(logits, spectra, self.n_classes)

    def dense(self) -> SpectralGraph:
        """The same model as ONNX's operator for trees."""
        tensors = self._known()

        def logits(build: GraphBuilder, plane: str) -> str:
            rows = build("Reshape", plane, build.integers(-1, self.n_bands))
            shares = build("TreeEnsembleRegressor", rows, domain=ML_DOMAIN, **self._attributes())
            extent = build("Slice", build("Shape", plane), build.integers(0), build.integers(2))
            shape = build("Concat", extent, build.integers(self.n_classes), axis=0)
            shares = build("Reshape", shares, shape)
            logarithms = build("Log", build("Max", shares, build.real(_LEAST_SHARE)))
            return build("Add", build("Mul", logarithms, build.real(tensors["factor"])), build.real(tensors["absent"]))

        size = sum(tensor.size for tensor in tensors.values())
        return SpectralGraph(self.n_bands, self.n_classes, logits, size, steps=True, uses_ml=True)

    def _attributes(self) -> dict[str, Any]:
        """The nodes as `TreeEnsembleRegressor` takes them: one target per class, summed over trees."""
        tensors = self._known()
        roots = tensors["roots"].astype(np.intp)
        count = tensors["left"].size
        tree = np.searchsorted(roots, np.arange(count), side="right") - 1
        number = np.arange(count) - roots[tree]
        leaf = tensors["left"] == np.arange(count)
        leaves, classes = np.nonzero(leaf[:, np.newaxis] & (tensors["shares"] > 0))
        children = {
            key: np.where(leaf, 0, tensors[name].astype(np.intp) - roots[tree]).tolist()
            for key, name in (("nodes_truenodeids", "left"), ("nodes_falsenodeids", "right"))
        }
        return {
            **children,
            "aggregate_function": "SUM",
            "n_targets": self.n_classes,
            "nodes_treeids": tree.tolist(),
            "nodes_nodeids": number.tolist(),
            "nodes_featureids": tensors["feature"].astype(np.intp).tolist(),
            "nodes_values": tensors["threshold"].tolist(),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            "target_treeids": tree[leaves].tolist(),
            "target_nodeids": number[leaves].tolist(),
            "target_ids": classes.tolist(),
            "target_weights": (tensors["shares"][leaves, classes] / roots.size).tolist(),
        }


def _table(tree: Any, present: npt.NDArray[np.intp], n_classes: int) -> dict[str, npt.NDArray[Any]]:
    """The nodes of one scikit-learn tree, numbered from 0."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    leaf, number = left < 0, np.arange(left.size)
    exact = np.asarray(tree.threshold)
    threshold = exact.astype(np.float32)
    # Rounded down: spectra are float32, so each stays on the same side as before.
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    shares = np.zeros((left.size, n_classes), np.float32)
    values = np.asarray(tree.value)[:, 0]
    shares[:, present] = values / values.sum(axis=1, keepdims=True)
    shares[~leaf] = 0
    return {
        "feature": np.where(leaf, 0, np.asarray(tree.feature)),
        "threshold": np.where(leaf, np.float32(0), threshold),
        "left": np.where(leaf, number, left),
        "right": np.where(leaf, number, right),
        "shares": shares,
    }

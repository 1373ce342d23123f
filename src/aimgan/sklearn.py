"""The scikit-learn estimator: rows in, codes out.

from aimgan.sklearn import AIMEncoder
codes = AIMEncoder(dim=8, image_shape=(8, 8)).fit_transform(load_digits().data)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from aimgan.checked import integer, positive, values_for
from aimgan.data.sampler import indices
from aimgan.devices import resolved_device
from aimgan.errors import AimganError, near_miss
from aimgan.model import LatentVariableModel, ModelConfig, to_range
from aimgan.networks import MLP, NETWORKS, Networks
from aimgan.objectives import OBJECTIVES
from aimgan.recipes.assemble import assemble, model_of, normalised_by
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate

FLOATS = [np.float64, np.float32]  # kept as they come; the networks are float32


class AIMEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes of rows: the mean of q(z|x) by an encoder that is trained with a generator, on X alone.

    dim            the code's dimensions
    objective      any of aimgan.OBJECTIVES that has an encoder; `options` are its own ({"weighting": "both"})
    image_shape    (h, w) or (c, h, w) of a row that is an image, scaled to [0, 1] by the smallest and largest number of
                   all X; None: features, each brought to mean 0 and deviation 1 by X
    networks       "mlp", or for images another of aimgan.networks.NETWORKS, as "table4"; `width` is of its widest layer
    steps, batch_size, lr    of the training (Adam, the rate falls linearly to 0, averaged weights)
    random_state   an integer: the same X give the same codes, bit for bit (equal machine and threads)
    device         where it is trained: "cpu", "cuda" or "auto"

    Fitted: model_ (a LatentVariableModel on the CPU: generate, neighbours, save), offset_ and scale_ (the model knows
    (X - offset_) / scale_), mean_ (of those), anomaly_mean_ and anomaly_std_ (of the two parts of `anomaly_score`).
    """

    def __init__(  # untyped: scikit-learn wants any value taken here, and refused in fit
        self,
        dim=8,
        *,
        objective="aim",
        options=None,
        image_shape=None,
        networks="mlp",
        width=128,
        steps=2_000,
        batch_size=100,
        lr=1e-3,
        random_state=0,
        device="cpu",
    ) -> None:
        self.dim, self.objective, self.options = dim, objective, options
        self.image_shape, self.networks, self.width = image_shape, networks, width
        self.steps, self.batch_size, self.lr = steps, batch_size, lr
        self.random_state, self.device = random_state, device

    def fit(self, X: Any, y: Any = None) -> AIMEncoder:
        """Train on the rows of X (n, features); y is passed over.

        Raises ValueError for NaN or fewer than 2 rows, AimganError for a parameter that is not known or does not fit.
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        family = self._family()
        self.offset_, self.scale_ = _units(X, images=self.image_shape is not None)
        rows = Rows(self._scaled(X))
        self.model_ = trained(self._recipe(rows, family), seed, resolved_device(self.device))
        self.mean_ = rows.x.mean(dim=0).numpy()
        parts = self._parts(rows.x)
        self.anomaly_mean_, self.anomaly_std_ = _mean_and_deviation(parts)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes mu(x), (n, dim)."""
        X = self._validated(X)
        return self._codes(self._scaled(X)).cpu().numpy().astype(X.dtype)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return G(z) of codes Z (n, dim) as rows (n, features) in the units of the training data."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=FLOATS)
        rows = self.model_.decode(torch.tensor(Z, dtype=torch.float32), inferred=True).flatten(1).cpu().numpy()
        return (rows * self.scale_ + self.offset_).astype(Z.dtype)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of X's variance that the reconstructions G(mu(x)) explain: 1 all, 0 what the mean does.

        1 - |x - G(mu(x))|^2 / |x - mean_|^2, summed over rows and features that are scaled as in training.
        """
        x = self._scaled(self._validated(X))
        error = self._parts(x)[:, 0].sum()
        of_mean = float((x - torch.from_numpy(self.mean_)).square().flatten(1).mean(dim=1).double().sum())
        return float(1 - error / max(of_mean, np.finfo(float).tiny))

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return how unlike the training data each row is, (n,): higher is stranger, about 0 on the training data.

        The reconstruction error |x - G(mu(x))|^2 plus -log p(mu(x)), how unlikely the code is under the prior; each
        less its mean on the training data and over its standard deviation there.
        """
        parts = self._parts(self._scaled(self._validated(X)))
        return ((parts - self.anomaly_mean_) / self.anomaly_std_).sum(axis=1)

    def __sklearn_tags__(self) -> Any:
        """Both float types are kept."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.model_.dim

    def _family(self) -> Networks:
        if self.networks not in NETWORKS:
            raise near_miss("network family", self.networks, NETWORKS)
        shape = (self.n_features_in_,) if self.image_shape is None else self._image_shape()
        if math.prod(shape) != self.n_features_in_:
            raise AimganError(f"image_shape {shape} has {math.prod(shape)} numbers; X has {self.n_features_in_} a row")
        cls = NETWORKS[self.networks]
        own = {"scale": 1.0, "generator_norm": True} if cls is MLP else {}  # as in the recipe digits/aim
        return cls(shape=shape, dim=positive("dim", self.dim), width=positive("width", self.width), **own)

    def _image_shape(self) -> tuple[int, ...]:
        shape = tuple(integer("a side of image_shape", side) for side in self.image_shape)
        return (1, *shape) if len(shape) == 2 else shape

    def _recipe(self, rows: Rows, family: Networks) -> Recipe:
        given = {"batch_size": self.batch_size, "steps": self.steps, "lr": self.lr}
        given = values_for(Recipe, given, "parameter")
        given["batch_size"] = min(given["batch_size"], rows.epoch_size)
        return Recipe(
            name=f"sklearn/{self.objective}",
            data=rows,
            networks=family,
            objective=self.objective,
            options=self.options or {},
            schedule="linear",
            ema=0.99,
            **given,
        )

    def _validated(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _scaled(self, X: np.ndarray) -> Tensor:
        x = torch.from_numpy(((X - self.offset_) / self.scale_).astype(np.float32))
        return x.reshape(-1, *self._family().shape)

    def _codes(self, x: Tensor) -> Float[Tensor, "n d"]:
        """Return mu(x). New rows may be brighter than all that were trained on, so x may leave [0, 1]."""
        return self.model_.encode(x, bounded=False).mean

    def _parts(self, x: Tensor) -> Float[np.ndarray, "n 2"]:
        """Return each row's mean squared error and -log p(mu(x)), in nats."""
        codes = self._codes(x)
        error = (self.model_.decode(codes, inferred=True).cpu() - x).square().flatten(1).mean(dim=1)
        return torch.stack([error, -self.model_.prior.log_prob(codes).cpu()], dim=1).double().numpy()


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of X in memory, as a source of data and as its batches."""

    x: Tensor

    def load(self, progress: Any = None, say: Any = None) -> Rows:
        """Return itself."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """One row's shape."""
        return tuple(self.x.shape[1:])

    @property
    def epoch_size(self) -> int:
        """How many rows there are."""
        return len(self.x)

    def batch(self, seed: int, step: int, batch_size: int, rank: int = 0, world: int = 1) -> Tensor:
        """Return the batch of step 0, 1, ..."""
        return self.x[indices(len(self.x), batch_size, seed, step, rank, world)]


def trained(recipe: Recipe, seed: int, device: str) -> LatentVariableModel:
    """Train a recipe of `Rows` without a run's folder, and return the model on the CPU.

    Raises AimganError for an objective without an encoder, and where the weights stop being finite.
    """
    kind: Any = OBJECTIVES[recipe.objective]
    if kind.posterior is None:
        raise AimganError(f"objective {recipe.objective} has no encoder, so there are no codes: take aim, ali or vae")
    rows: Any = recipe.data
    accelerator = Accelerator(cpu=device == "cpu")
    engine = Engine(
        assemble(recipe, seed, accelerator.device), Adam(recipe.beta1, recipe.beta2), accelerator, seed, recipe.ema
    )
    steps = recipe.length(1)
    rate = learning_rate(recipe.schedule, recipe.lr, steps, 1)
    for step in range(steps):
        x = rows.batch(seed, step, recipe.batch_size).to(accelerator.device)
        engine.step(to_range(x, recipe.networks.value_range), step, rate(step))
    names = {cls: name for name, cls in NETWORKS.items()}
    arguments: Any = asdict(recipe.networks)  # type: ignore[call-overload]
    about = {"recipe": recipe.name, "seed": seed, "steps": steps, "batch_size": recipe.batch_size, "lr": recipe.lr}
    network = names[type(recipe.networks)]
    config = ModelConfig(network, arguments, recipe.objective, kind.posterior, kind.reads_features, about,
                         **normalised_by(kind))  # fmt: skip
    model = model_of(engine, config)
    if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
        raise AimganError(f"{recipe.objective}: the weights are not finite after {steps} steps: take a lower lr")
    model.reestimate_batch_norm(seed, data=lambda k: rows.batch(seed, k, min(100, rows.epoch_size)))
    return model.to("cpu")


def _units(X: np.ndarray, images: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what is taken from X and what it is divided by: for all pixels, or feature by feature."""
    if not images:
        return _mean_and_deviation(X)
    low, high = X.min(), X.max()
    return np.asarray(low, float), np.asarray(high - low if high > low else 1.0, float)


def _mean_and_deviation(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each column's mean and standard deviation; for a column that is constant, 1 in place of the latter.

    As scikit-learn has it, a column is constant where its variance is no more than rounding leaves of a constant, which
    goes with the column's mean (Chan, Golub and LeVeque, 1983).
    """
    mean, variance, n = X.mean(axis=0, dtype=float), X.var(axis=0, dtype=float), len(X)
    eps = np.finfo(float).eps
    constant = variance <= n * eps * variance + (n * mean * eps) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(variance))

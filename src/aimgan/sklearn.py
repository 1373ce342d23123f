"""The scikit-learn estimator: rows in, codes out.

from aimgan.sklearn import AIMEncoder
codes = AIMEncoder(dim=8, image_shape=(8, 8)).fit_transform(load_digits().data)    # (1797, 8)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from aimgan.checked import integer, positive, values_for
from aimgan.data.sampler import indices
from aimgan.devices import resolved_device
from aimgan.errors import OF_YOUR_OWN, AimganError, near_miss
from aimgan.model import LatentVariableModel, ModelConfig, to_range
from aimgan.networks import MLP, NETWORKS, Networks, StandardNormal
from aimgan.objectives import OBJECTIVES
from aimgan.recipes.assemble import assemble, model_of, normalised_by
from aimgan.recipes.images import options_of
from aimgan.recipes.recipe import Recipe
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine
from aimgan.training.loop import learning_rate
from aimgan.training.processes import accelerator_for
from aimgan.training.threads import as_many_as_pay

FLOATS = [np.float64, np.float32]  # types of X that are kept; the networks compute in float32


class AIMEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes of rows: the means of q(z|x), given by an encoder that is trained together with a generator on X.

    dim            number of dimensions of a code
    objective      any of aimgan.OBJECTIVES that has an encoder; `options` are its own, such as {"weighting": "both"},
                   for images in place of those of aimgan's recipes (a VAE has sigma 0.1)
    image_shape    (h, w) or (c, h, w) if the rows are images: the range of all X is mapped to [0, 1].
                   None for features: each is brought to mean 0 and standard deviation 1
    networks       "mlp", or for images another name of aimgan.networks.NETWORKS; `width` is that of its widest layer
    steps, batch_size, lr    of the training, by Adam at a rate that falls linearly to 0, with averaged weights
    random_state   an integer for equal results: the same X give the same codes, bit for bit, on the same machine
    device         where the model is trained: "cpu", "cuda" or "auto"

    Attributes after `fit`: model_ (a LatentVariableModel on the CPU), offset_ and scale_ (the model is trained on
    (X - offset_) / scale_), mean_ (the mean of those), anomaly_scaler_ (of the two terms of `anomaly_score`).
    """

    def __init__(  # without types: scikit-learn requires that any value is accepted here, and refused by fit
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
        """Train on the rows of X (n, features), n >= 2; y is ignored.

        Warns (ConvergenceWarning) where the reconstructions explain less of the variance of X than its mean does.
        Raises ValueError for NaN or fewer than 2 rows, AimganError for a parameter that is unknown or does not fit.
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        family = self._family()
        if self.image_shape is None:
            scaler = StandardScaler().fit(X)
            self.offset_, self.scale_ = scaler.mean_, scaler.scale_
        else:
            low, high = float(X.min()), float(X.max())
            self.offset_, self.scale_ = np.asarray(low), np.asarray((high - low) or 1.0)
        rows = RowData(self._scaled(X))
        self.model_ = trained(self._recipe(family, rows), seed, resolved_device(self.device))
        self.mean_ = rows.x.mean(dim=0).numpy()
        terms = self._anomaly_terms(rows.x)
        self.anomaly_scaler_ = StandardScaler().fit(terms)
        explained = self._explained(rows.x, terms)
        if explained < 0:
            warnings.warn(
                f"the reconstructions explain {explained:.2f} of the variance of X, and the mean of all rows explains "
                "0: take more steps, another lr, or objective='vae'",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes mu(x), (n, dim)."""
        X = self._validated(X)
        return self._codes(self._scaled(X)).cpu().numpy().astype(X.dtype)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the rows G(z), (n, features), of codes Z (n, dim), in the units of the training data."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=FLOATS)
        rows = self.model_.decode(torch.tensor(Z, dtype=torch.float32), inferred=True).flatten(1).cpu().numpy()
        return (rows * self.scale_ + self.offset_).astype(Z.dtype)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the fraction of the variance of X that the reconstructions G(mu(x)) explain, at most 1.

        1 - |x - G(mu(x))|^2 / |x - mean_|^2, summed over rows and features, which are scaled as in training.
        """
        x = self._scaled(self._validated(X))
        return self._explained(x, self._anomaly_terms(x))

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return how unlike the training data each row is, (n,): about 0 for training data, higher for anomalies.

        The sum of the reconstruction error |x - G(mu(x))|^2 and of -log p(mu(x)), each standardised by its mean and
        standard deviation on the training data.
        """
        terms = self._anomaly_terms(self._scaled(self._validated(X)))
        return self.anomaly_scaler_.transform(terms).sum(axis=1)

    def __sklearn_tags__(self) -> Any:
        """Both float types are kept."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.model_.dim

    def _family(self) -> Networks:
        """Return the networks for rows of X. Raises AimganError for parameters that do not fit."""
        if self.networks not in NETWORKS:
            raise near_miss("network family", self.networks, NETWORKS, OF_YOUR_OWN)
        shape: tuple[int, ...] = (self.n_features_in_,)
        if self.image_shape is not None:
            shape = tuple(integer("a side of image_shape", side) for side in self.image_shape)
            if len(shape) == 2:
                shape = (1, *shape)
        if math.prod(shape) != self.n_features_in_:
            raise AimganError(f"image_shape {shape} has {math.prod(shape)} numbers; X has {self.n_features_in_} a row")
        cls = NETWORKS[self.networks]
        own = {"scale": 1.0, "generator_norm": True} if cls is MLP else {}  # as in the recipe digits/aim
        return cls(shape=shape, dim=positive("dim", self.dim), width=positive("width", self.width), **own)

    def _recipe(self, family: Networks, rows: RowData) -> Recipe:
        given = {"batch_size": self.batch_size, "steps": self.steps, "lr": self.lr}
        given = values_for(Recipe, given, "parameter")
        given["batch_size"] = min(given["batch_size"], len(rows.x))
        name, options = f"sklearn/{self.objective}", dict(self.options or {})
        if self.image_shape is not None:
            options = {**options_of(self.objective), **options}
        return Recipe(name, rows, family, self.objective, options, schedule="linear", ema=0.99, **given)

    def _validated(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)

    def _scaled(self, X: np.ndarray) -> Tensor:
        x = torch.from_numpy(((X - self.offset_) / self.scale_).astype(np.float32))
        return x.reshape(-1, *self._family().shape)

    def _codes(self, x: Tensor) -> Float[Tensor, "n d"]:
        """Return mu(x). New images may be brighter than all training images, so x may leave [0, 1]."""
        return self.model_.encode(x, bounded=False).mean

    def _explained(self, x: Tensor, terms: Float[np.ndarray, "n 2"]) -> float:
        of_mean = float((x - torch.from_numpy(self.mean_)).square().flatten(1).mean(dim=1).double().sum())
        return float(1 - terms[:, 0].sum() / max(of_mean, np.finfo(float).tiny))

    def _anomaly_terms(self, x: Tensor) -> Float[np.ndarray, "n 2"]:
        """Return the mean squared error and -log p(mu(x)), in nats, of each row."""
        codes = self._codes(x)
        error = (self.model_.decode(codes, inferred=True).cpu() - x).square().flatten(1).mean(dim=1)
        prior = self.model_.prior
        assert isinstance(prior, StandardNormal)  # the data have one domain
        return torch.stack([error, -prior.log_prob(codes).cpu()], dim=1).double().numpy()


class RowData(NamedTuple):
    """The rows of X, scaled and in the shape of the model, as the data of a recipe."""

    x: Float[Tensor, "n ..."]

    def load(self, *_: Any) -> RowData:
        """Return itself."""
        return self

    def batch(self, seed: int, step: int, batch_size: int) -> Tensor:
        """Return the batch of step 0, 1, ..."""
        return self.x[indices(len(self.x), batch_size, seed, step)]


def trained(recipe: Recipe, seed: int, device: str) -> LatentVariableModel:
    """Train a recipe of `RowData` without a run folder, and return the model on the CPU.

    Raises AimganError for an objective without an encoder, and where the weights stop being finite.
    """
    objective: Any = OBJECTIVES[recipe.objective]
    if objective.posterior is None:
        raise AimganError(f"objective {recipe.objective} has no encoder, so there are no codes: take aim, ali or vae")
    accelerator = accelerator_for(device)
    players = assemble(recipe, seed, accelerator.device)
    engine = Engine(players, Adam(recipe.beta1, recipe.beta2), accelerator, seed, recipe.ema)
    steps = recipe.length(1)
    about = {"recipe": recipe.name, "seed": seed, "steps": steps, "batch_size": recipe.batch_size, "lr": recipe.lr}
    family = next(name for name, cls in NETWORKS.items() if isinstance(recipe.networks, cls))
    config = ModelConfig(
        family, asdict(recipe.networks), recipe.objective, objective.posterior, objective.reads_features, about,  # type: ignore[call-overload]
        **normalised_by(objective),
    )  # fmt: skip
    rows: Any = recipe.data
    rate = learning_rate(recipe.schedule, recipe.lr, steps, 1)
    with as_many_as_pay(players, recipe.batch_size, accelerator.device):
        for step in range(steps):
            x = rows.batch(seed, step, recipe.batch_size).to(accelerator.device)
            engine.step(to_range(x, recipe.networks.value_range), step, rate(step))
    model = model_of(engine, config)
    if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
        raise AimganError(f"{recipe.objective}: the weights are not finite after {steps} steps: take a lower lr")
    model.reestimate_batch_norm(seed, data=lambda k: rows.batch(seed, k, min(100, len(rows.x))))
    return model.to("cpu")

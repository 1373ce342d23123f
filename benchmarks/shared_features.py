"""A claim of section 5: an encoder on D's features, which it never updates, stabilises training.

    python benchmarks/shared_features.py --data PATH [--seeds N]

AIM at the cpu preset in three forms: as the paper has it; with E on a trunk of its own, which reads G(z) itself; with
D's features trained by E's likelihood too. Writes benchmarks/results/shared-features.json and .md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import ClassVar

from rich.console import Console
from torch import Tensor

import aimgan
from aimgan import noise
from aimgan.data import Images
from aimgan.evaluation.evaluate import evaluate
from aimgan.evaluation.feature_networks import feature_network
from aimgan.networks.batch_norm import reestimate
from aimgan.objectives import AIM, OBJECTIVES, Update
from aimgan.objectives.terms import fake, gaussian_nll, likelihood_loss, real
from aimgan.pages.tables import pipes
from aimgan.recipes.presets import with_preset
from aimgan.training.run_dir import environment

HERE = Path(__file__).parent
SCORES = {
    "MSE": ("reconstruction_mse", 4),
    "IS": ("inception_score", 3),
    "FD": ("frechet_distance", 2),
    "class kept": ("class_preservation", 3),
    "probe": ("probe_accuracy", 3),
    "log score": ("log_score", 1),
    "calibration error": ("calibration_error", 3),
}


@dataclass(eq=False)
class OwnTrunk(AIM):
    """AIM whose E reads images by a trunk of its own."""

    reads_features: ClassVar[bool] = False

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        rho_q, rho_p = self.D(x), self.D(x_z)
        q = self.E(x_z)
        L_e, L_g = likelihood_loss(gaussian_nll(q, z), q), real(rho_p)
        L_d = real(rho_q) + fake(rho_p)
        yield Update(self.D, L_d), Update((self.G, self.E), L_g + self.weight * L_e, {"adversarial": L_g, "nll": L_e})


@dataclass(eq=False)
class TrainedFeatures(AIM):
    """AIM whose D also descends E's likelihood, through the features they share."""

    def step(self, x: Tensor) -> Iterator[tuple[Update, ...]]:
        z = self.prior.sample(len(x))
        x_z = self.G(z)
        f_x, f_z = self.D.features(x), self.D.features(x_z)
        q = self.E(f_z)
        rho_q, rho_p = self.D.head(f_x), self.D.head(f_z)
        L_e, L_g = likelihood_loss(gaussian_nll(q, z), q), real(rho_p)
        L_d = real(rho_q) + fake(rho_p) + self.weight * L_e
        yield Update(self.D, L_d), Update((self.G, self.E), L_g + self.weight * L_e, {"adversarial": L_g, "nll": L_e})


FORMS = {
    "shared, not updated (the paper)": ("aim", AIM),
    "a trunk of its own": ("aim-own-trunk", OwnTrunk),
    "shared, trained by E too": ("aim-trained-features", TrainedFeatures),
}


def scores(form: str, seed: int, data: str) -> dict:
    """Train a form, or find it finished, and return its scores."""
    name, cls = FORMS[form]
    OBJECTIVES[name] = cls
    recipe = replace(with_preset(aimgan.RECIPES["mnist/aim"], "cpu"), name=f"mnist/{name}", objective=name)
    output = HERE / "runs" / "shared-features" / f"{name}-seed{seed}"
    model = aimgan.train(recipe, output, data=data, seed=seed, device="cpu", console=Console())
    if cls is not OwnTrunk:
        return json.loads((output / "evaluation.json").read_text())
    # An encoder with a trunk of its own is trained on real images in all other objectives, so its batch norm was
    # estimated on them; this one saw G(z) only, as the two it is compared with.
    reestimate(model, lambda z: model.E(model.G(z)), [model.prior.sample(100, noise.generator(seed, "batch norm", k))
                                                      for k in range(50)])  # fmt: skip
    images = Images(data, size=28, channels=1).load()
    return evaluate(model.eval(), images, seed, feature_network(images, "digits"), recipe.samples)


def cell(values: list[float], digits: int) -> str:
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    found = {form: [scores(form, seed, given.data) for seed in range(given.seeds)] for form in FORMS}
    rows = [(form, *(cell([s[name] for s in of], d) for name, d in SCORES.values())) for form, of in found.items()]
    machine = environment()
    command = f"python benchmarks/shared_features.py --data PATH --seeds {given.seeds}"
    head = (
        f"`{command}`: {time.strftime('%Y-%m-%d')}, {machine['processor']}, torch {machine['torch']}; mnist/aim, cpu "
        f"preset (a quarter of Table 3's width, three epochs), {given.seeds} seed(s)."
    )
    kept = {form: [{n: s[n] for n, _ in SCORES.values()} for s in of] for form, of in found.items()}
    result = {"command": command, "environment": machine, "scores": kept}
    (HERE / "results" / "shared-features.json").write_text(json.dumps(result, indent=1) + "\n")
    (HERE / "results" / "shared-features.md").write_text(f"{head}\n\n{pipes(('E reads', *SCORES), rows)}\n")
    print((HERE / "results" / "shared-features.md").read_text())


if __name__ == "__main__":
    main()

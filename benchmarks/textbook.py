"""The textbook loop of each objective, to be compared with: every player draws, runs and differentiates its own passes.

This is how public code is written: fresh noise and a forward pass of G, E and the discriminators for each player,
`backward()`, which fills every reachable gradient, unwanted ones being cleared later, and an optimiser a player. The
networks, the losses and the fused Adam are the library's. Updates alternate: each player sees the others moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from aimgan.objectives import OBJECTIVES
from aimgan.objectives.terms import (
    VALUE_FUNCTIONS,
    batch_gaussian_kl,
    bernoulli_likelihood,
    fake,
    gaussian_kl,
    gaussian_likelihood,
    gaussian_nll,
    likelihood_loss,
    real,
    squared_distance,
)
from aimgan.objectives.unrolled_gan import unrolled

Losses = Iterator[tuple[str, Tensor]]  # the players to move, and their loss


class Textbook:
    """Alternating updates on an objective's own networks."""

    def __init__(self, objective: Any, lr: float, betas: tuple[float, float]) -> None:
        self.objective, self.lr, self.betas = objective, lr, betas
        self.losses = LOOPS[next(name for name, cls in OBJECTIVES.items() if type(objective) is cls)]
        self.optimizers: dict[str, torch.optim.Adam] = {}

    def step(self, x: Tensor) -> dict[str, Tensor]:
        log = {}
        for players, loss in self.losses(self.objective, x):
            adam = self.optimizers.get(players) or self._adam(players)
            adam.zero_grad()
            loss.backward()
            adam.step()
            log[players] = loss.detach()
        return log

    def _adam(self, players: str) -> torch.optim.Adam:
        parameters = chain.from_iterable(getattr(self.objective, name).parameters() for name in players.split())
        rate = getattr(self.objective, "discriminator_rate", 1.0) if players == "D" else 1.0
        self.optimizers[players] = torch.optim.Adam(parameters, lr=self.lr * rate, betas=self.betas, fused=True)
        return self.optimizers[players]


def generated(o: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes of the prior and their images, for a player that G does not hear of."""
    z = o.prior.sample(len(x))
    return z, o.G(z).detach()


def sampled(o: Any, x: Tensor) -> Tensor:
    return o.E(x).sample(1)[0]


def aim(o: Any, x: Tensor) -> Losses:
    V = VALUE_FUNCTIONS[o.value]
    _, x_z = generated(o, x)
    yield "D", V.real(o.D(x)) + V.fake(o.D(x_z))

    z = o.prior.sample(len(x))
    f = o.D.features(o.G(z))
    q = o.E(f)
    beta = o.beta if getattr(o, "weighting", "none") == "both" else 0.0
    yield "G E", V.generator(o.D.head(f)) + o.weight * likelihood_loss(gaussian_nll(q, z), q, beta)


def gan(o: Any, x: Tensor) -> Losses:
    _, x_z = generated(o, x)
    yield "D", real(o.D(x)) + fake(o.D(x_z))
    yield "G", real(o.D(o.G(o.prior.sample(len(x)))))


def ali(o: Any, x: Tensor) -> Losses:
    z, x_z = generated(o, x)
    yield "D_xz", real(o.D_xz(x, sampled(o, x).detach())) + fake(o.D_xz(x_z, z))

    z = o.prior.sample(len(x))
    yield "G E", fake(o.D_xz(x, sampled(o, x))) + real(o.D_xz(o.G(z), z))


def bigan(o: Any, x: Tensor) -> Losses:
    z, x_z = generated(o, x)
    yield "D_xz", real(o.D_xz(x, o.E(x).mean.detach())) + fake(o.D_xz(x_z, z))

    z = o.prior.sample(len(x))
    yield "G E", fake(o.D_xz(x, o.E(x).mean)) + real(o.D_xz(o.G(z), z))


def alice(o: Any, x: Tensor) -> Losses:
    z, x_z = generated(o, x)
    z_x = sampled(o, x).detach()
    yield "D_xz", real(o.D_xz(x, z_x)) + fake(o.D_xz(x_z, z))
    if o.cycle == "adversarial":
        yield "D_xx", real(o.D_xx(x, x)) + fake(o.D_xx(x, o.G(z_x).detach()))

    z, z_x = o.prior.sample(len(x)), sampled(o, x)
    x_z_x = o.G(z_x)
    if o.cycle == "adversarial":
        cycle = real(o.D_xx(x, x_z_x))
    else:
        cycle = (x - x_z_x).abs().mean() if o.cycle == "l1" else (x - x_z_x).square().mean()
    yield "G E", fake(o.D_xz(x, z_x)) + real(o.D_xz(o.G(z), z)) + o.weight * cycle


def veegan(o: Any, x: Tensor) -> Losses:
    z, x_z = generated(o, x)
    yield "D_xz", real(o.D_xz(x_z, z)) + fake(o.D_xz(x, o.E(x).mean.detach()))

    z = o.prior.sample(len(x))
    x_z = o.G(z)
    yield "G E", o.D_xz(x_z, z).mean() + o.weight * squared_distance(z, o.E(x_z).mean)  # one optimiser, as the authors


def unrolled_gan(o: Any, x: Tensor) -> Losses:
    _, x_z = generated(o, x)
    yield "D", real(o.D(x)) + fake(o.D(x_z))

    x_z = o.G(o.prior.sample(len(x)))
    D_k = unrolled(o.D, lambda D: real(D(x)) + fake(D(x_z)), o.unrolling, o.inner_lr)
    yield "G", real(D_k(x_z)) if o.generator == "non-saturating" else -(real(D_k(x)) + fake(D_k(x_z)))


def vae(o: Any, x: Tensor) -> Losses:
    q = o.E(x)
    yield "G E", gaussian_kl(q) + reconstruction(o, x, o.G(q.sample(1)[0]))


def reconstruction(o: Any, x: Tensor, x_z_x: Tensor) -> Tensor:
    if o.likelihood == "bernoulli":
        return bernoulli_likelihood(x, x_z_x)
    return gaussian_likelihood(x, x_z_x, o.sigma)


def aae(o: Any, x: Tensor) -> Losses:
    yield "G E", o.weight * squared_distance(x, o.G(o.E(x).mean))
    yield "D_z", real(o.D_z(o.prior.sample(len(x)))) + fake(o.D_z(o.E(x).mean.detach()))
    yield "E", real(o.D_z(o.E(x).mean))


def vae_gan(o: Any, x: Tensor) -> Losses:
    q = o.E(x)
    yield "E", gaussian_kl(q) + 0.5 * squared_distance(o.D.features(x), o.D.features(o.G(q.sample(1)[0])))

    f = o.D.features(o.G(sampled(o, x).detach()))
    adversarial = real(o.D.head(f)) + real(o.D(o.G(o.prior.sample(len(x)))))
    yield "G", o.weight * 0.5 * squared_distance(o.D.features(x), f) + adversarial

    x_z_x, (_, x_z) = o.G(sampled(o, x)).detach(), generated(o, x)
    yield "D", real(o.D(x)) + fake(o.D(x_z_x)) + fake(o.D(x_z))


def avb(o: Any, x: Tensor) -> Losses:
    z_x = sampled(o, x)
    yield "G E", o.D_xz(x, z_x).mean() + reconstruction(o, x, o.G(z_x))
    yield "D_xz", real(o.D_xz(x, sampled(o, x).detach())) + fake(o.D_xz(x, o.prior.sample(len(x))))


def age(o: Any, x: Tensor) -> Losses:
    _, x_z = generated(o, x)
    z_x = o.E(x).mean
    kl = batch_gaussian_kl(z_x) - batch_gaussian_kl(o.E(x_z).mean)
    yield "E", kl + o.data_weight * (x - o.G(z_x)).square().mean()

    z = o.prior.sample(len(x))
    code, unit = o.E(o.G(z)).mean, torch.nn.functional.normalize
    yield "G", batch_gaussian_kl(code) + o.code_weight * (unit(z) - unit(code)).square().mean()


def infogan(o: Any, x: Tensor) -> Losses:
    def information(z: Tensor, f: Tensor) -> Tensor:
        q = o.E(f)
        return o.weight * likelihood_loss(gaussian_nll(q, z), q)

    z, x_z = generated(o, x)
    f = o.D.features(x_z)
    yield "D", real(o.D(x)) + fake(o.D.head(f)) + information(z, f)

    z = o.prior.sample(len(x))
    f = o.D.features(o.G(z))
    yield "G E", real(o.D.head(f)) + information(z, f)


def mdgan(o: Any, x: Tensor) -> Losses:
    if o.variant == "manifold-diffusion":
        yield from two_games(o, x)
        return
    _, x_z = generated(o, x)
    yield "D", real(o.D(x)) + fake(o.D(x_z))

    x_z, x_z_x = o.G(o.prior.sample(len(x))), o.G(o.E(x).mean)
    regulariser = o.data_weight * (x - x_z_x).square().mean() + o.adversarial_weight * real(o.D(x_z_x))
    yield "G E", real(o.D(x_z)) + regulariser


def two_games(o: Any, x: Tensor) -> Losses:
    yield "D_m", real(o.D_m(x)) + fake(o.D_m(o.G(o.E(x).mean).detach()))
    x_z_x = o.G(o.E(x).mean)
    yield "G E", (x - x_z_x).square().mean() + o.adversarial_weight * real(o.D_m(x_z_x))

    _, x_z = generated(o, x)
    yield "D", real(o.D(o.G(o.E(x).mean).detach())) + fake(o.D(x_z))
    yield "G", real(o.D(o.G(o.prior.sample(len(x)))))


def symmetric_vae(o: Any, x: Tensor) -> Losses:
    z, x_z = generated(o, x)
    yield "D_xz", real(o.D_xz(x, sampled(o, x).detach())) + fake(o.D_xz(x_z, z))

    z, z_x = o.prior.sample(len(x)), sampled(o, x)
    x_z = o.G(z)
    q = o.E(x_z)
    nll = gaussian_likelihood(x, o.G(z_x), o.sigma) + likelihood_loss(gaussian_nll(q, z), q)
    yield "G E", o.D_xz(x, z_x).mean() - o.D_xz(x_z, z).mean() + o.weight * nll


def inversion(o: Any, x: Tensor) -> Losses:
    yield from gan(o, x)
    yield "E", (x - o.G(o.E(x).mean)).square().mean()


LOOPS: dict[str, Callable[[Any, Tensor], Losses]] = {
    "aim": aim,
    "aim-minus": aim,
    "gan": gan,
    "ali": ali,
    "bigan": bigan,
    "alice": alice,
    "veegan": veegan,
    "unrolled-gan": unrolled_gan,
    "vae": vae,
    "aae": aae,
    "vae-gan": vae_gan,
    "avb": avb,
    "age": age,
    "infogan": infogan,
    "mdgan": mdgan,
    "symmetric-vae": symmetric_vae,
    "inversion": inversion,
}

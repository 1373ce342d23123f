"""The baselines' algorithms written out naively: one sample at a time, sigmoids and logarithms, as they are printed.

Each is a generator of stages. A stage has the losses of updates that are taken at the same parameters, by the players
that they move ("G E"); the next stage is computed where those have moved. `x` is a list of single samples, `draw()`
makes one list of standard normal codes, in the objective's own order of draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Rows = list[Tensor]  # each (1, ...)
Draw = Callable[[], Rows]
Stages = Iterator[dict[str, Tensor]]


def mean(values: Any) -> Tensor:
    values = list(values)
    return sum(values[1:], values[0]) / len(values)


def says_real(D: Any, *pairs: Rows) -> Tensor:
    """-E log D."""
    return mean(-torch.log(torch.sigmoid(D(*row)[0])) for row in zip(*pairs, strict=True))


def says_generated(D: Any, *pairs: Rows) -> Tensor:
    """-E log(1 - D)."""
    return mean(-torch.log(1 - torch.sigmoid(D(*row)[0])) for row in zip(*pairs, strict=True))


def raw(D: Any, *pairs: Rows) -> Tensor:
    return mean(D(*row)[0] for row in zip(*pairs, strict=True))


def points(o: Any, x: Rows) -> Rows:
    return [o.E(row).mean for row in x]


def sampled(o: Any, x: Rows, eps: Rows) -> Rows:
    """z = mu + sigma eps."""
    return [o.E(row).mean + torch.sqrt(torch.exp(o.E(row).log_variance)) * e for row, e in zip(x, eps, strict=True)]


def images(o: Any, z: Rows) -> Rows:
    return [o.G(row) for row in z]


def elements(a: Rows, b: Rows) -> list[list[tuple[Tensor, Tensor]]]:
    return [list(zip(u.flatten(), v.flatten(), strict=True)) for u, v in zip(a, b, strict=True)]


def squares(a: Rows, b: Rows) -> Tensor:
    """E |a - b|^2."""
    return mean(sum((s - t) ** 2 for s, t in row) for row in elements(a, b))


def apart(a: Rows, b: Rows) -> Tensor:
    """The mean of |a - b| over samples and elements."""
    return mean(abs(s - t) for row in elements(a, b) for s, t in row)


def nll_normal(x: Rows, mu: Rows, sigma: float) -> Tensor:
    constant = math.log(2 * math.pi * sigma**2)
    return mean(sum(((s - t) ** 2 / sigma**2 + constant) / 2 for s, t in row) for row in elements(x, mu))


def nll_bernoulli(x: Rows, rate: Rows) -> Tensor:
    return mean(-sum(s * torch.log(t) + (1 - s) * torch.log(1 - t) for s, t in row) for row in elements(x, rate))


def nll_of(o: Any, x: Rows, x_z_x: Rows) -> Tensor:
    return nll_bernoulli(x, x_z_x) if o.likelihood == "bernoulli" else nll_normal(x, x_z_x, o.sigma)


def nll_of_codes(qs: list[Any], z: Rows, dims: range) -> Tensor:
    """-E log q(z_j, j in dims | x)."""

    def one(q: Any, row: Tensor, j: int) -> Tensor:
        variance = torch.exp(q.log_variance[0, j])
        return ((row[0, j] - q.mean[0, j]) ** 2 / variance + torch.log(2 * math.pi * variance)) / 2

    return mean(sum(one(q, row, j) for j in dims) for q, row in zip(qs, z, strict=True))


def kl_to_prior(o: Any, x: Rows) -> Tensor:
    """E KL(q(z|x) || N(0, I))."""

    def one(q: Any) -> Tensor:
        moments = zip(q.mean[0], torch.exp(q.log_variance[0]), strict=True)
        return sum((mu**2 + variance - 1 - torch.log(variance)) / 2 for mu, variance in moments)  # type: ignore[return-value]

    return mean(one(o.E(row)) for row in x)


def kl_of_batch(z: Rows) -> Tensor:
    """KL(N(m, s^2) || N(0, I)) of the codes' moments."""
    total = torch.zeros((), dtype=torch.float64)
    for j in range(z[0].shape[1]):
        m = mean(row[0, j] for row in z)
        v = mean((row[0, j] - m) ** 2 for row in z)
        total = total + (m**2 + v - 1) / 2 - torch.log(v) / 2
    return total


def ali(o: Any, x: Rows, draw: Draw) -> Stages:
    z, z_x = draw(), sampled(o, x, draw())
    yield game_of_pairs(o, x, z, z_x)


def bigan(o: Any, x: Rows, draw: Draw) -> Stages:
    yield game_of_pairs(o, x, draw(), points(o, x))


def game_of_pairs(o: Any, x: Rows, z: Rows, z_x: Rows) -> dict[str, Tensor]:
    x_z = images(o, z)
    return {
        "D_xz": says_real(o.D_xz, x, z_x) + says_generated(o.D_xz, x_z, z),
        "G E": says_generated(o.D_xz, x, z_x) + says_real(o.D_xz, x_z, z),
    }


def alice(o: Any, x: Rows, draw: Draw) -> Stages:
    z, z_x = draw(), sampled(o, x, draw())
    losses, x_z_x = game_of_pairs(o, x, z, z_x), images(o, z_x)
    if o.cycle == "adversarial":
        losses["D_xx"] = says_real(o.D_xx, x, x) + says_generated(o.D_xx, x, x_z_x)
        cycle = says_real(o.D_xx, x, x_z_x)
    else:
        power = {"l1": 1, "l2": 2}[o.cycle]
        cycle = mean(mean(abs(s - t) ** power for s, t in row) for row in elements(x, x_z_x))
    yield losses | {"G E": losses["G E"] + o.weight * cycle}


def veegan(o: Any, x: Rows, draw: Draw) -> Stages:
    z = draw()
    x_z = images(o, z)
    of_code = squares(z, points(o, x_z))
    yield {
        "D_xz": says_real(o.D_xz, x_z, z) + says_generated(o.D_xz, x, points(o, x)),
        "E": of_code,
        "G": raw(o.D_xz, x_z, z) + o.weight * of_code,
    }


def vae(o: Any, x: Rows, draw: Draw) -> Stages:
    yield {"G E": kl_to_prior(o, x) + nll_of(o, x, images(o, sampled(o, x, draw())))}


def aae(o: Any, x: Rows, draw: Draw) -> Stages:
    yield {"G E": o.weight * squares(x, images(o, points(o, x)))}
    z = draw()
    yield {"D_z": says_real(o.D_z, z) + says_generated(o.D_z, points(o, x))}
    yield {"E": says_real(o.D_z, points(o, x))}


def vae_gan(o: Any, x: Rows, draw: Draw) -> Stages:
    x_z_x, x_z = images(o, sampled(o, x, draw())), images(o, draw())
    likeness = squares([o.D.features(row) for row in x], [o.D.features(row) for row in x_z_x]) / 2
    yield {
        "E": kl_to_prior(o, x) + likeness,
        "G": o.weight * likeness + says_real(o.D, x_z_x) + says_real(o.D, x_z),
        "D": says_real(o.D, x) + says_generated(o.D, x_z_x) + says_generated(o.D, x_z),
    }


def ian(o: Any, x: Rows, draw: Draw) -> Stages:
    def says(kind: int, rows: Rows) -> Tensor:
        logits = [o.D(row)[0] for row in rows]
        return mean(
            -torch.log(torch.exp(row[kind]) / (torch.exp(row[0]) + torch.exp(row[1]) + torch.exp(row[2])))
            for row in logits
        )

    qs = [o.E(o.D.features(row).detach()) for row in x]  # D's loss does not reach its features by way of E
    z_x = [q.mean + torch.sqrt(torch.exp(q.log_variance)) * e for q, e in zip(qs, draw(), strict=True)]
    x_z_x, x_z = images(o, z_x), images(o, draw())
    f_x, f_r = [o.D.features(row) for row in x], [o.D.features(row) for row in x_z_x]
    kl = mean((q.mean**2 + torch.exp(q.log_variance) - 1 - q.log_variance).mean() / 2 for q in qs)
    pixels = mean(abs(s - t) for row in elements(x, x_z_x) for s, t in row)
    yield {
        "D": says(0, x) + says(1, x_z) + says(2, x_z_x) + o.orthogonal_weight * orthogonality(o.D),
        "G E": o.adversarial_weight * (says(0, x_z) + says(0, x_z_x))
        + o.pixel_weight * pixels
        + o.feature_weight * squares(f_x, f_r) / f_x[0].numel()
        + kl
        + o.orthogonal_weight * (orthogonality(o.G) + orthogonality(o.E)),
    }


def orthogonality(network: Any) -> Tensor:
    """The sum of |w_i w_j - [i = j]| over the pairs of filters of each convolution."""
    total = torch.zeros((), dtype=torch.float64)
    for weight in network.parameters():
        if weight.ndim == 4:
            filters = [one.flatten() for one in weight]
            for i, a in enumerate(filters):
                for j, b in enumerate(filters):
                    total = total + abs(torch.dot(a, b) - float(i == j))
    return total


def cyclegan(o: Any, x: Rows, draw: Draw) -> Stages:
    def off(D: Any, rows: Rows, target: float) -> Tensor:
        return mean((D(row)[0] - target) ** 2 for row in rows)

    z = draw()
    x_z, z_x = images(o, z), points(o, x)
    cycles = apart(x, images(o, z_x)) + apart(z, points(o, x_z))
    loss = off(o.D, x_z, 1) + off(o.D_z, z_x, 1) + o.weight * cycles
    if o.identity:
        loss = loss + o.identity * o.weight * (apart(x, images(o, x)) + apart(z, points(o, z)))
    yield {
        "G E": loss,
        "D": (off(o.D, x, 1) + off(o.D, x_z, 0)) / 2,
        "D_z": (off(o.D_z, z, 1) + off(o.D_z, z_x, 0)) / 2,
    }


def discogan(o: Any, x: Rows, draw: Draw) -> Stages:
    z = draw()
    x_z, z_x = images(o, z), points(o, x)
    of_x = squares(x, images(o, z_x)) / x[0].numel()
    of_z = squares(z, points(o, x_z)) / z[0].numel()
    yield {
        "G E": says_real(o.D, x_z) + says_real(o.D_z, z_x) + o.weight * (of_x + of_z),
        "D": says_real(o.D, x) + says_generated(o.D, x_z),
        "D_z": says_real(o.D_z, z) + says_generated(o.D_z, z_x),
    }


def dualgan(o: Any, x: Rows, draw: Draw) -> Stages:
    z_x = points(o, x)
    for _ in range(o.critic_steps):
        z = draw()
        x_z = images(o, z)
        yield {"D": raw(o.D, x_z) - raw(o.D, x), "D_z": raw(o.D_z, z_x) - raw(o.D_z, z)}
    cycles = apart(x, images(o, z_x)) + apart(z, points(o, x_z))
    yield {"G E": o.weight * cycles - raw(o.D, x_z) - raw(o.D_z, z_x)}


def avb(o: Any, x: Rows, draw: Draw) -> Stages:
    z, eps = draw(), draw()
    made = [(o.E(row), e) for row, e in zip(x, eps, strict=True)]
    z_x = [q.network(torch.cat([q.f, e], dim=1)) for q, e in made]
    yield {
        "G E": raw(o.D_xz, x, z_x) + nll_of(o, x, images(o, z_x)),
        "D_xz": says_real(o.D_xz, x, z_x) + says_generated(o.D_xz, x, z),
    }


def age(o: Any, x: Rows, draw: Draw) -> Stages:
    z = draw()
    per_element = 1 / x[0].numel()
    of_data = per_element * squares(x, images(o, points(o, x)))
    yield {"E": kl_of_batch(points(o, x)) - kl_of_batch(points(o, images(o, z))) + o.data_weight * of_data}
    codes = points(o, images(o, z))
    angles = [torch.dot(a[0], b[0]) / (a.norm() * b.norm()) for a, b in zip(z, codes, strict=True)]
    of_code = mean(2 * (1 - cosine) / z[0].shape[1] for cosine in angles)  # of unit vectors, |a - b|^2 = 2 - 2 cos
    yield {"G": kl_of_batch(codes) + o.code_weight * of_code}


def infogan(o: Any, x: Rows, draw: Draw) -> Stages:
    z = draw()
    d, x_z = z[0].shape[1], images(o, z)
    qs = [o.E(o.D.features(row)) for row in x_z]
    rest = mean(sum((s**2 + math.log(2 * math.pi)) / 2 for s in row[0, (d + 1) // 2 :]) for row in z)  # a constant
    information = nll_of_codes(qs, z, range((d + 1) // 2)) + rest
    yield {
        "D": says_real(o.D, x) + says_generated(o.D, x_z) + o.weight * information,
        "G E": says_real(o.D, x_z) + o.weight * information,
    }


def mdgan(o: Any, x: Rows, draw: Draw) -> Stages:
    z, x_z_x = draw(), images(o, points(o, x))
    d = squares(x, x_z_x) / x[0].numel()
    if o.variant == "regularised":
        x_z = images(o, z)
        regulariser = o.data_weight * d + o.adversarial_weight * says_real(o.D, x_z_x)
        yield {
            "D": says_real(o.D, x) + says_generated(o.D, x_z),
            "G E": says_real(o.D, x_z) + regulariser,
        }
        return
    yield {
        "D_m": says_real(o.D_m, x) + says_generated(o.D_m, x_z_x),
        "G E": d + o.adversarial_weight * says_real(o.D_m, x_z_x),
    }
    x_z_x, x_z = images(o, points(o, x)), images(o, z)
    yield {"D": says_real(o.D, x_z_x) + says_generated(o.D, x_z), "G": says_real(o.D, x_z)}


def symmetric_vae(o: Any, x: Rows, draw: Draw) -> Stages:
    z, z_x = draw(), sampled(o, x, draw())
    x_z = images(o, z)
    nll_x = nll_normal(x, images(o, z_x), o.sigma)
    nll_z = nll_of_codes([o.E(row) for row in x_z], z, range(z[0].shape[1]))
    yield {
        "D_xz": says_real(o.D_xz, x, z_x) + says_generated(o.D_xz, x_z, z),
        "G E": raw(o.D_xz, x, z_x) - raw(o.D_xz, x_z, z) + o.weight * (nll_x + nll_z),
    }


def inversion(o: Any, x: Rows, draw: Draw) -> Stages:
    x_z = images(o, draw())
    yield {
        "D": says_real(o.D, x) + says_generated(o.D, x_z),
        "G": says_real(o.D, x_z),
        "E": squares(x, images(o, points(o, x))) / x[0].numel(),
    }

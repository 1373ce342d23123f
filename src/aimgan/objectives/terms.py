"""Loss terms, each with its equation. Batches are averaged; the dimensions of a code are summed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Scalar = Float[Tensor, ""]
Logits = Float[Tensor, " n"]
Codes = Float[Tensor, "n d"]
Images = Float[Tensor, "n ..."]


@runtime_checkable
class DiagonalGaussian(Protocol):
    """q(z|x) = N(mean, diag(exp(log_variance))), one row for each sample."""

    @property
    def mean(self) -> Codes:
        """mu(x)."""
        ...

    @property
    def log_variance(self) -> Codes:
        """log sigma^2(x)."""
        ...


# --- games: the losses of D and G, from the logits rho_q = D(x) and rho_p = D(G(z)) ---

Losses = tuple[Scalar, Scalar, Scalar]  # L_real, L_fake, L_g: D minimises L_real + L_fake, G minimises L_g


def wide(values: Tensor) -> Tensor:
    """Return values in float32 or better: under autocast they may be bfloat16, too coarse for sums and means."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def mean(values: Logits) -> Scalar:
    """Return the mean over samples, in float32 or better."""
    return wide(values).mean()


def real(logits: Logits) -> Scalar:
    """Return -E log sigmoid(logits): binary cross-entropy with target 1."""
    return mean(F.softplus(-logits))


def fake(logits: Logits) -> Scalar:
    """Return -E log(1 - sigmoid(logits)): binary cross-entropy with target 0."""
    return mean(F.softplus(logits))


def gan(rho_q: Logits, rho_p: Logits) -> Losses:
    """Equation 7, with the non-saturating loss -E log D(G(z)) for G."""
    return real(rho_q), fake(rho_p), real(rho_p)


def f_gan(rho_q: Logits, rho_p: Logits) -> Losses:
    """Equation 6 as printed. At the best D it is KL(q(x) || p(x)), and G's gradient vanishes where D is sure."""
    generated = mean((rho_p - 1).exp())
    return -mean(rho_q), generated, -generated


def f_gan_swapped(rho_q: Logits, rho_p: Logits) -> Losses:
    """Equation 6 with p and q exchanged: KL(p(x) || q(x)), the direction that term I of equation 3 needs."""
    return mean((rho_q - 1).exp()), -mean(rho_p), mean(rho_p)


def relativistic(rho_q: Logits, rho_p: Logits) -> Losses:
    """RSGAN (Jolicoeur-Martineau, 2019) and R3GAN (Huang et al., 2024): D compares each x with one G(z).

    D minimises -E log sigmoid(D(x) - D(G(z))), of which half is returned as L_real and half as L_fake.
    G minimises -E log sigmoid(D(G(z)) - D(x)).
    """
    half = real(rho_q - rho_p) / 2
    return half, half, real(rho_p - rho_q)


def least_squares(outputs: Logits, target: float) -> Scalar:
    """Return E(outputs - target)^2: the game of LSGAN (Mao et al., 2017), without a sigmoid."""
    return wide(outputs - target).square().mean()


def class_nll(logits: Float[Tensor, "n k"], kind: int) -> Scalar:
    """Return -E log softmax(logits)_kind: the cross-entropy of a discriminator of k kinds with one of them."""
    return -mean(F.log_softmax(wide(logits), dim=1)[:, kind])


GAMES: dict[str, Callable[[Logits, Logits], Losses]] = {
    "gan": gan,
    "f-gan": f_gan,
    "f-gan-swapped": f_gan_swapped,
    "relativistic": relativistic,
}


def likelihood_weight(value: str, dim: int) -> float:
    """Return the default lambda of equation 9 for a game of GAMES and codes of `dim` dimensions.

    It is 1 with equation 6, where both terms are divergences (text below equation 9). Otherwise it is 1/d, which brings
    a sum over d dimensions to the scale of D's single output (section 5).
    """
    if value in ("f-gan", "f-gan-swapped"):
        return 1.0
    return 1 / dim


def gradient_penalty(rho: Logits, x: Images) -> Scalar:
    """Return the mean over samples of |d rho_i / d x_i|^2 (Mescheder et al., 2018, section 4.1).

    It is R1 for real x and R2 for generated x. rho must be computed from x, and x must require a gradient. The gradient
    is that of the sum over the batch; it is each sample's own unless D mixes samples (batch norm). It is taken here
    and not by the engine because it is part of a loss.
    """
    (slope,) = torch.autograd.grad(rho.sum(), x, create_graph=True)
    return slope.square().sum() / len(x)


def orthogonality(*networks: nn.Module) -> Scalar:
    """Return the sum over convolutions of |W W^T - I|, all elements' absolute values (Brock et al., 2017).

    Row i of W is filter i, or of a transposed convolution the weights of input map i: the filter of its transpose.
    Without a convolution it is a constant 0.
    """
    total = torch.zeros((), device=next(networks[0].parameters()).device)
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                W = module.weight.flatten(1)
                total = total + wide(W @ W.T - torch.eye(len(W), device=W.device, dtype=W.dtype)).abs().sum()
    return total


# --- codes ---


def gaussian_nll(q: DiagonalGaussian, z: Codes) -> Codes:
    """Return -log N(z_j; mean_j, variance_j) for each sample and dimension j: equation 8 before its sum over j."""
    squared_error = (z - q.mean).square() * (-q.log_variance).exp()
    return 0.5 * (squared_error + q.log_variance + math.log(2 * math.pi))


def likelihood_loss(nll: Codes, q: DiagonalGaussian, beta: float = 0.0) -> Scalar:
    """Return the mean over samples of sum_j variance_j^beta nll_j: equation 8 for beta = 0.

    The weight variance_j^beta is a constant to the gradient (Seitzer et al., 2022). Each sample and dimension has its
    own weight.
    """
    if beta != 0:
        nll = (beta * q.log_variance.detach()).exp() * nll
    return nll.sum() / len(nll)


def gaussian_kl(q: DiagonalGaussian) -> Scalar:
    """Return the mean over samples of KL(q(z|x) || N(0, I)): I_vae of equation 5 in closed form."""
    return 0.5 * wide(q.mean.square() + q.log_variance.exp() - 1 - q.log_variance).sum() / len(q.mean)


def batch_gaussian_kl(z: Codes) -> Scalar:
    """Return KL(N(m, diag(s^2)) || N(0, I)), m and s^2 the mean and the variance over the batch."""
    z = wide(z)
    variance = z.var(dim=0, correction=0)
    return 0.5 * (z.mean(dim=0).square() + variance - 1 - variance.log()).sum()


# --- data ---


def absolute_distance(a: Images, b: Images) -> Scalar:
    """Return the mean of |a - b| over samples and elements."""
    return wide(a - b).abs().mean()


def squared_distance(a: Images, b: Images) -> Scalar:
    """Return the mean over samples of |a - b|^2, summed over a sample's elements."""
    return wide(a - b).square().sum() / len(a)


def gaussian_likelihood(x: Images, mean: Images, sigma: float) -> Scalar:
    """Return the mean over samples of -log N(x; mean, sigma^2 I): II_vae of equation 5."""
    constant = 0.5 * math.log(2 * math.pi * sigma**2) * x[0].numel()
    return squared_distance(x, mean) / (2 * sigma**2) + constant


def bernoulli_likelihood(x: Images, rate: Images) -> Scalar:
    """Return the mean over samples of -sum_j log Bernoulli(x_j; rate_j), x and rate in [0, 1]."""
    with torch.autocast(x.device.type, enabled=False):  # which refuses this loss on a GPU
        return F.binary_cross_entropy(rate.to(x.dtype), x, reduction="sum") / len(x)


LIKELIHOODS = ("gaussian", "bernoulli")


def data_likelihood(kind: str, x: Images, x_z_x: Images, sigma: float) -> Scalar:
    """Return the mean over samples of -log p(x|z) with x_z_x = G(z); the kind of p(x|z) is one of LIKELIHOODS."""
    if kind == "bernoulli":
        return bernoulli_likelihood(x, x_z_x)
    return gaussian_likelihood(x, x_z_x, sigma)

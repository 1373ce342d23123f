"""A step of AIM on the grid's MLPs: the engine, eager and compiled, against the same step in JAX as one `lax.scan`.

    pip install -c constraints.txt --group benchmarks      # JAX, which nothing else here needs
    python benchmarks/jax_grid.py [--rounds 9] [--steps 300]

JAX gets what suits it best: the whole loop is one compiled program that also draws its noise. Before anything is timed,
both take the same five steps from the same weights, batches and codes, and must agree. One core, in turns. Writes
benchmarks/results/jax-grid.json and .md.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from typing import Any, NamedTuple

import common
import jax
import jax.numpy as jnp
import torch
from accelerate import Accelerator
from jax import Array
from torch import nn

from aimgan import noise
from aimgan.recipes import RECIPES
from aimgan.recipes.assemble import assemble
from aimgan.training.adam import Adam
from aimgan.training.engine import Engine

RESULT = common.RESULTS / "jax-grid.json"
RECIPE = RECIPES["grid/aim"]  # whose likelihood is weighted by its own variance
SCALE = RECIPE.networks.scale  # type: ignore[attr-defined]
AGREE = 1e-3  # the largest difference of a weight after STEPS, of which each moves it by up to 2e-3
STEPS = 5

Layers = list[tuple[Array, Array]]
Weights = dict[str, Layers]


class State(NamedTuple):
    """Weights, Adam's two moments, and the averages of the weights."""

    weights: Weights
    first: Weights
    second: Weights
    averages: Weights


def take_one_core() -> None:
    """Keep torch and XLA to one thread; XLA has no other way than to have one core. Call it before any computation."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def layers_of(network: nn.Module) -> Layers:
    """Return the linear layers of a network of torch, weights transposed."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    return [(jnp.array(layer.weight.detach().T.numpy()), jnp.array(layer.bias.detach().numpy())) for layer in linear]


def begin(objective: Any) -> State:
    """Return the state before the first step, with the objective's weights."""
    weights = {name: layers_of(getattr(objective, name)) for name in ("D", "G", "E")}
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return State(weights, zeros, zeros, weights)


def affine(layer: tuple[Array, Array], x: Array) -> Array:
    return x @ layer[0] + layer[1]


def leaky(x: Array) -> Array:
    return jnp.where(x > 0, x, 0.2 * x)


def losses(G: Layers, E: Layers, D: Layers, x: Array, z: Array) -> tuple[Array, Array]:
    """Return D's loss, and that of G and E (equations 7 and 8, the likelihood weighted by its variance)."""
    x_z = z
    for layer in G[:-1]:
        x_z = jax.nn.relu(affine(layer, x_z))
    x_z = affine(G[-1], x_z)

    def features(x: Array) -> Array:
        x = x / SCALE
        for layer in D[:-1]:
            x = leaky(affine(layer, x))
        return x

    f_z = features(x_z)
    rho_q, rho_p = affine(D[-1], features(x)), affine(D[-1], f_z)
    hidden = leaky(affine(E[0], f_z))
    mean, log_variance = affine(E[1], hidden), affine(E[2], hidden)
    nll = 0.5 * ((z - mean) ** 2 * jnp.exp(-log_variance) + log_variance + math.log(2 * math.pi))
    weighted = (jax.lax.stop_gradient(jnp.exp(log_variance)) * nll).sum() / len(z)
    of_D = jax.nn.softplus(-rho_q).mean() + jax.nn.softplus(rho_p).mean()
    return of_D, jax.nn.softplus(-rho_p).mean() + weighted / z.shape[1]


def gradients(weights: Weights, x: Array, z: Array) -> Weights:
    """Return the gradients of both players from one forward pass and one backward pass for each."""
    G, E, D = weights["G"], weights["E"], weights["D"]
    _, back = jax.vjp(lambda G, E, D: losses(G, E, D, x, z), G, E, D)
    one, zero = jnp.ones(()), jnp.zeros(())
    _, _, of_D = back((one, zero))
    of_G, of_E, _ = back((zero, one))
    return {"D": of_D, "G": of_G, "E": of_E}


def step(state: State, number: Array, x: Array, z: Array, lr: Array) -> State:
    """Take one step: both gradients, Adam, the averages."""
    found = gradients(state.weights, x, z)
    first = jax.tree.map(lambda m, g: RECIPE.beta1 * m + (1 - RECIPE.beta1) * g, state.first, found)
    second = jax.tree.map(lambda v, g: RECIPE.beta2 * v + (1 - RECIPE.beta2) * g * g, state.second, found)
    t = number + 1.0
    size = lr / (1 - RECIPE.beta1**t)
    root = jnp.sqrt(1 - RECIPE.beta2**t)
    weights = jax.tree.map(lambda w, m, v: w - size * m / (jnp.sqrt(v) / root + 1e-8), state.weights, first, second)
    share = jnp.maximum(1 - RECIPE.ema, 1 / t)
    averages = jax.tree.map(lambda a, w: a + share * (w - a), state.averages, weights)
    return State(weights, first, second, averages)


def loop(state: State, batches: Array, key: Array) -> State:
    """Take a step on each batch, with codes drawn here."""

    def body(state: State, given: tuple[Array, Array, Array]) -> tuple[State, None]:
        number, x, key = given
        z = jax.random.normal(key, (RECIPE.batch_size, RECIPE.networks.dim))
        return step(state, number, x, z, jnp.asarray(RECIPE.lr)), None

    numbers = jnp.arange(len(batches), dtype=jnp.float32)
    return jax.lax.scan(body, state, (numbers, batches, jax.random.split(key, len(batches))))[0]


def engine() -> Engine:
    return Engine(assemble(RECIPE, 0), Adam(RECIPE.beta1, RECIPE.beta2), Accelerator(cpu=True), ema=RECIPE.ema)


def difference(batches: torch.Tensor) -> float:
    """Return the largest difference between a weight of JAX and one of the engine after STEPS equal steps."""
    ours = engine()
    state = begin(ours.objective)
    one = jax.jit(step)
    for k in range(STEPS):
        z = ours._stream(k).normal(RECIPE.batch_size, RECIPE.networks.dim)
        x = batches[k]
        state = one(state, jnp.asarray(float(k)), jnp.array(x.numpy()), jnp.array(z.numpy()), jnp.asarray(RECIPE.lr))
        ours.step(x, k, RECIPE.lr)
    pairs = zip(jax.tree.leaves(begin(ours.objective).weights), jax.tree.leaves(state.weights), strict=True)
    return max(float(jnp.abs(a - b).max()) for a, b in pairs)


def timed(batches: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of a step of each side, round by round, in turns."""
    eager, compiled = engine(), engine()
    compiled.compile(batches[0])
    scan = jax.jit(loop)
    arrays, key = jnp.array(batches.numpy()), jax.random.key(0)
    begun = begin(eager.objective)

    def of_torch(made: Engine) -> None:
        for k, x in enumerate(batches):
            made.step(x, k, RECIPE.lr)

    sides = {
        "engine": lambda: of_torch(eager),
        "engine, compile=true": lambda: of_torch(compiled),
        "JAX, lax.scan": lambda: jax.block_until_ready(scan(begun, arrays, key)),
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(sides):
            begin_at = time.perf_counter()
            sides[name]()
            if number:  # the first round warms up and compiles
                spent[name].append(1e3 * (time.perf_counter() - begin_at) / len(batches))
    return spent


def page(result: dict[str, Any]) -> str:
    rows = []
    for name, spent in result["milliseconds"].items():
        ratios = [theirs / ours for ours, theirs in zip(spent, result["milliseconds"]["JAX, lax.scan"], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append((name, f"{statistics.median(spent):.2f}", ratio))
    return (
        f"{common.origin(result)}, JAX {result['jax']}. Steps of {RECIPE.name}, batches of {RECIPE.batch_size}; "
        f"medians of rounds in turns (smallest and largest ratio). After {STEPS} equal steps the largest difference of "
        f"a weight is {result['difference']:.1e}.\n\n"
    ) + common.table(("side", "ms a step", "JAX's time / its time"), rows)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=300, help="steps a round")
    given = parser.parse_args()
    take_one_core()
    batches = torch.randn(given.steps, RECIPE.batch_size, *RECIPE.networks.shape, generator=noise.generator("x"))
    found = difference(batches)
    assert found < AGREE, found
    result = {
        **common.about(), "jax": jax.__version__, "difference": found, "milliseconds": timed(batches, given.rounds)
    }  # fmt: skip
    common.write(RESULT, result, page(result))


if __name__ == "__main__":
    main()

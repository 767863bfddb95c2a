"""The peers of `tests.bench.peers`: fits in plain JAX, as users of JAX write them.

Runs in the peers' environment, which has JAX and optax but not nefstudy.

- `recipe`: the recipe of fit-a-nef (Papa et al. 2024), written for this benchmark: a jitted training step, vmapped over
  16 or 256 fields, in a Python loop.
- `best JAX`: the fastest of several programs with one jitted `lax.scan` over the steps.
"""

import time
from collections.abc import Callable
from functools import partial
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .peer_worker import CALL_STEPS, CHECK_FIELDS, Measured, PeerTask, first_seconds, flat, named, serve, turn

Params = dict[str, jax.Array]
PEAK_SIZE = 768
CALIBRATION_S = 0.15
VARIANTS = {
    "recipe": [("loop", 16, "points first"), ("loop", 256, "points first")],
    "best JAX": [
        (steps, fields, order)
        for steps, fields in (("scan", 4), ("scan", 16), ("scan", 64), ("map", 4))
        for order in ("points first", "points last")
    ],
}
"""Per peer: how it takes steps, its number of fields, and the order of points and features in its arrays.

`loop` and `scan` vmap over the fields. `map` fits one field after the other (`lax.map`), all steps of a call at once.
"""


def dense(p: Params, x: jax.Array, name: str, bias: str, *, last: bool) -> jax.Array:
    """Return a linear layer of one field, with the points on the first or on the last axis."""
    return p[name].T @ x + p[bias][:, None] if last else x @ p[name] + p[bias]


def siren(p: Params, x: jax.Array, *, layers: int, omega_0: float, last: bool) -> jax.Array:
    """Return the outputs of a SIREN."""
    for i in range(layers - 1):
        x = jnp.sin(omega_0 * dense(p, x, f"kernel_{i}", f"bias_{i}", last=last))
    return dense(p, x, f"kernel_{layers - 1}", f"bias_{layers - 1}", last=last)


def mfn(p: Params, x: jax.Array, *, filters: int, last: bool, **_: float) -> jax.Array:
    """Return the outputs of an MFN."""
    z = jnp.sin(dense(p, x, "omega_0", "phase_0", last=last))
    for i in range(1, filters):
        g = jnp.sin(dense(p, x, f"omega_{i}", f"phase_{i}", last=last))
        z = dense(p, z, f"kernel_{i - 1}", f"bias_{i - 1}", last=last) * g
    return dense(p, z, f"kernel_{filters - 1}", f"bias_{filters - 1}", last=last)


def rffnet(p: Params, x: jax.Array, *, layers: int, std: float, last: bool, **_: float) -> jax.Array:
    """Return the outputs of an RFFNet."""
    angle = 2 * pi * std * (p["frequencies"].T @ x if last else x @ p["frequencies"])
    h = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=0 if last else 1)
    for i in range(layers - 1):
        h = jax.nn.relu(dense(p, h, f"kernel_{i}", f"bias_{i}", last=last))
    return dense(p, h, f"kernel_{layers - 1}", f"bias_{layers - 1}", last=last)


NETWORKS: dict[str, Callable[..., jax.Array]] = {"siren": siren, "mfn": mfn, "rffnet": rffnet}


class JaxProgram:
    """A fit in one of the variants."""

    def __init__(self, task: PeerTask, variant: tuple[str, int, str], *, fields: int | None = None) -> None:
        form, chunk, order = variant
        self.fields = fields or chunk
        self.steps = max(1, CALL_STEPS * CHECK_FIELDS // self.fields)
        self._layout, self._form = task.layout, form
        last = order == "points last"
        with np.load(task.data) as data:
            rows, targets, coords = (data[name] for name in ("rows", "targets", "coords"))
        self._targets = jnp.asarray((targets.swapaxes(1, 2) if last else targets)[: self.fields])
        self._rows = jnp.asarray(rows[: self.fields])
        network = partial(NETWORKS[task.field], x=jnp.asarray(coords.T if last else coords), last=last)
        network = partial(network, **task.hyperparameters)
        self._optimizer = optax.adam(task.lr)
        step = partial(_step, network, self._optimizer)
        self._call = jax.jit({"loop": jax.vmap(step), "scan": self._scan(step), "map": self._map(step)}[form])

    def begin(self) -> None:
        """Return to the initial parameters."""
        self._params = named(self._rows, self._layout)
        self._state = jax.vmap(self._optimizer.init)(self._params)
        jax.block_until_ready(self._state)

    def advance(self) -> None:
        """Take `steps` steps and wait for their result."""
        for _ in range(self.steps if self._form == "loop" else 1):
            self._params, self._state, _ = self._call(self._params, self._state, self._targets)
        jax.block_until_ready(self._params)

    def rows(self) -> np.ndarray:
        """Return the current parameters of the fields as flat rows, float32."""
        return flat(self._params, self._layout)

    def _scan(self, step: Any) -> Any:
        def fit(params: Params, state: Any, targets: jax.Array) -> Any:
            def body(carry: Any, _: None) -> Any:
                *after, loss = jax.vmap(step)(*carry, targets)
                return tuple(after), loss

            (params, state), losses = jax.lax.scan(body, (params, state), None, length=self.steps)
            return params, state, losses

        return fit

    def _map(self, step: Any) -> Any:
        def fit(field: Any) -> Any:
            params, state, targets = field

            def body(carry: Any, _: None) -> Any:
                *after, loss = step(*carry, targets)
                return tuple(after), loss

            (params, state), losses = jax.lax.scan(body, (params, state), None, length=self.steps)
            return params, state, losses

        return lambda *fields: jax.lax.map(fit, fields)


def _step(network: Any, optimizer: Any, params: Params, state: Any, targets: jax.Array) -> Any:
    """Return one field's parameters, optimizer state and loss after one step."""
    loss, gradient = jax.value_and_grad(lambda p: jnp.mean((network(p) - targets) ** 2))(params)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


def product() -> float:
    """Return the operations per second of a large matrix product, taken from the fastest of several repeats."""
    one = jnp.ones((PEAK_SIZE, PEAK_SIZE))
    dot = jax.jit(jnp.dot)
    dot(one, one).block_until_ready()
    best = float("inf")
    for _ in range(40):
        began = time.process_time()
        dot(one, one).block_until_ready()
        best = min(best, time.process_time() - began)
    return 2 * PEAK_SIZE**3 / best


def prepare(task: PeerTask) -> Measured:
    """Compile and time every variant of a peer briefly, and return the fastest."""
    found: list[tuple[float, float, tuple[str, int, str], JaxProgram]] = []
    for variant in VARIANTS[task.program]:
        program = JaxProgram(task, variant)
        compiling = first_seconds(program)
        found.append((turn(program, CALIBRATION_S)["rate"], compiling, variant, program))
    _, compiling, variant, program = max(found, key=lambda each: each[0])
    rates = {" ".join(map(str, each)): round(rate, 1) for rate, _, each, _ in found}
    versions = {"jax": jax.__version__, "optax": optax.__version__, "numpy": np.__version__}
    about = {"variant": "{} {}, {}".format(*variant), "first_s": compiling, "tried": rates, "versions": versions}
    return Measured(program, JaxProgram(task, variant, fields=CHECK_FIELDS), product, about)


if __name__ == "__main__":
    serve(prepare)

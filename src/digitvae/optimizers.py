"""Muon, the optimizer of the default recipe: it makes the momentum of matrices orthogonal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, final

import keras
import numpy as np
from keras import ops

# A step of Newton and Schulz towards singular values of 1: x -> a x + b (x x') x + c (x x')^2 x. These values
# are Jordan's; they bring all but the smallest into [0.7, 1.2] in few steps and need no exact 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


@final
@keras.saving.register_keras_serializable("digitvae")
class Muon(keras.optimizers.Optimizer):
    """Orthogonalised momentum for weights of two axes or more (Jordan et al. 2024), Adam for all others.

    Gradients of a matrix lie mostly in few directions; the orthogonal matrix nearest to the momentum moves
    all of them alike. Kernels of convolutions count as matrices from inputs to output channels. The step is
    scaled by 0.2 sqrt(largest side), which makes its entries as large as those of Adam's steps, so that both
    take the same learning rate (Liu et al. 2025, arXiv:2502.16982, equation 4).

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: of the matrices, Nesterov's.
        newton_schulz_steps: how near to orthogonal; three train as well as five here.
        newton_schulz_dtype: of the products that this takes; bfloat16 trains as well as float32.
        beta_1: decay of Adam's first moment.
        beta_2: decay of Adam's second moment.
        epsilon: added to Adam's denominator.
        name: of the optimizer.
        **kwargs: of `keras.optimizers.Optimizer`: weight decay, clipping of gradients, moving averages of the
            weights, accumulation of gradients.
    """

    def __init__(
        self,
        learning_rate: Any = 5e-3,
        momentum: float = 0.95,
        newton_schulz_steps: int = 3,
        newton_schulz_dtype: str = "float32",
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.newton_schulz_steps, self.newton_schulz_dtype = newton_schulz_steps, newton_schulz_dtype
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[Any]) -> None:
        """Make the moments: one for all matrices of a size, two for all other weights together."""
        if self.built:
            return
        super().build(variables)
        # Keras passes the gradients of a step one by one. In a namespace, Keras does not track these lists.
        self._step = SimpleNamespace(keys=[id(variable) for variable in variables], indices=[], taken={})
        self._shapes = [tuple(variable.shape) for variable in variables]
        # By size, because many small products and sums cost more than few large ones.
        self._matrices: dict[tuple[int, int], list[int]] = {}
        for i, shape in enumerate(self._shapes):
            if len(shape) >= 2:
                self._matrices.setdefault((math.prod(shape[:-1]), shape[-1]), []).append(i)
        self._vectors = [i for i, shape in enumerate(self._shapes) if len(shape) < 2]
        self._moments = [
            self.add_variable((len(members), *size), name="moment")
            for size, members in self._matrices.items()
        ]
        entries = sum(math.prod(self._shapes[i]) for i in self._vectors)
        self._first = self.add_variable((entries,), name="first")
        self._second = self.add_variable((entries,), name="second")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Change the variables.

        Args:
            grads: a gradient for each variable, or None to leave it and its moments as they are.
            trainable_variables: some of the variables of `build`, by default all in their order.
        """
        grads = list(grads)
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        keys = self._step.keys if trainable_variables is None else [id(v) for v in trainable_variables]
        present = [key for key, gradient in zip(keys, grads, strict=True) if gradient is not None]
        self._step.indices, self._step.taken = [self._step.keys.index(key) for key in present], {}
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take a gradient, clipped if that is wanted; with the last one of a step, change all variables."""
        taken, indices = self._step.taken, self._step.indices
        taken[indices[len(taken)]] = gradient, variable
        if len(taken) == len(indices):
            directions = self._directions({i: gradient for i, (gradient, _) in taken.items()})
            for i, (_, variable) in taken.items():
                rate = ops.cast(learning_rate, variable.dtype)
                self.assign_sub(variable, rate * ops.cast(directions[i], variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("momentum", "newton_schulz_steps", "newton_schulz_dtype", "beta_1", "beta_2", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}

    def _directions(self, gradients: dict[int, Any]) -> dict[int, Any]:
        """Return the direction of the step of every variable that has a gradient, by its index."""
        directions: dict[int, Any] = {}
        for (size, members), moment in zip(self._matrices.items(), self._moments, strict=True):
            flat, present = self._joined(gradients, members)
            if flat is None:
                continue
            stacked = ops.reshape(flat, (len(members), *size))
            mask: Any = np.reshape(present, (-1, 1, 1))
            self.assign(moment, _where(mask, self.momentum * moment + stacked, moment))
            steps = orthogonalised(
                stacked + self.momentum * moment, self.newton_schulz_steps, self.newton_schulz_dtype
            )
            directions |= self._split(0.2 * math.sqrt(max(size)) * ops.reshape(steps, (-1,)), members)
        flat, present = self._joined(gradients, self._vectors)
        if flat is not None:
            mask = np.repeat(present, [math.prod(self._shapes[i]) for i in self._vectors])
            time = ops.cast(self.iterations + 1, "float32")
            first, second = self._first, self._second
            self.assign(first, _where(mask, self.beta_1 * first + (1 - self.beta_1) * flat, first))
            squares = self.beta_2 * second + (1 - self.beta_2) * ops.square(flat)
            self.assign(second, _where(mask, squares, second))
            correction = ops.sqrt(1 - ops.power(self.beta_2, time)) / (1 - ops.power(self.beta_1, time))
            directions |= self._split(correction * first / (ops.sqrt(second) + self.epsilon), self._vectors)
        return directions

    def _joined(self, gradients: dict[int, Any], members: list[int]) -> tuple[Any, list[bool]]:
        """Join the flat gradients of some variables, zeros for missing ones; say which are present."""
        present = [i in gradients for i in members]
        if not any(present):
            return None, present
        values = [gradients[i] if i in gradients else ops.zeros(self._shapes[i]) for i in members]
        return ops.concatenate([ops.reshape(ops.cast(v, "float32"), (-1,)) for v in values]), present

    def _split(self, flat: Any, members: list[int]) -> dict[int, Any]:
        """Cut a vector into the shapes of some variables."""
        sizes = [math.prod(self._shapes[i]) for i in members]
        cuts = [(i, size, end) for i, size, end in zip(members, sizes, accumulate(sizes), strict=True)]
        return {i: ops.reshape(flat[end - size : end], self._shapes[i]) for i, size, end in cuts}


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Give a model the averages of its weights that its optimizer keeps, if it does; undone on exit.

    Before the first step there are no averages yet, and the model stays as it is.
    """
    optimizer: Any = model.optimizer
    if not optimizer.use_ema or not int(ops.convert_to_numpy(optimizer.iterations)):
        yield
        return
    own = _values(model)
    optimizer.finalize_variable_values(model.trainable_variables)
    # On JAX model and optimizer share these arrays now, and a compiled step would use them up for both.
    _assign(model, _values(model))
    try:
        yield
    finally:
        _assign(model, own)


def _values(model: keras.Model) -> list[np.ndarray]:
    """Return copies of the trainable weights."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in model.trainable_variables]


def _assign(model: keras.Model, values: list[np.ndarray]) -> None:
    """Set the trainable weights."""
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(value)


def _where(mask: Any, new: Any, old: Any) -> Any:
    """Return `new` where gradients are present, else `old`."""
    return new if np.all(mask) else ops.where(mask, new, ops.convert_to_tensor(old))


def orthogonalised(matrices: Any, steps: int, dtype: str = "float32") -> Any:
    """Bring the singular values of matrices near 1, their directions kept, by Newton and Schulz's iteration.

    Args:
        matrices: float (n, rows, columns).
        steps: how often; with 5 nearly all singular values lie in [0.7, 1.2].
        dtype: of the products.

    Returns:
        float32 (n, rows, columns).
    """
    # The products are over the longer side, so that they are small.
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else ops.transpose(matrices, (0, 2, 1))
    # The Frobenius norm is at least the largest singular value: the iteration starts below 1.
    x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True)) + 1e-7)
    x = ops.cast(x, dtype)
    # Every step multiplies x by a polynomial of its square x x', which is small: the steps are taken on the
    # square, and x is multiplied once, by the product of all.
    square = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
    identity = ops.eye(square.shape[1], dtype=x.dtype)
    product = identity
    for step in range(steps):
        factor = _A * identity + _B * square + _C * ops.matmul(square, square)
        product = factor if step == 0 else ops.matmul(factor, product)
        if step < steps - 1:
            square = ops.matmul(ops.matmul(factor, square), factor)
    x = ops.cast(ops.matmul(product, x), "float32")
    return x if wide else ops.transpose(x, (0, 2, 1))

"""Muon, the optimiser of the default recipe, makes the momentum of matrices orthogonal; and a faster Adam."""

from __future__ import annotations

import math
from typing import Any, final

import keras
from keras import ops

# A step of Newton and Schulz towards singular values of 1: x -> a x + b (x x') x + c (x x')^2 x. These values
# are Jordan's; they bring all but the smallest into [0.7, 1.2] in few steps and need no exact 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


@final
@keras.saving.register_keras_serializable("digitvae")
class Adam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015); on TensorFlow a kernel a variable in place of ten operations."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable and its moments."""
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        time = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**time,
            beta2_power=self.beta_2**time,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


@final
@keras.saving.register_keras_serializable("digitvae")
class Muon(keras.optimizers.Optimizer):
    """Momentum made orthogonal for weights of two axes or more (Jordan et al. 2024), Adam for all others.

    Gradients of a matrix lie mostly in few directions; the orthogonal matrix nearest to the momentum moves
    all of them alike. Kernels of convolutions count as matrices from inputs to output channels. The step is
    scaled by 0.2 sqrt(largest side), which makes its entries as large as those of Adam's steps, so that both
    take the same learning rate (Liu et al. 2025, arXiv:2502.16982, equation 4).

    Args:
        learning_rate: a number or a Keras schedule.
        momentum: of the matrices, Nesterov's.
        newton_schulz_steps: how near to orthogonal; three learn as well as five here.
        newton_schulz_dtype: of the products that this takes; bfloat16 learns as well as float32.
        beta_1: decay of Adam's first moment.
        beta_2: decay of Adam's second moment.
        epsilon: added to Adam's denominator.
        name: of the optimiser.
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
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name)
        self.momentum = momentum
        self.newton_schulz_steps, self.newton_schulz_dtype = newton_schulz_steps, newton_schulz_dtype
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[Any]) -> None:
        """Make the moments: one for all matrices of a size, two for all other weights together."""
        if self.built:
            return
        super().build(variables)
        shapes = [tuple(variable.shape) for variable in variables]
        # By size, because many small products and sums cost more than few large ones.
        self._matrices: dict[tuple[int, int], list[int]] = {}
        for i, shape in enumerate(shapes):
            if len(shape) >= 2:
                self._matrices.setdefault((math.prod(shape[:-1]), shape[-1]), []).append(i)
        self._vectors = [i for i, shape in enumerate(shapes) if len(shape) < 2]
        self._moments = [
            self.add_variable((len(members), *size), name="moment")
            for size, members in self._matrices.items()
        ]
        entries = sum(math.prod(shapes[i]) for i in self._vectors)
        self._first = self.add_variable((entries,), name="first")
        self._second = self.add_variable((entries,), name="second")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Change the variables.

        Args:
            grads: a gradient for each variable.
            trainable_variables: the variables of `build` in their order, by default those.
        """
        if trainable_variables is not None:
            self.build(trainable_variables)
        super().apply(self._directions(list(grads)), trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable; what comes as its gradient is its direction already."""
        rate, direction = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        self.assign_sub(variable, rate * direction)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = [
            *("name", "momentum", "newton_schulz_steps", "newton_schulz_dtype"),
            *("beta_1", "beta_2", "epsilon"),
        ]
        rate = super().get_config()["learning_rate"]
        return {"learning_rate": rate, **{name: getattr(self, name) for name in own}}

    def _directions(self, grads: list[Any]) -> list[Any]:
        """Put the direction of its step in the place of each gradient."""
        shapes = [tuple(gradient.shape) for gradient in grads]
        for (size, members), moment in zip(self._matrices.items(), self._moments, strict=True):
            stacked = ops.stack([ops.reshape(ops.cast(grads[i], "float32"), size) for i in members])
            self.assign(moment, self.momentum * moment + stacked)
            steps = orthogonalised(
                stacked + self.momentum * moment, self.newton_schulz_steps, self.newton_schulz_dtype
            )
            steps = 0.2 * math.sqrt(max(size)) * steps
            for number, i in enumerate(members):
                grads[i] = ops.reshape(steps[number], shapes[i])
        if self._vectors:
            flat = ops.concatenate([ops.reshape(ops.cast(grads[i], "float32"), (-1,)) for i in self._vectors])
            time = ops.cast(self.iterations + 1, "float32")
            self.assign(self._first, self.beta_1 * self._first + (1 - self.beta_1) * flat)
            self.assign(self._second, self.beta_2 * self._second + (1 - self.beta_2) * ops.square(flat))
            correction = ops.sqrt(1 - ops.power(self.beta_2, time)) / (1 - ops.power(self.beta_1, time))
            step = correction * self._first / (ops.sqrt(self._second) + self.epsilon)
            start = 0
            for i in self._vectors:
                end = start + math.prod(shapes[i])
                grads[i] = ops.reshape(step[start:end], shapes[i])
                start = end
        return grads


def _handle(variable: Any) -> Any:
    """Return the resource of a variable of Keras or, as Keras passes it while it trains, of TensorFlow."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


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

"""Muon, the optimiser of the default recipe: momentum whose matrices are made orthogonal."""

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
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "muon",
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name)
        self.momentum, self.newton_schulz_steps = momentum, newton_schulz_steps
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[Any]) -> None:
        """Make the moments: one for a matrix, two for others."""
        if self.built:
            return
        super().build(variables)
        self._first = [self.add_variable_from_reference(v, "first") for v in variables]
        self._second = [
            None if _is_matrix(v) else self.add_variable_from_reference(v, "second") for v in variables
        ]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Change the variables.

        Args:
            grads: a gradient for each variable.
            trainable_variables: the variables, by default those of `build`.
        """
        if trainable_variables is not None:
            self.build(trainable_variables)
        # Keras' own list: one of ours would make the model's variables part of the optimiser's state.
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        super().apply(self._directions(list(grads), variables), trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable; what comes as the gradient of a matrix is its direction already."""
        index = self._get_variable_index(variable)
        rate, gradient = ops.cast(learning_rate, variable.dtype), ops.cast(gradient, variable.dtype)
        first, second = self._first[index], self._second[index]
        if second is None:
            self.assign_sub(variable, rate * gradient)
            return
        time = ops.cast(self.iterations + 1, variable.dtype)
        self.assign(first, self.beta_1 * first + (1 - self.beta_1) * gradient)
        self.assign(second, self.beta_2 * second + (1 - self.beta_2) * ops.square(gradient))
        correction = ops.sqrt(1 - ops.power(self.beta_2, time)) / (1 - ops.power(self.beta_1, time))
        self.assign_sub(variable, rate * correction * first / (ops.sqrt(second) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("name", "momentum", "newton_schulz_steps", "beta_1", "beta_2", "epsilon")
        rate = super().get_config()["learning_rate"]
        return {"learning_rate": rate, **{name: getattr(self, name) for name in own}}

    def _directions(self, grads: list[Any], variables: list[Any]) -> list[Any]:
        """Put the orthogonal step in the place of each matrix' gradient."""
        # Matrices of one size go through the iteration together: it is many small products.
        groups: dict[tuple[int, int], list[int]] = {}
        for i, variable in enumerate(variables):
            if _is_matrix(variable):
                groups.setdefault((math.prod(variable.shape[:-1]), variable.shape[-1]), []).append(i)
        for (rows, columns), members in groups.items():
            matrices = []
            for i in members:
                first, gradient = self._first[self._get_variable_index(variables[i])], grads[i]
                moment = self.momentum * first + gradient
                self.assign(first, moment)
                matrices.append(ops.reshape(gradient + self.momentum * moment, (rows, columns)))
            steps = orthogonalised(ops.stack(matrices), self.newton_schulz_steps)
            steps = 0.2 * math.sqrt(max(rows, columns)) * steps
            for number, i in enumerate(members):
                grads[i] = ops.reshape(steps[number], variables[i].shape)
        return grads


def orthogonalised(matrices: Any, steps: int) -> Any:
    """Bring the singular values of matrices near 1, their directions kept, by Newton and Schulz's iteration.

    Args:
        matrices: float (n, rows, columns).
        steps: how often; with 5 nearly all singular values lie in [0.7, 1.2].

    Returns:
        float (n, rows, columns).
    """
    # The products are over the longer side, so that they are small.
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else ops.transpose(matrices, (0, 2, 1))
    # The Frobenius norm is at least the largest singular value: the iteration starts below 1.
    x = x / (ops.sqrt(ops.sum(ops.square(x), axis=(1, 2), keepdims=True)) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        x = _A * x + ops.matmul(_B * square + _C * ops.matmul(square, square), x)
    return x if wide else ops.transpose(x, (0, 2, 1))


def _is_matrix(variable: Any) -> bool:
    return len(variable.shape) >= 2

"""On JAX: several training steps as one compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

import keras
import numpy as np


def looped_train_function(model: keras.Model) -> Callable[[Any, Iterator[Any]], tuple[Any, Any]]:
    """Make the function that `fit` calls for every `model.steps_per_execution` batches.

    Keras' own one returns to Python after each step. The number of batches is an argument of the compiled
    loop, so that the last, shorter call of an epoch compiles nothing new.

    Args:
        model: compiled, on JAX.

    Returns:
        A function of Keras' training state and an iterator over batches. It returns the logs of the last step
        and the new state, and raises StopIteration when there is no batch left.
    """
    import jax

    def steps(state: Any, batches: Any, count: Any) -> tuple[Any, Any]:
        def step(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            return model.train_step(carry[1], jax.tree.map(lambda values: values[i], batches))

        shapes = jax.eval_shape(step, 0, (None, state))[0]
        logs = jax.tree.map(lambda shape: jax.numpy.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.fori_loop(0, count, step, (logs, state))

    compiled = jax.jit(steps, donate_argnums=0)

    def train_function(state: Any, iterator: Iterator[Any]) -> tuple[Any, Any]:
        size, logs = model.steps_per_execution, None
        batches = list(islice(iterator, size))
        if not batches:
            raise StopIteration
        # The last batch of an epoch may be smaller.
        for _, group in groupby(batches, lambda batch: [leaf.shape for leaf in jax.tree.leaves(batch)]):
            alike = list(group)
            padded = alike + alike[-1:] * (size - len(alike))
            stacked = jax.tree.map(lambda *values: np.stack([np.asarray(value) for value in values]), *padded)
            logs, state = compiled(state, stacked, len(alike))
        return logs, state

    return train_function

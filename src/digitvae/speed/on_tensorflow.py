"""On TensorFlow: a pipeline that asks Python for several batches at once, and one kernel for Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np

from digitvae.speed import is_on

# What TensorFlow takes from NumPy in one piece: a megabyte of digits, where each batch for itself costs more.
BATCHES_AT_ONCE = 10


def pipeline(batch: Callable[[int], tuple[np.ndarray, ...]], count: int) -> Any:
    """Make a dataset of batches that Python makes ahead of the training step.

    Args:
        batch: returns the arrays of a batch by its index, always of the same shapes and dtypes.
        count: the number of batches.

    Returns:
        A `tf.data.Dataset` of tuples of tensors.
    """
    import tensorflow as tf

    example = batch(0)

    def several(start: int) -> list[np.ndarray]:
        batches = [batch(i) for i in range(start, min(start + BATCHES_AT_ONCE, count))]
        return [np.stack(arrays) for arrays in zip(*batches, strict=True)]

    def load(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tensors = tf.numpy_function(several, [start], [tf.as_dtype(array.dtype) for array in example])
        for tensor, array in zip(tensors, example, strict=True):
            tensor.set_shape((None, *array.shape))
        return tuple(tensors)

    data = tf.data.Dataset.range(0, count, BATCHES_AT_ONCE).map(load)
    options = tf.data.Options()
    # Tuning sleeps in a thread that can hold up the end of an epoch by as much again as the epoch took.
    options.autotune.enabled = False
    data = data.prefetch(1).unbatch().with_options(options)
    return data.apply(tf.data.experimental.assert_cardinality(count))


@final
@keras.saving.register_keras_serializable("digitvae")
class Adam(keras.optimizers.Adam):
    """Keras' Adam (Kingma and Ba 2015); on TensorFlow one kernel per variable in place of ten operations."""

    def build(self, variables: list[Any]) -> None:
        """Make the moments."""
        if not self.built:
            self._slots: dict[int, dict[str, Any]] = {}
        super().build(variables)

    def add_variable_from_reference(self, reference_variable: Any, name: Any = None, **kwargs: Any) -> Any:
        """Make a variable of the optimizer for one of the model, and remember which is whose."""
        made = super().add_variable_from_reference(reference_variable, name=name, **kwargs)
        self._slots.setdefault(id(_resource(reference_variable)), {})[name] = _resource(made)
        return made

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable and its moments."""
        if keras.backend.backend() != "tensorflow" or self.amsgrad or not is_on("adam"):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        variable = _resource(variable)
        slots, dtype = self._slots[id(variable)], variable.dtype
        time = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots["momentum"].handle,
            v=slots["velocity"].handle,
            beta1_power=self.beta_1**time,
            beta2_power=self.beta_2**time,
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )


def _resource(variable: Any) -> Any:
    """Return TensorFlow's own variable, which is what Keras passes to an optimizer while it trains."""
    return variable.value if isinstance(variable, keras.Variable) else variable

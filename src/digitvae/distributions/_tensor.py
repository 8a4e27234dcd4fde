"""What every distribution needs to say about tensors: their type, and that they are float32."""

from __future__ import annotations

from typing import Any, TypeAlias

from keras import ops

# A tensor of whichever backend runs; Keras has no common type for them.
Tensor: TypeAlias = Any


def as_float32(values: Tensor) -> Tensor:
    """Converts to a float32 tensor, whatever the global dtype policy says.

    Densities are sums of hundreds of terms of one sign: bfloat16 would keep two of their digits.

    Args:
        values: a tensor of any dtype, a NumPy array, a number or a nested list.

    Returns:
        The same values as a float32 tensor of the running backend; gradients pass through.
    """
    return ops.cast(values, "float32")

"""Gradients with respect to an input. Keras has no function for them, so this module knows the backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Compiled = Callable[..., tuple[np.ndarray, np.ndarray]]


def value_and_gradient(function: Callable[..., Any]) -> Compiled:
    """Compile a function of tensors into one of arrays that gives its values and their gradients.

    It compiles once for every new combination of shapes. It keeps the weights of the time when it
    is compiled: make a new one when they have changed.

    Args:
        function: of tensors; maps its first argument, (n, d), to (n,). An entry of the result depends on one
            row of the first argument, its own; the other arguments may be anything.

    Returns:
        A function of the same arguments, NumPy arrays or tensors, all float32. It returns the values, (n,),
        and their gradients with respect to the first argument, (n, d), both float32 arrays.
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](function)


# The gradient of the sum holds the gradient of every row, because the rows are independent.


def _tensorflow(function: Callable[..., Any]) -> Compiled:
    import tensorflow as tf

    @tf.function
    def compiled(first, *others):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(first)
            values = function(first, *others)
        return values, tape.gradient(values, first)

    def call(*arguments):
        values, gradients = compiled(*arguments)
        return values.numpy(), gradients.numpy()

    return call


def _jax(function: Callable[..., Any]) -> Compiled:
    import jax

    def total(*arguments):
        values = function(*arguments)
        return values.sum(), values

    compiled = jax.jit(jax.grad(total, has_aux=True))

    def call(*arguments):
        gradients, values = compiled(*arguments)
        return np.asarray(values), np.asarray(gradients)

    return call


def _torch(function: Callable[..., Any]) -> Compiled:
    import torch

    def call(first, *others):
        first = ops.convert_to_tensor(first).detach().requires_grad_()
        values = function(first, *map(ops.convert_to_tensor, others))
        (gradients,) = torch.autograd.grad(values.sum(), first)
        return ops.convert_to_numpy(values), ops.convert_to_numpy(gradients)

    return call

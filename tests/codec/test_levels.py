"""Numbers on the stack: exact frequencies, the coder's own arithmetic, and what a number costs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from constriction import stream
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from digitvae.codec import tables
from digitvae.codec.levels import Mixture, Stack, _frequencies
from digitvae.codec.shards import batches, filler


def mixtures(count, components=3, seed=0, spread=200.0):
    rng = np.random.default_rng(seed)
    weights = np.rint(rng.uniform(0, 2**16, (components, count)))
    weights[0] = 2**16
    means = rng.uniform(-20, 276, (components, count))
    return Mixture(weights, means, 1 / rng.uniform(0.2, spread, (components, count)), tables.logistic())


def test_tables_are_the_functions_they_are_named_after():
    t = np.arange(-16 * 1024, 16 * 1024 + 1) / 1024
    np.testing.assert_allclose(tables.logistic() / 2**24, special.expit(t), atol=2**-24)
    np.testing.assert_allclose(tables.normal() / 2**24, stats.norm.cdf(t), atol=2**-24)
    np.testing.assert_allclose(tables.exponential(t), np.exp(t), rtol=1e-10)
    np.testing.assert_allclose(tables.tanh(t), np.tanh(t), atol=1e-10)
    for table in (tables.logistic(), tables.normal()):
        assert (np.diff(table) >= 0).all()
        assert (table == np.rint(table)).all()


def test_the_coder_uses_the_frequencies_that_it_is_given():
    """The format says how numbers become words; here is that arithmetic without the library."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(4, 0.3), 500)
    edges = np.floor(np.cumsum(shares, axis=1)[:, :3].T * 2**30)
    less = _frequencies(np.zeros(500), edges, np.full(500, 2.0**30))
    assert (less.sum(axis=1) == 2**24 - 4).all()
    symbols = np.array([rng.choice(4, p=row) for row in shares], "int32")
    words = filler(50)
    coder = stream.stack.AnsCoder(words)
    coder.encode_reverse(symbols, stream.model.Categorical(perfect=False), less)

    bulk = words.tolist()
    state = bulk.pop() << 32 | bulk.pop()
    frequencies = less.astype(int) + 1
    for symbol, row in zip(symbols[::-1], frequencies[::-1].tolist(), strict=True):
        frequency, below = row[symbol], sum(row[:symbol])
        if state >> 40 >= frequency:
            bulk.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // frequency << 24) + below + state % frequency
    assert coder.get_compressed().tolist() == [*bulk, state & 0xFFFFFFFF, state >> 32]


@pytest.mark.parametrize(("levels", "flag"), [(2, True), (256, True), (256, False)])
def test_numbers_come_back_and_leave_the_stack_as_it_was(levels, flag):
    given_ = mixtures(3000)
    numbers = np.random.default_rng(1).integers(0, levels, 3000)
    stack = Stack(filler(100))
    stack.push(numbers, given_, levels, flag)
    np.testing.assert_array_equal(stack.pop(3000, given_, levels, flag), numbers)
    np.testing.assert_array_equal(stack.words(), filler(100))
    # And the other way round: numbers that are taken off can be put back.
    found = stack.pop(50, given_.taken(np.arange(50)), levels, flag)
    stack.push(found, given_.taken(np.arange(50)), levels, flag)
    np.testing.assert_array_equal(stack.words(), filler(100))


@pytest.mark.parametrize("flag", [True, False])
def test_numbers_cost_their_information(flag):
    count = 20_000
    given_ = mixtures(count, spread=30.0)
    edges = np.broadcast_to(np.arange(1, 256)[:, None] - 0.5, (255, count))
    below = np.zeros((count, 257))
    below[:, 1:-1] = given_.below(edges).T
    below[:, -1] = given_.total
    masses = np.diff(below, axis=1) / below[:, -1:]
    numbers = np.array(
        [
            np.searchsorted(np.cumsum(row), u)
            for row, u in zip(masses, np.random.default_rng(0).random(count), strict=True)
        ]
    )
    numbers = np.minimum(numbers, 255)
    information = -np.log2(masses[np.arange(count), numbers]).sum()
    stack = Stack(filler(4))
    stack.push(numbers, given_, 256, flag)
    assert 32 * (len(stack.words()) - 4) == pytest.approx(information, rel=5e-4, abs=64)


def test_mixtures_are_those_of_scipy():
    given_ = mixtures(200, spread=20.0)
    edges = np.broadcast_to(np.array([[0.5], [100.5], [200.5]]), (3, 200))
    weights = given_.weights / given_.weights.sum(axis=0)
    expected = (
        weights[:, None] * special.expit((edges - given_.means[:, None]) * given_.inverse_scales[:, None])
    ).sum(axis=0)
    np.testing.assert_allclose(given_.below(edges) / given_.total, expected, atol=2e-4)


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**40), min_size=3, max_size=3), st.integers(0, 2**40))
def test_no_digit_is_impossible(first, inner, last):
    low, *middle, high = (float(mass) for mass in sorted([first, *inner, last]))
    less = _frequencies(np.array([low]), np.array([middle]).T, np.array([high]))
    assert (less >= 0).all()
    assert less.sum() == 2**24 - 4


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_numbers_under_any_mixture_come_back(data):
    count = data.draw(st.integers(0, 20))
    finite = st.floats(-1e6, 1e6)
    rows = st.lists(finite, min_size=2 * count, max_size=2 * count)
    means = np.array(data.draw(rows)).reshape(2, count)
    inverse = np.abs(np.array(data.draw(rows)).reshape(2, count))
    weights = np.array(
        data.draw(st.lists(st.integers(0, 2**16), min_size=2 * count, max_size=2 * count)), "float64"
    )
    given_ = Mixture(weights.reshape(2, count), means, inverse, tables.normal())
    numbers = np.array(data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count)), "int64")
    stack = Stack(filler(3))
    stack.push(numbers, given_, 256, True)
    np.testing.assert_array_equal(stack.pop(count, given_, 256, True), numbers)
    np.testing.assert_array_equal(stack.words(), filler(3))


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'digitvae\[codec\]'"):
        Stack(filler(3))


@given(st.integers(0, 3000), st.floats(0.1, 8), st.integers(64, 128 * 128))
def test_batches_cut_every_shard_whole(count, growth, pixels):
    slices = list(batches(count, growth, pixels))
    assert [row for rows in slices for row in range(rows.start, rows.stop)] == list(range(count))
    assert all((rows.stop - rows.start) * pixels <= 2**19 for rows in slices)

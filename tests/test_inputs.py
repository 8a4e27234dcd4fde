"""One contract for images: the same numbers whatever holds them, and no other images."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from digitvae.rows import label_weights

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def vae(make_vae):
    """A model of grey pixels, whose numbers do not depend on drawn bits; tests leave its weights alone."""
    return make_vae(likelihood="continuous_bernoulli")


@pytest.fixture(scope="module")
def images(blobs):
    """Grey images, uint8 (12, 9, 13)."""
    return blobs(12)


class Batches(keras.utils.PyDataset):
    """Batches of four images with a label that nobody asked for."""

    def __init__(self, images, epochs=None):
        super().__init__()
        self.images, self.epochs = images, epochs

    def __len__(self):
        return len(self.images) // 4

    def __getitem__(self, index):
        return self.images[4 * index : 4 * index + 4], np.zeros(4)

    def on_epoch_end(self):
        if self.epochs is not None:
            self.epochs.append(len(self))


def tensor_of(name, values):
    """Returns a tensor of any library that is installed."""
    if name == "tensorflow":
        return pytest.importorskip("tensorflow").convert_to_tensor(values)
    if name == "jax":
        return pytest.importorskip("jax.numpy").asarray(values)
    if name == "torch":
        return pytest.importorskip("torch").from_numpy(values)
    return keras.ops.convert_to_tensor(values)


def source_of(kind, values):
    """Returns batches of four images in a container of a kind."""
    if kind == "array":
        return values
    if kind == "tf.data":
        return pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices(values).batch(4)
    if kind == "tf.data of tuples":
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices((values, np.zeros(len(values)))).batch(4)
    if kind == "PyDataset":
        return Batches(values)
    if kind == "torch loader":
        torch = pytest.importorskip("torch")
        dataset = torch.utils.data.TensorDataset(torch.from_numpy(values))
        return torch.utils.data.DataLoader(dataset, batch_size=4)
    return (values[i : i + 4] for i in range(0, len(values), 4))


KINDS = ["array", "tf.data", "tf.data of tuples", "PyDataset", "torch loader", "generator"]


def forms(images):
    """Returns the same images in every form that is accepted."""
    return {
        "uint8": images,
        "float32": images / np.float32(255),
        "float64": images / 255,
        "int64": images.astype("int64"),
        "channel": images[..., None],
    }


@pytest.mark.parametrize("form", ["uint8", "float32", "float64", "int64", "channel"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_container_and_form_gives_the_same_numbers(vae, images, kind, form):
    expected = vae.evaluate(images, batch_size=4, verbose=0)
    assert vae.evaluate(source_of(kind, forms(images)[form]), batch_size=4, steps=3, verbose=0) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_bool_is_black_and_white(vae, images, kind):
    bits = images > 127
    expected = vae.evaluate(np.where(bits, 255, 0).astype("uint8"), batch_size=4, verbose=0)
    assert vae.evaluate(source_of(kind, bits), batch_size=4, steps=3, verbose=0) == expected


@pytest.mark.parametrize("values", [2.0, -0.5, np.nan], ids=["above", "below", "nan"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_other_floats_are_refused(make_vae, images, method, kind, values):
    broken = (images / 255).astype("float32")
    broken[7, 3, 3] = values
    options = {"shuffle": False} if method == "fit" else {}
    with pytest.raises(Exception, match=r"Expected (finite|float) images"):
        getattr(make_vae(), method)(source_of(kind, broken), batch_size=4, verbose=0, **options)


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "torch loader", "generator"])
def test_other_sizes_are_refused(make_vae, kind):
    # A model of its own: an exception in the middle of an epoch costs Keras' models on JAX their variables.
    vae = make_vae()
    with pytest.raises(Exception, match=r"Expected images of 9x13 pixels\. Received: 10x12"):
        vae.evaluate(source_of(kind, np.zeros((8, 10, 12), "float32")), verbose=0)


@pytest.mark.parametrize("library", ["keras", "tensorflow", "jax", "torch"])
def test_tensors_of_every_library_are_images(vae, images, library):
    expected = vae.encode(images)
    np.testing.assert_array_equal(vae.encode(tensor_of(library, images)), expected)
    np.testing.assert_array_equal(vae.encode(tensor_of(library, images / np.float32(255))), expected)
    assert vae.evaluate(tensor_of(library, images / np.float32(255)), batch_size=4, verbose=0) == (
        vae.evaluate(images, batch_size=4, verbose=0)
    )
    with pytest.raises(ValueError, match="Expected float images in"):
        vae.encode(tensor_of(library, images.astype("float32")))


def test_a_gradient_does_not_keep_a_tensor_from_being_an_image(vae, images):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(images / np.float32(255)).requires_grad_()
    np.testing.assert_array_equal(vae.encode(tensor), vae.encode(images))


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "torch loader"])
def test_training_reads_a_source_again_every_epoch(make_vae, images, kind):
    histories = []
    for source in (images, source_of(kind, images / np.float32(255))):
        vae = make_vae(likelihood="continuous_bernoulli")
        options = {"batch_size": 4} if source is images else {}
        histories.append(vae.fit(source, epochs=2, shuffle=False, verbose=0, **options).history["loss"])
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)


def test_a_source_is_told_of_its_epochs_and_is_left_as_it_was(make_vae, images):
    told, expected = [], []
    make_vae().fit(Batches(images, told), epochs=3, verbose=0)
    keras.Model.fit(make_vae(), Batches(images, expected), epochs=3, verbose=0)
    assert told == expected
    assert len(told) >= 3
    loader = source_of("torch loader", images)
    collate = loader.collate_fn
    make_vae().evaluate(loader, verbose=0)
    assert loader.collate_fn is collate


def test_worker_processes_check_images_too(make_vae, images):
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(images / np.float32(255)))
    options = {"batch_size": 4, "num_workers": 1, "multiprocessing_context": "spawn"}
    vae = make_vae(likelihood="continuous_bernoulli")
    found = vae.evaluate(torch.utils.data.DataLoader(dataset, **options), verbose=0)
    assert found == vae.evaluate(images, batch_size=4, verbose=0)


@pytest.mark.parametrize("position", [True, False])
def test_validation_data_in_batches_are_checked_too(make_vae, images, position):
    source = source_of("tf.data", images / np.float32(255))
    vae, other = make_vae(), make_vae()
    arguments = (None, 4, 1, 0, None, 0.0, source) if position else ()
    options = {} if position else {"batch_size": 4, "verbose": 0, "validation_data": source}
    found = vae.fit(images, *arguments, shuffle=False, **options).history["val_loss"]
    assert (
        found
        == other.fit(
            images, batch_size=4, verbose=0, shuffle=False, validation_data=(images,), validation_batch_size=4
        ).history["val_loss"]
    )


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_are_checked(make_vae, images, method):
    found = [
        getattr(make_vae(likelihood="continuous_bernoulli"), method)(form)
        for form in (images, images / np.float32(255))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    with pytest.raises(ValueError, match="Expected float images in"):
        getattr(make_vae(), method)(images.astype("float32"))


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_a_tensor_inside_a_graph_is_float_in_0_to_1_or_nan(make_vae, images, likelihood):
    vae = make_vae(likelihood=likelihood)
    seen = keras.ops.convert_to_numpy(vae.observe(keras.ops.convert_to_tensor(images / np.float32(255))))
    assert seen.min() == 0
    assert seen.max() == 1
    broken = (images / np.float32(255)).copy()
    broken[0, 0, 0], broken[1, 1, 1] = 1.5, -0.1
    seen = keras.ops.convert_to_numpy(vae.observe(keras.ops.convert_to_tensor(broken)))
    assert list(zip(*np.nonzero(np.isnan(seen)), strict=True)) == [(0, 0, 0), (1, 1, 1)]
    levels = images.astype("int32")
    levels[2, 2, 2], levels[3, 3, 3] = 256, -1
    seen = keras.ops.convert_to_numpy(vae.observe(keras.ops.convert_to_tensor(levels)))
    assert list(zip(*np.nonzero(np.isnan(seen)), strict=True)) == [(2, 2, 2), (3, 3, 3)]


@pytest.mark.parametrize("form", ["uint8", "float32", "bool"])
def test_a_tf_dataset_of_unknown_shape_is_checked_too(vae, images, form):
    tf = pytest.importorskip("tensorflow")
    values = {"bool": images > 127, **forms(images)}[form]
    known = source_of("tf.data", values)
    unknown = known.map(lambda batch: tf.numpy_function(lambda array: array, [batch], batch.dtype))
    assert unknown.element_spec.shape.rank is None
    assert vae.evaluate(unknown, verbose=0) == vae.evaluate(known, verbose=0)


def test_a_tf_dataset_of_anything_else_is_refused(vae, images):
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="Expected batches of images, alone or first in a tuple"):
        vae.evaluate(tf.data.Dataset.from_tensor_slices({"images": images}).batch(4), verbose=0)


def test_predict_is_refused_for_what_it_would_mean(vae, images):
    for method in (vae.predict, vae.predict_on_batch):
        with pytest.raises(NotImplementedError, match="Expected encode, reconstruct, decode or generate"):
            method(images)


@pytest.mark.parametrize("source", [None, 3, "images", {"a": 1}, object()], ids=str)
def test_what_holds_no_images_is_refused(vae, source):
    for method in ("encode", "evaluate"):
        with pytest.raises(ValueError, match="Expected "):
            getattr(vae, method)(source)


def test_labels_become_weights():
    np.testing.assert_array_equal(label_weights([2, 0], 3, 2), [[0, 0, 1], [1, 0, 0]])
    given = np.array([[0.25, 0.75], [1, 0]])
    np.testing.assert_array_equal(label_weights(given, 2, 2), given)
    assert label_weights(given, 2, 2).dtype == "float32"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], "Expected labels from 0 to 2. Received: 3"),
        ([0, -1], "Expected labels from 0 to 2. Received: -1"),
        ([0], r"Expected labels, whole numbers of shape \(2,\), .*Received: int64, shape=\(1,\)"),
        ([0.0, 1.0], "Expected labels, whole numbers .*Received: float64"),
        ([[0.5, 0.5, 0.5]] * 2, "Expected weights of labels from 0 with sums of 1"),
        ([[1.5, -0.5, 0.0]] * 2, "Expected weights of labels from 0 with sums of 1"),
        (["1", "2"], "Expected labels, whole numbers"),
    ],
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        label_weights(labels, 3, 2)

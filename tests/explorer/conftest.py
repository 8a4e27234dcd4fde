"""A small site, a server for it, and runs of tiny models."""

from __future__ import annotations

import http.client
from types import SimpleNamespace

import pytest

from digitvae.building import build
from digitvae.explorer.film import Film
from digitvae.explorer.server import Server
from digitvae.explorer.site import Site
from digitvae.runs import Run


@pytest.fixture
def data(tmp_path_factory, blobs):
    """A data set in a file: 48 images to train and validate, 12 to test, with labels."""
    import numpy as np

    from digitvae.data import load_dataset

    images, labels = blobs(60), np.arange(60) % 3
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, x_train=images[:48], y_train=labels[:48], x_test=images[48:], y_test=labels[48:])
    return SimpleNamespace(path=path, dataset=load_dataset(path))


@pytest.fixture
def run(tiny, data, tmp_path_factory):
    """A run whose prior depends on the label, of a model that was not trained."""
    config = tiny(architecture="dense", prior="flow", condition="label", data=str(data.path))
    dataset = data.dataset
    folder = tmp_path_factory.mktemp("run") / "run"
    run = Run.create(config, dataset.image_shape, dataset.sha256, folder)
    run.save_model(
        build(config, dataset.image_shape, images=dataset.train_images, labels=dataset.train_labels)
    )
    return run


@pytest.fixture
def site(tmp_path):
    """A site of three files."""
    fixed = {
        "index.html": b"<p>page</p>",
        "data/explorer.json": b"{}" * 500,
        "model/weights.bin": bytes(range(256)),
    }
    return Site(fixed, Film(tmp_path))


@pytest.fixture
def get(site):
    """A client of a server of the site: takes a path and headers, gives status, headers and content."""
    with Server() as server:
        server.start(site)
        port = server.server_address[1]

        def ask(path="/", method="GET", host=f"127.0.0.1:{port}", **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if host is not None:
                connection.putheader("Host", host)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            found = SimpleNamespace(status=response.status, headers=response.headers, content=response.read())
            connection.close()
            return found

        ask.server = server
        yield ask

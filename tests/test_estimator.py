from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from digitvae import VAEEstimator
from digitvae.config import ConfigError

SMALL = {
    "architecture": "dense",
    "width": 32,
    "blocks": 0,
    "flow_couplings": 2,
    "flow_hidden": 16,
    "optimizer": "adam",
    "precision": "float32",
}
TINY = {**SMALL, "width": 8, "flow_couplings": 1, "flow_hidden": 4}


def tiny(**parameters: Any) -> VAEEstimator:
    """The fastest estimator: one step of training on most data."""
    given = {"latent_dim": 2, "epochs": 1, "batch_size": 64, "score_draws": 2, "random_state": 0}
    return VAEEstimator(**{**given, "settings": TINY, **parameters})


def small(**parameters: Any) -> VAEEstimator:
    """An estimator that learns digits of 8x8 pixels in seconds."""
    given = {"latent_dim": 8, "epochs": 30, "batch_size": 100, "learning_rate": 2e-2, "random_state": 0}
    return VAEEstimator(**{**given, "settings": SMALL, **parameters})


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits, rows of 64 pixels from 0 to 16, and what they are."""
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, np.ndarray]) -> VAEEstimator:
    X, y = data
    return small().fit(X[:1400], y[:1400])


def test_it_passes_the_checks_of_scikit_learn() -> None:
    with warnings.catch_warnings():
        # Some checks are skipped with a warning, such as those of an array API that is not switched on.
        warnings.simplefilter("ignore")
        results = check_estimator(tiny(), on_fail=None)
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] not in ("passed", "skipped")]
    assert not failed
    assert sum(r["status"] == "passed" for r in results) > 40


@pytest.mark.backend
def test_it_learns_digits(data: tuple[np.ndarray, np.ndarray], fitted: VAEEstimator) -> None:
    X, y = data[0][1400:], data[1][1400:]
    begun = small(epochs=1).fit(data[0][:1400], data[1][:1400])
    assert fitted.score(X) > begun.score(X) + 3
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    assert rebuilt.shape == X.shape
    error = np.square(rebuilt - X).mean()
    assert error < 0.6 * np.square(data[0][:1400].mean(axis=0) - X).mean()
    assert (fitted.predict(X) == y).mean() > 0.7
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    drawn = fitted.sample(40, labels=np.repeat([3, 0], 20), random_state=0)
    assert drawn.shape == (40, 64)
    assert 0 <= drawn.min() < drawn.max() <= 16
    assert (fitted.predict(drawn) == np.repeat([3, 0], 20)).mean() > 0.5


@pytest.mark.backend
def test_a_score_belongs_to_the_row_alone(data: tuple[np.ndarray, np.ndarray], fitted: VAEEstimator) -> None:
    X = data[0][:9]
    scores = fitted.score_samples(X)
    assert scores.dtype == np.float32
    assert len(np.unique(scores)) == 9
    np.testing.assert_allclose(fitted.score_samples(X[::-2]), scores[::-2], rtol=1e-5)
    assert fitted.score(X) == pytest.approx(scores.mean(), rel=1e-6)


@pytest.mark.backend
def test_copies_and_pickles_are_the_same_estimator(
    data: tuple[np.ndarray, np.ndarray], fitted: VAEEstimator, tmp_path: Path, python: Any
) -> None:
    X = data[0][1400:1500]
    latents = fitted.transform(X)
    np.testing.assert_array_equal(copy.deepcopy(fitted).transform(X), latents)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), latents)
    joblib.dump(fitted, tmp_path / "vae.joblib", compress=3)
    np.save(tmp_path / "X.npy", X)
    script = (
        "import joblib, numpy as np\n"
        "vae, X = joblib.load('vae.joblib'), np.load('X.npy')\n"
        "np.savez('there.npz', z=vae.transform(X), p=vae.predict(X), s=vae.score_samples(X))\n"
    )
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    there = np.load(tmp_path / "there.npz")
    np.testing.assert_allclose(there["z"], latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(there["p"], fitted.predict(X))
    np.testing.assert_allclose(there["s"], fitted.score_samples(X), rtol=1e-4)


def test_it_is_a_step_of_pipelines_and_searches(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    search = GridSearchCV(small(epochs=5), {"latent_dim": np.array([2, 12])}, cv=2).fit(X[:600])
    assert search.best_params_ == {"latent_dim": 12}
    assert search.best_estimator_.transform(X[:3]).shape == (3, 12)
    pipeline = make_pipeline(small(epochs=15), StandardScaler(), LogisticRegression(max_iter=1000))
    assert pipeline.fit(X[:1400], y[:1400]).score(X[1400:], y[1400:]) > 0.7
    assert list(pipeline[:1].get_feature_names_out()[:2]) == ["vaeestimator0", "vaeestimator1"]
    # The target of a regression is no label.
    regression = make_pipeline(tiny(), Ridge()).fit(X[:64], np.linspace(0, 1, 64))
    assert not hasattr(regression[0], "predict")


def test_labels_are_of_any_kind_and_may_be_missing(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data[0][:64], data[1][:64]
    names = np.array(["even", "odd"], object)[y % 2]
    vae = tiny().fit(X, names)
    assert list(vae.classes_) == ["even", "odd"]
    assert set(vae.predict(X)) <= {"even", "odd"}
    assert vae.sample(2, labels="odd").shape == (2, 64)
    missing = np.where(np.arange(64) < 30, y + 5, -1)
    assert list(tiny().fit(X, missing).classes_) == list(range(5, 15))
    # One class beside the missing ones tells nothing, and neither do labels that are not wanted.
    assert not hasattr(tiny().fit(X, np.where(y < 5, 1, -1)), "classes_")
    vae.set_params(settings={**TINY, "condition": "none"}).fit(X, names)
    assert not hasattr(vae, "classes_")
    assert not hasattr(vae, "predict_proba")


def test_images_and_other_rows(data: tuple[np.ndarray, np.ndarray]) -> None:
    X = data[0][:64]
    vae = tiny().fit(X)
    assert (vae.image_shape_, vae.config_.recipe) == ((8, 8), "default")
    images = tiny().fit(X.reshape(-1, 8, 8))
    np.testing.assert_array_equal(images.transform(X), vae.transform(X))
    assert images.inverse_transform(images.transform(X)).shape == (64, 8, 8)
    with pytest.raises(ValueError, match=r"Expected images of \(8, 8\)\. Received: shape=\(64, 4, 16\)"):
        images.transform(X.reshape(-1, 4, 16))
    wide = tiny(image_shape=(8, 16)).fit(np.hstack([X, X]))
    assert wide.image_shape_ == (8, 16)
    rows = tiny(image_shape=None).fit(X)
    assert (rows.image_shape_, rows.config_.recipe) == (None, "grey")
    # Pixels that never change come back exactly; all the others stay within their range.
    rebuilt = rows.inverse_transform(rows.transform(X))
    constant = X.min(axis=0) == X.max(axis=0)
    assert constant.any()
    np.testing.assert_array_equal(rebuilt[:, constant], X[:, constant])
    assert (rebuilt >= X.min(axis=0)).all()
    assert (rebuilt <= X.max(axis=0)).all()


def test_other_rows_are_learnt_in_their_own_units() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.uniform(-1, 1, (600, 1))
    X = np.hstack([1000 + hidden, 1e-3 * hidden, -hidden]) + rng.normal(size=(600, 3)) * [0.05, 5e-5, 0.05]
    vae = small(latent_dim=2, epochs=40).fit(X)
    error = np.square(vae.inverse_transform(vae.transform(X)) - X).mean(axis=0)
    assert (error < 0.2 * X.var(axis=0)).all()


def test_wrong_parameters_and_data_are_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data[0][:64], data[1][:64]
    with pytest.raises(NotFittedError):
        tiny().predict(X)
    for parameters, message in [
        ({"recipe": "none"}, "Expected recipe to be one of"),
        ({"settings": {"widht": 3}}, "Received: widht"),
        ({"settings": {"seed": 3}}, "Expected settings without seed"),
        ({"image_shape": (8, 9)}, "as many pixels as X has features, 64"),
        ({"image_shape": (4, 16)}, "8x8 to 128x128"),
        ({"settings": {"condition": "label"}}, "Expected labelled data"),
    ]:
        with pytest.raises(ConfigError if "8x8" not in message else ValueError, match=message):
            clone(tiny()).set_params(**parameters).fit(X)
    with pytest.raises(ValueError, match="continuous"):
        tiny(settings={**TINY, "condition": "label"}).fit(X, np.linspace(0, 1, 64))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tiny().fit(X, y[:-1])
    vae = tiny().fit(X, y)
    with pytest.raises(ValueError, match=r"Expected labels among the classes .*\. Received: 12"):
        vae.sample(3, labels=12)
    with pytest.raises(ValueError, match="Expected latents of shape"):
        vae.inverse_transform(X)

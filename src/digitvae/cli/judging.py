"""Verbs that judge images: what they show, how likely they are, what they are like."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal

import digitvae
from digitvae.cli.common import from_one
from digitvae.cli.verb import PICTURES, TABLES, Task, Verb, add_inputs

if TYPE_CHECKING:
    import numpy as np

    from digitvae.writers import Result

Space = Literal["latent", "pixels"]
SPACES: tuple[Space, ...] = ("latent", "pixels")


def _add_classify(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--draws",
        type=from_one,
        metavar="K",
        help="average over this many weighted posterior draws (default: take the posterior mean)",
    )


def _classify(task: Task) -> Result:
    images, names = task.read(task.arguments.inputs)
    vae = task.load()

    from digitvae.latent import classify
    from digitvae.writers import Result

    probabilities = classify(vae, images, task.arguments.draws, task.arguments.seed)
    found = probabilities.argmax(axis=1)
    table = {f"p{label}": values for label, values in enumerate(probabilities.T)}
    return Result(
        {"probabilities": probabilities, "labels": found, "names": names},
        table={"name": names, "digit": found, **table},
        entries=lambda: {
            "images": [
                {"name": name, "digit": int(label), "probabilities": [float(p) for p in row]}
                for name, label, row in zip(names, found, probabilities, strict=True)
            ]
        },
    )


def _add_score(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--draws", type=from_one, default=50, metavar="K", help="posterior draws per image (default: 50)"
    )


def _score(task: Task) -> Result:
    images, names = task.read(task.arguments.inputs)
    # Unusual means: among images like those of training, of which validation images are not in it.
    dataset = _own_data(task)
    reference = digitvae.split_validation(dataset.train_images, None)[1].images
    vae = task.load(light=False)

    from digitvae.scoring import score
    from digitvae.writers import Result

    scores = score(vae, images, task.arguments.draws, task.arguments.seed, reference)._asdict()
    return Result(
        {**scores, "names": names},
        table={"name": names, **scores},
        entries=lambda: {
            "images": [
                {"name": name, **{key: float(value) for key, value in zip(scores, row, strict=True)}}
                for name, *row in zip(names, *scores.values(), strict=True)
            ]
        },
    )


def _own_data(task: Task) -> digitvae.Dataset:
    """Load the data that the model was trained on."""
    dataset = digitvae.load_dataset(task.run.config.data)
    task.run.check_data(dataset)
    return dataset


def _add_neighbours(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument("-k", type=from_one, default=5, metavar="K", help="how many (default: 5)")
    parser.add_argument(
        "--space",
        choices=(*SPACES, "both"),
        default="both",
        help="where images are compared: their latents, their pixels, or one after the other (default: both)",
    )


def _neighbours(task: Task) -> Result:
    given = task.arguments
    images, names = task.read(given.inputs)
    dataset = _own_data(task)
    # To encode all training images takes NumPy minutes.
    vae = task.load(light=given.space == "pixels")

    import numpy as np

    from digitvae.latent import neighbours
    from digitvae.writers import Pictures, Result, beside

    among, labels = dataset.train_images, dataset.train_labels
    spaces: tuple[Space, ...] = SPACES if given.space == "both" else (given.space,)
    found = {space: neighbours(vae, images, among, given.k, space) for space in spaces}
    arrays: dict[str, np.ndarray] = {}
    for space, (indices, distances) in found.items():
        arrays |= {f"{space}_indices": indices, f"{space}_distances": distances}
    rows = np.stack([indices for indices, _ in found.values()])  # (spaces, n, k)
    table: dict[str, np.ndarray] = {
        "name": np.tile(np.repeat(names, given.k), len(spaces)),
        "space": np.repeat(spaces, rows[0].size),
        "rank": np.tile(np.arange(given.k) + 1, rows[..., 0].size),
        "index": rows.ravel(),
        "distance": np.concatenate([distances.ravel() for _, distances in found.values()]),
    }
    if labels is not None:
        table["digit"] = labels[rows.ravel()]

    def entries() -> dict[str, Any]:
        listed = zip(*(column.tolist() for column in table.values()), strict=True)
        return {"neighbours": [dict(zip(table, row, strict=True)) for row in listed]}

    def pictures() -> Pictures:
        # In the row of an image stands what is nearest in each space, one after the other.
        near = among[np.concatenate(list(rows), axis=1)]
        named = [f"{name}-{space}-{i + 1}" for name in names for space in spaces for i in range(given.k)]
        return beside(images, near, named)

    return Result({**arrays, "inputs": images, "names": np.array(names)}, pictures, table, entries=entries)


VERBS = {
    "classify": Verb(
        "Say which digit each image shows: p(y|x) by Bayes' rule, for models trained with labels.",
        _add_classify,
        _classify,
        None,
        TABLES,
    ),
    "score": Verb(
        "Say how likely each image is: negative ELBO and NLL in nats, the error of its reconstruction, "
        "and how unusual it is among the training images, in percent.",
        _add_score,
        _score,
        None,
        TABLES,
    ),
    "neighbours": Verb(
        "Find the training images most like each image: itself first, then the nearest in either space.",
        _add_neighbours,
        _neighbours,
        "neighbours.png",
        (*PICTURES, ".csv"),
    ),
}

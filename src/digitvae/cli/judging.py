"""Verbs that judge images: what they show, how likely they are, what they are like."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

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
        numbers={
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
    vae = task.load(light=False)

    from digitvae.scoring import score
    from digitvae.writers import Result

    scores = score(vae, images, task.arguments.draws, task.arguments.seed)._asdict()
    rows = zip(*scores.values(), strict=True)
    return Result(
        {**scores, "names": names},
        table={"name": names, **scores},
        numbers={
            "images": [
                {"name": name, **{key: float(value) for key, value in zip(scores, row, strict=True)}}
                for name, row in zip(names, rows, strict=True)
            ]
        },
    )


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
    dataset = digitvae.load_dataset(task.run.config.data)
    task.run.check_data(dataset)
    # To encode all training images takes NumPy minutes.
    vae = task.load(light=given.space == "pixels")

    import numpy as np

    from digitvae.latent import neighbours
    from digitvae.writers import Pictures, Result

    among, labels = dataset.train_images, dataset.train_labels
    arrays: dict[str, np.ndarray] = {}
    entries, rows = [], [images[:, None]]
    spaces: tuple[Space, ...] = SPACES if given.space == "both" else (given.space,)
    for space in spaces:
        indices, distances = neighbours(vae, images, among, given.k, space)
        arrays |= {f"{space}_indices": indices, f"{space}_distances": distances}
        rows.append(among[indices])
        entries += [
            {
                "name": names[i],
                "space": space,
                "rank": rank + 1,
                "index": int(indices[i, rank]),
                "digit": None if labels is None else int(labels[indices[i, rank]]),
                "distance": float(distances[i, rank]),
            }
            for i, rank in np.ndindex(indices.shape)
        ]
    # A row for each image: itself, then what is nearest in each space.
    shown = np.concatenate(rows, axis=1)
    found = shown[:, 1:].reshape(-1, *vae.image_shape)
    named = [f"{name}-{space}-{i + 1}" for name in names for space in spaces for i in range(given.k)]
    return Result(
        {**arrays, "inputs": images, "names": np.array(names)},
        Pictures(found, named, list(shown)),
        {key: [entry[key] for entry in entries] for key in entries[0]},
        {"neighbours": entries},
    )


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

"""Drawings of digits as a hand makes them: strokes on a sheet of 280 x 280 pixels, the same every time."""

import numpy as np

SIDE = 280

# Strokes of each digit, on a sheet of 10 x 10, in the order of the hand.
_STROKES = {
    0: ["52 34 26 28 48 66 74 72 54 44 52"],
    1: ["43 52 58"],
    2: ["34 42 52 63 64 55 45 37 38 46 56 66"],
    3: ["34 43 53 62 63 54 45 54 64 66 57 46 37"],
    4: ["42 44 36 46 56 66", "63 65 67 58"],
    5: ["62 52 42 33 34 44 54 64 66 57 47 37", ""],
    6: ["62 52 43 35 37 48 58 67 66 55 45 36"],
    7: ["33 43 53 63 64 55 46 47 48", "45 55 65"],
    8: ["63 52 42 33 34 45 55 66 67 58 47 36 45 54 63"],
    9: ["63 52 42 33 34 45 54 63 64 65 56 58"],
}


def drawing(number: int) -> list[list[list[float]]]:
    """Return strokes of [x, y] in pixels, of the digit number % 10: shaken, turned, stretched and moved."""
    rng = np.random.default_rng([11, number])
    size, angle = rng.uniform(24, 36), rng.normal(0, 0.12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(rng.uniform(0.8, 1.2, 2)) @ np.array([[1, rng.normal(0, 0.15)], [0, 1]])
    middle = SIDE / 2 + rng.uniform(-25, 25, 2)
    strokes = []
    for text in filter(None, _STROKES[number % 10]):
        nodes = np.array([[int(x), int(y)] for x, y in text.split()], float) - 5
        nodes += rng.normal(0, 0.12, nodes.shape)
        places = middle + size * nodes @ (turn @ stretch).T
        strokes.append(np.round(_smooth(places), 1).tolist())
    return strokes


def _smooth(nodes: np.ndarray) -> np.ndarray:
    """Round the corners (Chaikin 1974), and stay on the sheet."""
    for _ in range(3):
        first, second = nodes[:-1], nodes[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1)
        nodes = np.concatenate([nodes[:1], cut.reshape(-1, 2), nodes[-1:]])
    return np.clip(nodes, 4, SIDE - 4)

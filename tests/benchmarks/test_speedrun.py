"""The speed run at its smallest: it runs, keeps and refuses what it should; the numbers are for people."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
REDUCED = ["--seeds", 0, "--epochs", 1, "--train-images", 256, "--test-images", 16, "--k", 2]
REDUCED += ["--nll-images", 4, "--no-machine"]


def fake_interpreter(path: Path, script: str) -> Path:
    """Make a command that stands in for Python."""
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def speedrun(python):
    def run(folder, *arguments):
        return python(FOLDER / "speedrun.py", *REDUCED, "--out", "out", *arguments, cwd=folder)

    return run


@pytest.fixture(scope="module")
def done(speedrun, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speedrun")
    finished = speedrun(folder, "--systems", "classic", "keras", "--epochs", 2)
    assert finished.returncode == 0, finished.stderr
    return folder, finished


def test_two_systems_run_side_by_side(done):
    folder, finished = done
    result = json.loads((folder / "out/speedrun.json").read_text())
    assert list(result["systems"]) == ["classic", "keras"]
    assert result["settings"]["test_images"] == 16
    assert not result["skipped"] | result["failed"]
    for system in result["systems"].values():
        (run,) = system["runs"]
        times = [0.0, *(row["seconds"] for row in run["curve"]), run["wall_seconds"]]
        assert times == sorted(set(times))
        assert len(run["curve"]) == 2
        assert (run["k"], run["images"], run["nll_images"]) == (2, 16, 4)
        assert 0 < run["nll"] < 700
        assert all(0 < row["neg_elbo"] < 700 for row in run["curve"])
        assert run["images_per_second"] > 0
        assert run["peak_memory_bytes"] > 1e8
    table = (folder / "out/speedrun.md").read_text()
    assert finished.stdout == table
    assert "| classic | the textbook model" in table
    assert (folder / "out/speedrun.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_finished_is_not_run_again(done, speedrun):
    folder, finished = done
    kept = sorted((folder / "out/work").glob("*-0/*"))
    assert {"epoch-001.keras", "epoch-002.npz", "scores.json"} <= {path.name for path in kept}
    before = [path.stat().st_mtime_ns for path in kept]
    # The report is of all that the folder holds, whatever this call was about.
    again = speedrun(folder, "--systems", "keras", "--epochs", 2)
    assert again.returncode == 0, again.stderr
    assert again.stdout == finished.stdout
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_other_settings_want_another_folder(done, speedrun):
    folder, _ = done
    refused = speedrun(folder, "--systems", "classic", "--k", 3)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "epochs=1 instead of 2, k=3 instead of 2" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--systems", "classic", "other"], "Expected systems among default"),
        (["--systems", "grey"], "Expected systems among default"),
        (["--systems", "classic@other"], "Expected systems among default"),
        (["--systems", "numpyro@jax"], "Expected systems among default"),
        (["--systems", "classic@float32@bfloat16"], "Expected systems among default"),
        (["--systems", "classic@auto"], "Expected systems among default"),
        (
            ["--systems", "keras", "--train-images", 100],
            "Expected --train-images of 128 to 60000. Received: 100",
        ),
        (["--systems", "keras", "--python", "keras=/no/such"], "Expected --python NAME=PATH"),
        (["--seeds", "x"], "Expected a whole number. Received: x"),
    ],
)
def test_a_wrong_command_line_is_one_line(speedrun, tmp_path, arguments, expected):
    refused = speedrun(tmp_path, *arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("speedrun: error: ")
    assert expected in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("system", "module"),
    [("classic@float32@jax", "jax"), ("numpyro", "numpyro"), ("pytorch", "torch"), ("pythae", "pythae")],
)
@pytest.mark.filterwarnings("ignore")  # of the libraries' own imports
def test_other_frameworks_are_scored_like_ours(speedrun, tmp_path, system, module):
    pytest.importorskip(module)
    finished = speedrun(tmp_path, "--systems", system, "--json")
    assert finished.returncode == 0, finished.stderr
    (run,) = json.loads(finished.stdout)["systems"][system]["runs"]
    assert 0 < run["nll"] < 700
    assert module in run["versions"]
    assert run["precision"] == "float32"
    low, high = run["nll_interval"]
    assert low <= run["nll"] <= high


def test_what_is_missing_is_skipped_and_what_fails_is_told(speedrun, tmp_path):
    bare = fake_interpreter(tmp_path / "bare", f'exec "{sys.executable}" -S -I "$@"')
    broken = fake_interpreter(tmp_path / "broken", "echo kaboom; exit 3")
    finished = speedrun(
        tmp_path, "--systems", "pytorch", "classic", "--python", f"pytorch={bare}", f"classic={broken}"
    )
    assert finished.returncode == 1
    assert "pytorch: skipped, torch is not installed (pip install torch)\n" in finished.stderr
    assert "classic: failed, exit code 3: kaboom" in finished.stderr
    assert "Traceback" not in finished.stderr
    result = json.loads((tmp_path / "out/speedrun.json").read_text())
    assert list(result["skipped"]) == ["pytorch"]
    assert list(result["failed"]) == ["classic"]


def test_an_interruption_ends_the_training_too(environment, tmp_path):
    training = fake_interpreter(tmp_path / "training", "echo $$ > pid; exec sleep 600")
    command = [sys.executable, FOLDER / "speedrun.py", *REDUCED, "--out", "out", "--systems", "classic"]
    process = subprocess.Popen(
        [*map(str, command), "--python", f"classic={training}"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error == "speedrun: error: " + error.removeprefix("speedrun: error: ").splitlines()[0] + "\n"
    assert "interrupted" in error
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    sizes = {"fc1": (400, 784), "fc21": (20, 400), "fc22": (20, 400), "fc3": (400, 20), "fc4": (784, 400)}
    return {
        f"{name}.{part}": rng.normal(0, 0.05, shape if part == "weight" else shape[:1]).astype("float32")
        for name, shape in sizes.items()
        for part in ("weight", "bias")
    }


@pytest.fixture
def outputs(weights, images):
    """What PyTorch's example computes, in NumPy."""

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    hidden = np.maximum(linear("fc1", images.reshape(-1, 784) / 255), 0)
    mean = linear("fc21", hidden)
    logits = linear("fc4", np.maximum(linear("fc3", mean), 0))
    return {
        "mean": mean,
        "log_scale": linear("fc22", hidden) / 2,
        "probabilities": (1 / (1 + np.exp(-logits))).reshape(-1, 28, 28),
    }


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 2, (5, 28, 28), "uint8") * np.uint8(255)


@pytest.fixture
def twins(load_script):
    return load_script("benchmarks/twins.py")


def test_a_true_twin_is_accepted(twins, weights, images, outputs):
    twins.check(twins.pytorch(weights), images, outputs)


@pytest.mark.parametrize(
    ("layer", "output"), [("fc21", "mean"), ("fc22", "log_scale"), ("fc3", "probabilities")]
)
def test_a_twin_with_permuted_weights_is_refused(twins, weights, images, outputs, layer, output):
    weights[f"{layer}.weight"] = weights[f"{layer}.weight"][::-1]
    with pytest.raises(ValueError, match=f"Expected a twin whose {output} is the peer's to 0.001"):
        twins.check(twins.pytorch(weights), images, outputs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("classic", ("classic", "tensorflow", "", "")),
        ("classic@jax", ("classic", "jax", "", "")),
        ("classic@3@float32", ("classic", "tensorflow", "3", "float32")),
        ("classic@float32@jax@3", ("classic", "jax", "3", "float32")),
        ("classic@0", None),
        ("classic@jax@torch", None),
        ("numpyro@3", None),
        ("", None),
    ],
)
def test_options_of_a_recipe_come_in_any_order_and_once(load_script, name, expected):
    assert load_script("benchmarks/contestants.py").variant_of(name) == expected


def cpu(vendor, family, model, flags):
    return {"vendor_id": vendor, "cpu family": family, "model name": model, "flags": flags}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (cpu("GenuineIntel", "6", "Intel(R) Xeon(R) Processor", "avx2 avx512f amx_bf16"), "intel-xeon-amx"),
        (cpu("GenuineIntel", "6", "Intel(R) Xeon(R) CPU @ 2.20GHz", "avx2 avx512f"), "intel-xeon-avx512"),
        (cpu("AuthenticAMD", "25", "AMD EPYC", "avx2 avx512f avx512_bf16"), "amd-epyc-zen4"),
        (cpu("AuthenticAMD", "25", "AMD EPYC 7B13 64-Core Processor", "avx2"), "amd-epyc-7b13-zen3"),
        (cpu("AuthenticAMD", "26", "AMD EPYC", "avx2 avx512f avx512_bf16"), "amd-epyc-zen5"),
        ({"Features": "fp asimd"}, "arm-neon"),
        ({}, "arm"),
    ],
)
def test_results_are_filed_by_processor(load_script, info, expected):
    assert load_script("benchmarks/processors.py").short_name(info, "Arm") == expected


@pytest.fixture
def report(load_script):
    return load_script("benchmarks/speedrun_report.py")


def result(**systems):
    """Make a result of curves, a list of (seconds, -ELBO) for each seed of each system."""
    return {
        "date": "2000-01-01T00:00:00",
        "machine": {"cpu": "abacus", "cores": 2, "memory_bytes": 2**30},
        "settings": {"train_images": 256, "test_images": 16, "k": 2, "nll_images": 4},
        "skipped": {},
        "failed": {},
        "systems": {
            name: {
                "what": name.upper(),
                "ours": name == "default",
                "runs": [
                    {
                        "seed": seed,
                        "wall_seconds": curve[-1][0] + 1,
                        "curve": [
                            {"epoch": i, "seconds": s, "neg_elbo": e} for i, (s, e) in enumerate(curve)
                        ],
                        "nll": 90.0,
                        "nll_interval": [89.5, 90.5 + seed],
                        "precision": "float32",
                        "images_per_second": 1234.0,
                        "peak_memory_bytes": 5_000_000,
                    }
                    for seed, curve in enumerate(curves)
                ],
            }
            for name, curves in systems.items()
        },
    }


def test_the_table_says_what_the_curves_say(report):
    ours = [
        [(10, 120), (20, 104), (30, 90)],
        [(12, 121), (24, 103), (36, 91)],
        [(11, 119), (22, 105), (33, 92)],
    ]
    theirs = [[(5, 150), (25, 106)], [(5, 151), (23, 104)], [(5, 152), (24, 107)]]
    lines = report.table(result(default=ours, peer=theirs, fast=[[(1, 200)]])).splitlines()
    assert "| default | DEFAULT | float32 | 3 | 3 | 34 (31 to 37) | 91.00 (90.00 to 92.00) |" in "\n".join(
        lines
    )
    assert "| 90.00 (90.00 to 90.00) +-1.50 |" in "\n".join(lines)
    assert "| 22.0 (20.0 to 24.0) | 1,234 (1,234 to 1,234) | 5 (5 to 5) |" in "\n".join(lines)
    assert "| 23.0 (2 never) |" in next(line for line in lines if "| PEER |" in line)
    # When the peer ended, after 24 s, the three seeds had reached 104, 103 and 105.
    assert "| peer | 24 | 106.00 | default | 104.00 | -2.00 |" in lines
    assert "| fast | 1 | 200.00 | - | - | - |" in lines
    assert "Medians over the seeds (least to most)." in lines


def test_the_plot_names_every_curve_once(report):
    figure = report.plot(
        result(default=[[(10, 120), (20, 90)]], near=[[(9, 125), (19, 91)]], far=[[(1, 300), (2, 200)]])
    )
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert sorted(texts) == ["105 nats", "above: far ends at 200 nats", "default 90.0", "near 91.0"]
    figure.canvas.draw()
    boxes = [
        text.get_window_extent() for text in axes.texts if text.get_text() in ("default 90.0", "near 91.0")
    ]
    assert not boxes[0].overlaps(boxes[1])
    assert max(box.x1 for box in boxes) < figure.bbox.x1

"""The package as it is built, installed and imported."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import digitvae
from digitvae.data import checksums

ROOT = Path(__file__).parent.parent
LIGHT = [name for name in digitvae.__all__ if digitvae._HOME_OF[name] in ("config", "data", "figures")]


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of what a build reads, so that the checkout stays clean and may be damaged."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore", "vae.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(project: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """Builds as `pip` and `build` do, but with the hatchling that is installed: no network."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", "built", "."]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def test_wheel_holds_the_package_and_its_data_alone(project):
    done = build(project, "wheel")
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (project / "built").iterdir()
    assert wheel.name == f"digitvae-{digitvae.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        data = {name: archive.read(f"digitvae/data/files/{name}") for name in checksums.ARCHIVES}
        info = f"digitvae-{digitvae.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    source = ROOT / "src"
    expected = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    assert {name for name in names if not name.startswith(info)} == expected
    assert f"{info}/licenses/LICENSE" in names
    assert "digitvae/py.typed" in names
    for name, content in data.items():
        assert content == (source / "digitvae" / "data" / "files" / name).read_bytes()
    assert "digitvae = digitvae.cli:main" in entry_points
    assert "License-Expression: MIT" in metadata
    extras = set(re.findall(r"^Provides-Extra: (\S+)$", metadata, re.MULTILINE))
    expected = {"tensorflow", "jax", "torch", "onnx", "codec", "ray", "tensorboard", "dev"}
    assert {extra.lower() for extra in extras} == expected


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_data_are_never_built(project, kind, damage):
    path = project / "src" / "digitvae" / "data" / "files" / "t10k-labels-idx1-ubyte.gz"
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
    done = build(project, kind)
    assert done.returncode != 0
    assert f"Expected {'the file' if damage == 'missing' else 'sha256'}" in done.stdout + done.stderr
    assert path.name in done.stdout + done.stderr
    assert not list(project.glob("built/*"))


@pytest.mark.parametrize("damage", ["changed", "shortened", "missing"])
def test_a_damaged_classifier_is_never_built(project, damage):
    path = project / "src" / "digitvae" / "data" / "files" / "classifier.keras"
    content = bytearray(path.read_bytes())
    path.unlink()
    content[len(content) // 2] ^= 1
    if damage != "missing":
        path.write_bytes(content if damage == "changed" else content[:-1000])
    done = build(project, "wheel")
    assert done.returncode != 0
    assert "Expected a whole classifier file" in done.stdout + done.stderr
    assert not list(project.glob("built/*"))


def loaded_by(statement: str) -> set[str]:
    """Returns which heavy packages a fresh interpreter has loaded after a statement."""
    heavy = {"numpy", "keras", "matplotlib", "PIL", "scipy", "sklearn", "skimage", "tqdm"}
    script = f"import sys\n{statement}\nprint(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["digitvae", "digitvae.cli"])
def test_importing_the_package_or_its_command_loads_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


@pytest.mark.parametrize("name", LIGHT)
def test_config_data_and_figures_load_numpy_at_most(name):
    assert loaded_by(f"from digitvae import {name}") <= {"numpy"}


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_backend_that_is_missing_is_one_line(python, tmp_path, backend):
    said = (
        f"Expected the backend {backend} to be installed (pip install 'digitvae[{backend}]'). "
        f"Received: no module {backend}"
    )
    hidden = (
        "import sys\nimport digitvae\n"
        "class Hidden:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == {backend!r}:\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Hidden)\n"
    )
    # Whoever tries again gets the same answer.
    tries = (
        "for get in (lambda: digitvae.load('mnist'), lambda: digitvae.VAE) * 2:\n"
        "    try:\n        get()\n    except ModuleNotFoundError as error:\n        print(error)\n"
    )
    done = python("-c", hidden + tries, cwd=tmp_path, KERAS_BACKEND=backend)
    assert done.stdout == 4 * f"{said}\n", done.stderr
    command = "from digitvae.cli import main\nsys.exit(main(['evaluate', 'mnist']))"
    done = python("-c", hidden + command, cwd=tmp_path, KERAS_BACKEND=backend)
    assert (done.returncode, done.stderr) == (2, f"digitvae: error: {said}\n")


def test_no_public_name_is_that_of_a_module():
    # Importing a module `digitvae.train` would put it where the public function of that name belongs.
    assert not set(digitvae.__all__) & {module.name for module in pkgutil.iter_modules(digitvae.__path__)}


@pytest.mark.parametrize("name", digitvae.__all__)
def test_public_names_are_those_of_their_homes_and_documented(name):
    value: Any = getattr(digitvae, name)
    home = importlib.import_module(f"digitvae.{digitvae._HOME_OF[name]}")
    assert value is getattr(home, name)
    assert value.__doc__


def test_list_of_names_is_complete_and_sorted():
    assert set(digitvae.__all__) == set(digitvae._HOME_OF)
    assert len(digitvae.__all__) == len(set(digitvae.__all__))
    assert set(digitvae.__all__) <= set(dir(digitvae))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        digitvae.nothing  # noqa: B018 - reading it is the test


def test_version_is_one():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {digitvae.__version__}\n" in citation
    assert f"## [{digitvae.__version__}]" in changelog


def test_no_system_is_claimed_but_the_tested_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    systems = [name for name in project["classifiers"] if name.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]  # what CI runs on


def test_every_module_says_what_it_is_for():
    for path in (ROOT / "src").rglob("*.py"):
        assert re.match(r'"""\S', path.read_text(encoding="utf-8")), path

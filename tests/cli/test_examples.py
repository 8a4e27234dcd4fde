"""The examples of docs/cli.md, run as they stand there but on a model of the tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from digitvae import cli

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
EXAMPLES = [shlex.split(line) for line in re.findall(r"\| `digitvae ([^`]+)` \|", PAGE)]


def test_every_example_does_what_it_says(monkeypatch, tmp_path, capsys, labelled):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.showwarning", None)
    for verb, model, *rest in EXAMPLES:
        assert model == "mnist"
        if verb == "explore":  # serves until it is interrupted: tests/explorer
            continue
        code = cli.main([verb, str(labelled), *rest])
        out, err = capsys.readouterr()
        assert (code, err) == (0, ""), (verb, err)
        if "-o" in rest:
            assert (tmp_path / rest[rest.index("-o") + 1]).exists()
        else:
            assert out.count("\n") > 3


def test_every_verb_on_trained_models_has_an_example():
    verbs = {verb for group in cli.VERBS.values() for verb in group}
    elsewhere = {"train", "evaluate", "compress", "decompress", "shard", "map"}
    assert {example[0] for example in EXAMPLES} == verbs - elsewhere

"""The config: what it accepts, what it refuses, and which source of a setting wins."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from digitvae.config import IWAE_DRAWS, RECIPES, Config, ConfigError, resolve, with_changes


def write(folder, values):
    """Writes a JSON file and returns its path."""
    path = folder / "settings.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "transformer"},
            "Expected architecture to be one of conv, dense. Received: transformer",
        ),
        ({"prior": "Flow"}, "Expected prior to be one of"),
        ({"likelihood": ""}, "Expected likelihood to be one of"),
        ({"objective": "beta"}, "Expected objective to be one of"),
        ({"binarization": "static"}, "Expected binarization to be one of"),
        ({"precision": "float16"}, "Expected precision to be one of"),
        (
            {"backend": "theano"},
            "Expected backend to be one of auto, tensorflow, jax, torch. Received: theano",
        ),
        ({"epochs": 0}, "Expected epochs to be at least 1. Received: 0"),
        ({"batch_size": -1}, "Expected batch_size to be at least 1"),
        ({"latent_dim": 0}, "Expected latent_dim to be at least 1"),
        ({"width": 0}, "Expected width to be at least 1"),
        ({"blocks": -1}, "Expected blocks to be at least 0"),
        ({"draws": 0}, "Expected draws to be at least 1"),
        ({"beta": -0.5}, "Expected beta to be at least 0"),
        ({"free_bits": -1}, "Expected free_bits to be at least 0"),
        ({"warmup_epochs": -1}, "Expected warmup_epochs to be at least 0"),
        ({"averaging_epochs": -0.5}, "Expected averaging_epochs to be at least 0"),
        ({"resampled": -1}, "Expected resampled to be at least 0"),
        ({"learning_rate": 0.0}, "Expected learning_rate to be above 0"),
        ({"learning_rate": -1}, "Expected learning_rate to be above 0"),
        ({"seed": -1}, "Expected seed to be from 0"),
        ({"seed": 2**31}, "Expected seed to be from 0"),
        ({"epochs": True}, "Expected epochs to be int. Received: True"),
        ({"epochs": 2.0}, "Expected epochs to be int. Received: 2.0"),
        ({"epochs": "2"}, "Expected epochs to be int. Received: '2'"),
        ({"epochs": None}, "Expected epochs to be int. Received: None"),
        ({"beta": False}, "Expected beta to be float. Received: False"),
        ({"beta": "1"}, "Expected beta to be float"),
        ({"beta": math.nan}, "Expected beta to be finite. Received: nan"),
        ({"learning_rate": math.inf}, "Expected learning_rate to be finite. Received: inf"),
        ({"data": 3}, "Expected data to be str. Received: 3"),
        ({"prior": ["flow"]}, "Expected prior to be str"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        Config(**changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"likelihood": "continuous_bernoulli"},
            "because the pixels are bits. Received: likelihood continuous_",
        ),
        (
            {"likelihood": "discretised_logistic"},
            "because the pixels are bits. Received: likelihood discretised_",
        ),
        ({"binarization": "none"}, "no density for grey pixels. Received: likelihood bernoulli"),
        (
            {"prior": "flow", "latent_dim": 1},
            "moves one part of the code by the other. Received: latent_dim 1",
        ),
        (
            {"prior": "flow", "free_bits": 0.1},
            "only there the KL is a sum over latents. Received: prior flow",
        ),
        ({"prior": "vamp", "free_bits": 0.1}, "Received: prior vamp"),
        ({"prior": "mixture", "free_bits": 0.1}, "Received: prior mixture"),
        ({"objective": "iwae", "draws": 1}, "because with one it is the elbo. Received: draws 1"),
        ({"objective": "iwae", "draws": 2, "beta": 2.0}, "no separate KL to weigh. Received: beta 2.0"),
        ({"objective": "iwae", "draws": 2, "beta": 0.0}, "no separate KL to weigh. Received: beta 0.0"),
        ({"objective": "iwae", "draws": 2, "prior": "normal", "free_bits": 1.0}, "no separate KL"),
        ({"objective": "iwae", "draws": 2, "warmup_epochs": 1.0}, "no separate KL"),
        ({"resampled": 1}, "only it weighs draws. Received: objective elbo"),
    ],
)
def test_impossible_combinations_are_refused_with_the_reason(changes, reason):
    with pytest.raises(ConfigError) as caught:
        Config(**changes)
    message = str(caught.value)
    assert message.startswith("Expected ")
    assert reason in message
    assert "\n" not in message


def test_the_bounds_themselves_are_allowed():
    config = Config(
        blocks=0, latent_dim=1, prior="normal", beta=0, free_bits=0.0, warmup_epochs=0, epochs=1,
        batch_size=1, seed=0,
    )  # fmt: skip
    assert Config(seed=2**31 - 1).seed == 2**31 - 1
    assert config.beta == 0


def test_a_config_is_frozen_and_goes_through_json_unchanged():
    config = Config(prior="vamp", beta=0.25, seed=7, data="somewhere/else")
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.beta = 2


def test_unknown_keys_are_refused_everywhere(tmp_path):
    for make in (
        lambda: Config.from_dict({"latent_dims": 2}),
        lambda: resolve(latent_dims=2),
        lambda: resolve(file=write(tmp_path, {"latent_dims": 2})),
        lambda: with_changes(Config(), latent_dims=2),
    ):
        with pytest.raises(
            ConfigError, match=r"Expected config keys among activation, .*Received: latent_dims"
        ):
            make()


def test_with_changes_checks_again_and_leaves_the_original():
    config = Config()
    assert with_changes(config, beta=2.0) == dataclasses.replace(config, beta=2.0)
    assert config.beta == 1
    with pytest.raises(ConfigError, match="beta"):
        with_changes(config, beta=-1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_diff_of_the_defaults(name):
    reason, diff = RECIPES[name]
    assert reason
    assert resolve(name) == Config(recipe=name, **diff)
    assert all(getattr(Config(), key) != value for key, value in diff.items()), "a recipe repeats a default"


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path):
    file = write(tmp_path, {"recipe": "classic", "latent_dim": 7, "width": 9})
    assert resolve(file=file) == Config(
        **{**RECIPES["classic"][1], "recipe": "classic", "latent_dim": 7, "width": 9}
    )
    both = resolve(file=file, latent_dim=3, width=None)
    assert (both.latent_dim, both.width, both.prior) == (3, 9, "normal")
    # A recipe that is named wins over the file's, the file's fields over that recipe's.
    named = resolve("manifold", file)
    assert (named.recipe, named.latent_dim, named.architecture) == ("manifold", 7, "conv")


def test_a_flag_of_zero_is_a_flag():
    assert resolve(beta=0.0).beta == 0
    assert resolve("classic", blocks=0, seed=0).seed == 0


def test_the_config_of_a_run_can_be_used_as_a_file(tmp_path):
    config = Config(recipe="manifold", latent_dim=2, prior="normal", epochs=3)
    assert resolve(file=write(tmp_path, {"config": config.to_dict(), "versions": {"keras": "3"}})) == config


def test_iwae_takes_several_draws_unless_told():
    assert resolve(objective="iwae").draws == IWAE_DRAWS
    assert resolve(objective="iwae", draws=8).draws == 8
    assert resolve().draws == 1


def test_unknown_recipes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Expected recipe to be one of default, .*Received: finest"):
        resolve("finest")
    with pytest.raises(ConfigError, match="Received: finest"):
        resolve(file=write(tmp_path, {"recipe": "finest"}))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", '{"epochs": NaN}', '{"beta": NaN}', '{"recipe": []}', '{"recipe": 3}'],
)
def test_files_that_are_no_settings_are_refused(tmp_path, content):
    with pytest.raises(ConfigError, match=r"^Expected .* Received: "):
        resolve(file=write(tmp_path, content))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Expected a readable JSON config file. Received: .*absent.json"):
        resolve(file=tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="Expected a readable JSON config file"):
        resolve(file=tmp_path)
    (tmp_path / "device.json").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match=r"config file. Received: .*device.json \(no regular file\)"):
        resolve(file=tmp_path / "device.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"Expected a JSON object .*deep.json \(nested too deeply\)"):
        resolve(file=tmp_path / "deep.json")
    (tmp_path / "latin.json").write_bytes(b'{"data": "\xe9"}')
    with pytest.raises(ConfigError, match="Expected a JSON object"):
        resolve(file=tmp_path / "latin.json")

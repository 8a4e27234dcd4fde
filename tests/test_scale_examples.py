"""The files for clusters in examples/scale are what the tools of the clusters take."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples" / "scale"


@pytest.fixture
def yaml():
    return pytest.importorskip("yaml")


@pytest.mark.ray
def test_ray_takes_the_cluster(yaml):
    pytest.importorskip("ray")
    jsonschema = pytest.importorskip("jsonschema")
    import json

    import ray

    cluster = yaml.safe_load((EXAMPLES / "ray-cluster.yaml").read_text())
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "workers": 3}, schema)


def test_the_job_set_starts_as_many_pods_as_each_is_told(yaml):
    job_set = yaml.safe_load((EXAMPLES / "jobset.yaml").read_text())
    assert (job_set["apiVersion"], job_set["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = job_set["spec"]["replicatedJobs"]
    pods = job["template"]["spec"]
    assert pods["completionMode"] == "Indexed"
    (container,) = pods["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    count = int(variables["KERAS_DISTRIBUTION_NUM_PROCESSES"])
    assert pods["parallelism"] == pods["completions"] == count
    # JobSet calls the first pod SET-JOB-0-0, under the domain of the set.
    name = job_set["metadata"]["name"]
    host, port = variables["KERAS_DISTRIBUTION_JOB_ADDRESSES"].split(":")
    assert host == f"{name}-{job['name']}-0-0.{name}"
    assert int(port) in [open_port["containerPort"] for open_port in container["ports"]]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pods["template"]["spec"]["volumes"]}
    subprocess.run(["bash", "-n", "-c", container["args"][0]], check=True)


@pytest.mark.parametrize("started", [False, True])
def test_the_slurm_script_starts_or_resumes_a_process_on_each_host(tmp_path, started):
    """Slurm's commands are stood in for by scripts that say how they are called; there is no cluster here."""
    commands = tmp_path / "bin"
    commands.mkdir()
    scripts = {
        "scontrol": "echo first; echo second",
        "srun": 'shift; SLURM_PROCID=1 exec "$@"',
        "digitvae": 'echo "$@"; env | grep ^KERAS_DISTRIBUTION | sort',
    }
    for name, text in scripts.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    if started:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_text("{}")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shutil.which("bash") or "bash", str(EXAMPLES / "train.slurm"), "best", "run"], cwd=tmp_path,
        env={"PATH": path, "SLURM_JOB_NODELIST": "x", "SLURM_NTASKS": "2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    what = "--resume run" if started else "--recipe best --run run"
    assert done.stdout.splitlines() == [
        f"train --backend jax --distributed {what}",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES=first:7700",
        "KERAS_DISTRIBUTION_NUM_PROCESSES=2",
        "KERAS_DISTRIBUTION_PROCESS_ID=1",
    ]

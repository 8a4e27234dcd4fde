"""Measuring a model: quickly at the end of a training (`evaluate`), or in full (`evaluate_fully`)."""

from __future__ import annotations

from digitvae.evaluation.complete import Evaluation, evaluate_fully
from digitvae.evaluation.protocols import SCHEMA_VERSION, check, protocol
from digitvae.evaluation.quick import evaluate
from digitvae.evaluation.samples import SampleScores, score_samples

__all__ = [
    "SCHEMA_VERSION",
    "Evaluation",
    "SampleScores",
    "check",
    "evaluate",
    "evaluate_fully",
    "protocol",
    "score_samples",
]

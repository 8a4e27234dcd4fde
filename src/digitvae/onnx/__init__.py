"""Trained models as ONNX graphs: written from a saved model without Keras, and run by ONNX Runtime."""

from digitvae.onnx.model import PARTS, Model
from digitvae.onnx.runtime import OnnxVAE, from_model, is_export, read_export, read_manifest

__all__ = ["PARTS", "Model", "OnnxVAE", "from_model", "is_export", "read_export", "read_manifest"]

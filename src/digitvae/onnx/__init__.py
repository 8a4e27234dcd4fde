"""Trained models as ONNX graphs: written from a saved model without Keras, and run by ONNX Runtime."""

from digitvae.onnx.model import PARTS, Model
from digitvae.onnx.runtime import Export, OnnxVAE, from_model, is_export

__all__ = ["PARTS", "Export", "Model", "OnnxVAE", "from_model", "is_export"]

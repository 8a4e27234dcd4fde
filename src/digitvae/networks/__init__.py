"""Encoders and decoders: tensors in, tensors out, no probability."""

from digitvae.networks.conv import conv_decoder, conv_encoder
from digitvae.networks.dense import dense_decoder, dense_encoder
from digitvae.networks.growing import start_from_smaller

__all__ = ["conv_decoder", "conv_encoder", "dense_decoder", "dense_encoder", "start_from_smaller"]

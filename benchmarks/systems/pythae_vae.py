"""pythae's own VAE, networks and trainer, from its package.

Its default perceptrons 784-512-20-512-784 with ReLU, `reconstruction_loss="bce"` on grey pixels,
`BaseTrainer` with Adam at 1e-3 (its default of 1e-4 would learn more slowly), batches of 128, 10 epochs, no
evaluation set.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from recorder import Recorder, options, save_arrays, scaled

EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 128, 1e-3
LATENTS = 20


class Snapshots(TrainingCallback):
    """Keeps the weights of every epoch."""

    def __init__(self, recorder: Recorder, model: VAE, images: int):
        super().__init__()
        self.recorder, self.model, self.images = recorder, model, images

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **kwargs) -> None:
        """Start the epoch's own clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, training_config: BaseTrainerConfig, **kwargs) -> None:
        """Take the time and the weights."""
        seconds = time.perf_counter() - self.began
        self.recorder.epoch_ends(self.images, seconds, lambda stem: save_arrays(stem, weights(self.model)))


def main() -> None:
    """Train."""
    chosen = options()
    recorder = Recorder(chosen.folder)
    torch.manual_seed(chosen.seed)
    images = torch.from_numpy(scaled(chosen.images)).unsqueeze(1)
    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"))
    trainer = BaseTrainer(
        model,
        BaseDataset(images, torch.zeros(len(images))),
        training_config=BaseTrainerConfig(
            output_dir=str(chosen.folder / "pythae"),
            per_device_train_batch_size=BATCH_SIZE,
            num_epochs=chosen.epochs or EPOCHS,
            learning_rate=LEARNING_RATE,
            seed=chosen.seed,
        ),
        callbacks=[Snapshots(recorder, model, len(images))],
    )
    trainer.train()
    recorder.finish(["pythae", "torch", "numpy"], lambda: outputs(model, scaled(chosen.probe)))


def weights(model: VAE) -> dict[str, np.ndarray]:
    """Return the weights by PyTorch's own names."""
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


def outputs(model: VAE, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the twin has to agree with."""
    model.eval()
    with torch.no_grad():
        posterior = model.encoder(torch.from_numpy(images).unsqueeze(1))
        reconstruction = model.decoder(posterior.embedding).reconstruction
    return {
        "mean": posterior.embedding.numpy(),
        "log_scale": 0.5 * posterior.log_covariance.numpy(),
        "probabilities": reconstruction.numpy().reshape(images.shape),
    }


if __name__ == "__main__":
    main()

"""PyTorch's official example, `vae/main.py` of pytorch/examples, restated: model, loss and training loop.

784-400-20-400-784 with ReLU, grey pixels under a Bernoulli's cross entropy, Adam at 1e-3, batches of 128, 10
epochs. Two things are kinder to it than the original: the images are tensors in memory instead of being
decoded one by one by torchvision, and it neither tests nor draws samples between the epochs.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from recorder import Recorder, options, save_arrays, scaled
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 128, 1e-3
PIXELS, HIDDEN, LATENTS = 784, 400, 20


class Example(nn.Module):
    """The example's perceptrons, its layers named as there."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(PIXELS, HIDDEN)
        self.fc21 = nn.Linear(HIDDEN, LATENTS)
        self.fc22 = nn.Linear(HIDDEN, LATENTS)
        self.fc3 = nn.Linear(LATENTS, HIDDEN)
        self.fc4 = nn.Linear(HIDDEN, PIXELS)

    def encode(self, x):
        """Return mean and log-variance of the posterior."""
        hidden = functional.relu(self.fc1(x))
        return self.fc21(hidden), self.fc22(hidden)

    def decode(self, z):
        """Return the probabilities of white."""
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z))))

    def forward(self, x):
        """Return probabilities at a draw of the posterior, its mean and log-variance."""
        mean, log_variance = self.encode(x.view(-1, PIXELS))
        scale = torch.exp(0.5 * log_variance)
        return self.decode(mean + torch.randn_like(scale) * scale), mean, log_variance


def loss_function(probabilities, x, mean, log_variance):
    """Return cross entropy plus KL, summed over pixels, latents and images."""
    cross_entropy = functional.binary_cross_entropy(probabilities, x.view(-1, PIXELS), reduction="sum")
    return cross_entropy - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


def main() -> None:
    """Train."""
    chosen = options()
    recorder = Recorder(chosen.folder)
    torch.manual_seed(chosen.seed)
    images = torch.from_numpy(scaled(chosen.images))
    loader = DataLoader(TensorDataset(images), batch_size=BATCH_SIZE, shuffle=True)
    model = Example()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(chosen.epochs or EPOCHS):
        began = time.perf_counter()
        model.train()
        total = 0.0
        for (batch,) in loader:
            optimizer.zero_grad()
            probabilities, mean, log_variance = model(batch)
            loss = loss_function(probabilities, batch, mean, log_variance)
            loss.backward()
            total += loss.item()
            optimizer.step()
        seconds = time.perf_counter() - began
        recorder.epoch_ends(len(images), seconds, lambda stem: save_arrays(stem, weights(model)))
        print(f"loss {total / len(images):.2f}", flush=True)
    recorder.finish(["torch", "numpy"], lambda: outputs(model, scaled(chosen.probe)))


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights by PyTorch's own names."""
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


def outputs(model: Example, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the twin has to agree with."""
    with torch.no_grad():
        mean, log_variance = model.encode(torch.from_numpy(images).view(-1, PIXELS))
        probabilities = model.decode(mean).view(images.shape)
    return {
        "mean": mean.numpy(),
        "log_scale": 0.5 * log_variance.numpy(),
        "probabilities": probabilities.numpy(),
    }


if __name__ == "__main__":
    main()

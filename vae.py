"""Train a variational autoencoder on MNIST for ten epochs and show new digits.

    python vae.py                      # about four minutes on two cores
    python vae.py --latent-dim 2       # the classic two-dimensional manifold
    python vae.py --help               # everything else

The file is short because the work is in the package `digitvae`; it is meant to be read.
"""

import sys

import digitvae
from digitvae import cli


def main(options: cli.TrainOptions) -> dict:
    """Learn, measure, look."""
    if options.resume:
        return cli.train_steps(options)

    # 60,000 training and 10,000 test digits, uint8, shipped inside the package.
    dataset = digitvae.load_dataset(options.config.data)

    # Maximise the evidence lower bound, E_q[log p(x|z)] - KL(q(z|x) || p(z)). The run folder keeps the model,
    # the history and all that --resume needs.
    run = digitvae.train(
        options.config, dataset, options.run, progress=options.progress, tensorboard=options.tensorboard
    )

    # An ordinary Keras model with encode, decode, reconstruct and generate.
    vae = digitvae.load(run.folder)

    # New digits, the latent plane, reconstructions, interpolations and the training curves, saved as PNGs.
    figures = digitvae.draw_figures(vae, dataset, run.history(), run.folder / "figures", seed=run.config.seed)

    # The test set is touched here and nowhere else: nats per image on fixed bits, and PCA to compare with.
    result = digitvae.evaluate(vae, dataset, seed=run.config.seed, progress=options.progress)

    # Print the numbers, write evaluation.json, open the figures where there is a screen.
    return cli.finish(run, result, figures, options)


if __name__ == "__main__":
    sys.exit(cli.run_script(main))

"""nnU-Net's own training, but by the clock: `python benchmarks/nnunet_side.py PLANS MINUTES`, in nnU-Net's environment.

It is nnU-Net's trainer with all its settings: network, augmentation, deep supervision, optimiser. Its 1000 epochs of 250 steps,
weeks on a CPU, become EPOCHS of equal length in time, over which the learning rate falls as it does over the 1000.
"""
import sys
import time

import torch
from nnunetv2.run.run_training import get_trainer_from_args

EPOCHS = 50


def train(plans: str, minutes: float) -> None:
    """Train on all cases of dataset 1; nnU-Net leaves its files where its environment variables say."""
    trainer = get_trainer_from_args("1", "3d_fullres", "all", plans_identifier=plans, device=torch.device("cpu"))
    trainer.num_epochs = EPOCHS
    trainer.on_train_start()
    start = time.monotonic()
    for epoch in range(EPOCHS):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        outputs = []
        while not outputs or time.monotonic() < start + (epoch + 1) / EPOCHS * minutes * 60:
            outputs.append(trainer.train_step(next(trainer.dataloader_train)))
        trainer.on_train_epoch_end(outputs)
        with torch.no_grad():       # one step, for its log needs it; of cases that it trains on, as in any training on all
            trainer.on_validation_epoch_start()
            trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val))])
        trainer.on_epoch_end()
        print(f"epoch {epoch + 1} of {EPOCHS}, {len(outputs)} steps, {time.monotonic() - start:.0f} s", flush=True)
    trainer.on_train_end()


if __name__ == "__main__":
    train(sys.argv[1], float(sys.argv[2]))

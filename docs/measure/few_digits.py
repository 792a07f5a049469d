"""Trains the network 'digits' on few and on many examples, with and without what helps: the table of docs/limits.md.

python docs/measure/few_digits.py
"""

from __future__ import annotations

import torch
from training import accuracy, fit

from convlayers import models
from convlayers.train import data
from convlayers.train.classify import augment

SEEDS, STEPS = 3, 300
COUNTS = (50, 200, 1347)


def main() -> None:
    digits = data.digits()
    inputs, labels = digits.part(digits.train)
    held_out = digits.part(digits.test)
    print("| examples | augmented | accuracy on them | on held-out digits | gap |\n|--:|---|--:|--:|--:|")
    for count in COUNTS:
        for change in (None, augment):
            rows = []
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                chosen = torch.randperm(len(labels))[:count]
                network = models.build("digits", 1, 10)
                fit(network, inputs[chosen], labels[chosen], STEPS, change)
                rows.append((accuracy(network, inputs[chosen], labels[chosen]), accuracy(network, *held_out)))
            seen, unseen = (sum(column) / SEEDS for column in zip(*rows, strict=True))
            unseens = [row[1] for row in rows]
            spread = f"{unseen:.1f} ({min(unseens):.1f} to {max(unseens):.1f})"
            how = "yes" if change else "no"
            print(f"| {count:,} | {how} | {seen:.1f} | {spread} | {seen - unseen:.1f} |", flush=True)


if __name__ == "__main__":
    main()

"""``convlayers train DATA``: trains a network on digits or on a folder of class folders of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convlayers.cli import UsageError, positive


def add(subparsers: Any) -> None:
    """Adds the command's arguments."""
    parser = subparsers.add_parser("train", help="train a network on pictures", description=__doc__)
    where = "'digits' (ships with scikit-learn), or a folder with a folder of pictures a class"
    parser.add_argument("data", metavar="DATA", help=where)
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ and the data's name)")
    parser.add_argument("--network", help="a network's name (default: digits for digits, pictures for folders)")
    parser.add_argument("--epochs", type=positive(int), default=30, help="how often each example is seen (default: 30)")
    parser.add_argument("--batch-size", type=positive(int), default=64, help="examples a step (default: 64)")
    parser.add_argument("--lr", type=positive(float), default=5e-3, help="peak learning rate (default: 0.005)")
    side = "pixels a side that pictures of a folder are resized to (default: 64)"
    parser.add_argument("--size", type=positive(int), default=64, help=side)
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Trains, tests, saves, and says what came of it."""
    from dataclasses import asdict

    import torch
    from rich.console import Console
    from rich.table import Table

    from convlayers import models
    from convlayers.train import data

    console = Console()
    is_digits = arguments.data == "digits"
    name = arguments.network or ("digits" if is_digits else "pictures")
    if name not in models.names():
        raise UsageError(f"--network must be one of {', '.join(models.names())}; received {name!r}")
    if is_digits:
        examples = data.digits()
    else:
        if arguments.size < 16:
            raise UsageError(f"--size must be at least 16; received {arguments.size}")
        with console.status("reading pictures") as status:

            def report(done: int, count: int) -> None:
                status.update(f"reading pictures: {done} of {count}")

            examples = data.folder(Path(arguments.data), arguments.size, report)
        for sentence in examples.skipped:
            console.print(f"skipped {sentence}", markup=False, highlight=False)
        if examples.skipped:
            console.print(f"{len(examples.skipped)} skipped, {len(examples.labels)} read")

    # After what may be wrong was looked at: Lightning takes seconds to import.
    import lightning

    from convlayers.inspect import feature_maps, filters
    from convlayers.train import answers, classify, history, run_folder, timing

    settings = classify.Settings(arguments.epochs, arguments.batch_size, arguments.lr, seed=arguments.seed)
    lightning.seed_everything(settings.seed, verbose=False)
    out = arguments.out or Path("runs") / (arguments.data if is_digits else Path(arguments.data).resolve().name)
    network = models.build(name, examples.preprocessing.channels, len(examples.classes))
    console.print(
        f"{len(examples.train)} pictures to train on, {len(examples.test)} held out; {len(examples.classes)} classes",
        highlight=False,
    )

    watch = classify.History(examples)
    finished = classify.fit(network, examples, settings, [watch])
    inputs, labels = examples.part(examples.test)
    chances = answers.probabilities(network, inputs)
    accuracy = (chances.argmax(1) == labels).double().mean().item()
    training = {
        "data": arguments.data,
        "settings": asdict(settings),
        "finished": finished,
        "split": {"seed": data.SPLIT_SEED, "held_out": data.HELD_OUT, "by_class": True},
        "test_accuracy": accuracy,
    }
    run_folder.save(out, network, run_folder.Description(name, examples.classes, examples.preprocessing, training))
    history.save(out, watch.epochs, chances, examples)
    if not finished:
        print(f"interrupted: the network as it was is saved in {out}; test accuracy so far: {100 * accuracy:.1f} %")
        return 130

    filters(network).save(out / "filters.png")
    feature_maps(network, inputs[0]).save(out / "feature_maps.png")
    _save_samples(out / "samples", examples)
    ours, theirs = timing.seconds_per_epoch(name, examples, settings)
    table = Table(title=f"{name} on {arguments.data}")
    table.add_column("")
    table.add_column("convlayers", justify="right")
    table.add_column("torch.nn", justify="right")
    table.add_row("test accuracy", f"{100 * accuracy:.1f} %", "")
    table.add_row("parameters", *[f"{sum(p.numel() for p in network.parameters()):,}"] * 2)
    table.add_row("seconds an epoch", f"{ours:.3f}", f"{theirs:.3f}")
    console.print(table)
    threads = torch.get_num_threads()
    print("An epoch: forward, backward and optimiser steps over the training pictures; the same network, batches and")
    print(
        f"layout (channels last), in turn, median of 3; {threads} threads. Ratio (torch.nn / ours): {theirs / ours:.2f}"
    )
    files = (
        "model.safetensors, config.json, history.json, evaluation.safetensors, filters.png, feature_maps.png, samples/"
    )
    print(f"saved in {out}: {files}")
    print(f"test accuracy: {100 * accuracy:.1f} %")
    return 0


def _save_samples(folder: Path, examples: Any) -> None:
    """The first held-out picture of each class, for `convlayers predict` to try."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    labels = examples.labels[examples.test]
    for number, name in enumerate(examples.classes):
        first = examples.test[(labels == number).nonzero()[0, 0]]
        pixels = examples.pixels[first].permute(1, 2, 0).numpy()
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(folder / f"{number}_{safe}.png")

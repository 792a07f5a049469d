"""The commands as a person types them, each in a process of its own."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convlayers.train import run_folder


def convlayers(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "convlayers.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return folder, convlayers("train", "digits", "--epochs", 3, "--out", folder)


def test_train_digits(run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = run
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "1347 pictures to train on, 450 held out; 10 classes" in done.stdout
    assert re.search(r"loss: \d", done.stdout)
    assert re.search(r"accuracy: \d", done.stdout)
    assert re.search(r"seconds an epoch │ +[\d.]+ │ +[\d.]+", done.stdout)
    accuracy = re.search(r"^test accuracy: (\d+\.\d) %$", done.stdout, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 90
    saved = json.loads((folder / "config.json").read_text())["training"]
    assert f"{100 * saved['test_accuracy']:.1f}" == accuracy[1]
    assert saved["finished"]
    for name in ("filters.png", "feature_maps.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 100
    assert len(list((folder / "samples").glob("*.png"))) == 10


def test_predict(run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    samples = sorted((run[0] / "samples").glob("*.png"))
    done = convlayers("predict", run[0], *samples)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [str(path) for path in samples]
    assert all(0 < float(line[2]) <= 100 and line[3] == "%" for line in lines)
    right = sum(Path(line[0]).name.startswith(line[1]) for line in lines)
    assert right >= 8


def test_predict_names_a_bad_file_and_goes_on(
    run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    done = convlayers("predict", run[0], bad, run[0] / "samples" / "3_3.png")
    assert done.returncode == 1
    assert f"{bad}: not a picture" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.fixture(scope="module")
def folder_of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zeros and ones of the digits as picture files, with what real folders have among them."""
    root = tmp_path_factory.mktemp("pictures")
    bunch = load_digits()
    for name, digit in (("zero", 0), ("one", 1)):
        (root / name).mkdir()
        for number, pixels in enumerate(bunch.images[bunch.target == digit][:40]):
            Image.fromarray((pixels * 15).astype("uint8")).save(root / name / f"{number}.png")
    (root / "zero" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (root / "zero" / "notes.txt").write_text("not a picture, and not named like one")
    (root / "single").mkdir()
    Image.new("RGB", (8, 8)).save(root / "single" / "only.png")
    return root


def test_train_a_folder(folder_of_pictures: Path, tmp_path: Path) -> None:
    done = convlayers("train", folder_of_pictures, "--size", 16, "--epochs", 8, "--batch-size", 16, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"skipped .*broken\.png: ", done.stdout.replace("\n", ""))
    assert "a class of one picture" in " ".join(done.stdout.split())
    assert "notes.txt" not in done.stdout
    accuracy = re.search(r"^test accuracy: (\d+\.\d) %$", done.stdout, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) >= 90
    predicted = convlayers("predict", tmp_path, folder_of_pictures / "one" / "0.png")
    assert predicted.stdout.split()[1] == "one"


def test_ctrl_c_saves(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-u",
        "-m",
        "convlayers.cli",
        "train",
        "digits",
        "--epochs",
        "1000",
        "--out",
        str(tmp_path),
    ]

    def interruptible() -> None:  # a shell starts what it runs in the background with the signal ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=interruptible) as process:
        assert process.stdout
        for line in process.stdout:  # rich prints an epoch's line at its end where the output is no terminal
            if "Epoch 1/" in line:
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted: the network as it was is saved in" in out
    assert "Traceback" not in err
    network, description = run_folder.load(tmp_path)
    assert not description.training["finished"]
    assert sum(p.numel() for p in network.parameters()) == 94_186


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "no/such/folder"), "DATA must be 'digits' or a folder"),
        (("train", "digits", "--epochs", "0"), "must be above 0; received 0"),
        (("train", "digits", "--lr", "nan"), "must be above 0; received nan"),
        (("train", "digits", "--network", "resnet"), "--network must be one of digits, pictures; received 'resnet'"),
        (("predict", "no/such/run", "a.png"), "RUN must be a folder that `convlayers train` wrote"),
        (("paint",), "invalid choice: 'paint'"),
        ((), "the following arguments are required: COMMAND"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = convlayers(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr

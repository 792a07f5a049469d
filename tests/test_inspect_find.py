"""Networks by name, and the command that looks into them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from convlayers import models
from convlayers.cli import main
from convlayers.inspect import find, summary
from convlayers.train import run_folder
from convlayers.train.images import Preprocessing

ROOT = Path(__file__).parent.parent


def test_a_name():
    assert str(find("digits", channels=1)) == str(models.build("digits", 1, 10).eval())


@pytest.fixture
def run(tmp_path):
    network = models.build("digits", 1, 4)
    run_folder.save(tmp_path / "run", network, run_folder.Description("digits", list("abcd"), Preprocessing(1, 8, 8)))
    return tmp_path / "run", network


def test_a_run(run):
    folder, network = run
    found = find(str(folder)).state_dict()
    assert all(torch.equal(found[name], t) for name, t in network.state_dict().items())


@pytest.fixture
def module(tmp_path, monkeypatch):
    lines = ["from torch import nn", "small = lambda: nn.Conv2d(1, 2, 3)", "made = small()", "wrong = lambda: 3"]
    (tmp_path / "their_networks.py").write_text("\n".join([*lines, "needs = lambda size: small()"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("their_networks", None)


@pytest.mark.usefixtures("module")
def test_their_own():
    assert isinstance(find("their_networks:small"), nn.Conv2d)
    assert isinstance(find("their_networks:made"), nn.Conv2d)


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet", "MODEL must be one of digits, pictures, a folder .* package.module:callable; received 'resnet'"),
        ("no_such_package:net", "must name a module; received 'no_such_package:net'"),
        ("their_networks:large", "must name one of small, .*; received 'their_networks:large'"),
        ("their_networks:wrong", "must return a torch.nn.Module; it returned int"),
        ("their_networks:needs", "must return a module when called without arguments"),
        ("digits:", "must name a module; received 'digits:'"),
    ],
)
def test_refusals(text, message):
    with pytest.raises(ValueError, match=message):
        find(text)


def test_the_command(capsys, tmp_path):
    saved = tmp_path / "summary.json"
    assert (
        main(["summary", "digits", "--input", "1x8x8", "--depth", "1", "--batch-size", "2", "--json", str(saved)]) == 0
    )
    shown = capsys.readouterr().out
    assert "94,186 parameters" in shown
    assert "FLOPs" in shown
    assert max(map(len, shown.splitlines())) <= 100
    expected = summary(models.build("digits", 1, 10), (1, 8, 8), batch_size=2, depth=1)
    assert json.loads(saved.read_text()) == json.loads(expected.to_json())


def test_the_command_on_a_run_knows_the_size(run, capsys):
    assert main(["summary", str(run[0])]) == 0
    assert "on 1x1x8x8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "--input must give the size of an input"),
        (["digits", "--input", "1x1x1"], "it refuses 1x1x1x1"),
        (["resnet", "--input", "3x8x8"], "MODEL must be one of digits, pictures"),
        (["digits", "--input", "1x8x8", "--json", "."], "--json must be a file"),
        (["torch.nn:ReLU", "--input", "1x8x8"], "must have a convolution; received ReLU"),
    ],
)
def test_the_command_refuses(arguments, message, capsys):
    assert main(["summary", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_refuses_a_size(capsys):
    with pytest.raises(SystemExit):
        main(["summary", "digits", "--input", "8"])
    assert "must be channels and sizes, such as 3x224x224; received '8'" in capsys.readouterr().err


def test_timm_and_torchvision(timm_folder):
    command = [sys.executable, str(ROOT / "tests" / "timm_networks.py"), str(timm_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]  # timm prints too
    found = {values["name"]: values for values in lines}
    assert "such as resnet18" in found.pop("error")["message"]
    for values in found.values():
        assert values["flops"] == values["counter"], values["name"]
    assert found["timm:resnet18"]["parameters"] == 11_689_512
    assert found["torchvision:mobilenet_v2"]["parameters"] == 3_504_872
    assert found["timm:resnet18"]["fields"]["layer4.1.conv2"] == [435, 435]
    assert found["torchvision:mobilenet_v2"]["fields"]["features.18.0"] == [491, 491]

"""What the README shows, runs."""

import re
from pathlib import Path

import pytest
import torch

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    examples = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(examples) == 4
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(README), "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    score = re.fullmatch(r"(\d+) % right", lines[0])
    assert score
    assert int(score[1]) >= 85
    assert lines[1].startswith("convolution direct ")

"""Training by parts: the split, pictures in and out, what a run leaves behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convlayers import models
from convlayers.models.blocks import torch_block
from convlayers.train import answers, classify, data, images, run_folder


@pytest.fixture(scope="module")
def digits() -> data.Examples:
    return data.digits()


def test_the_split_is_fixed_and_by_class(digits: data.Examples) -> None:
    assert (len(digits.labels), len(digits.train), len(digits.test)) == (1797, 1347, 450)
    assert sorted([*digits.train.tolist(), *digits.test.tolist()]) == list(range(1797))
    held_out = torch.bincount(digits.labels[digits.test])
    torch.testing.assert_close(held_out / torch.bincount(digits.labels), torch.full((10,), 0.25), atol=0.005, rtol=0)
    assert torch.equal(digits.test, data.digits().test)


def test_inputs_are_normalised_by_the_training_part(digits: data.Examples) -> None:
    inputs, labels = digits.part(digits.train)
    assert inputs.shape == (1347, 1, 8, 8)
    assert labels.shape == (1347,)
    assert abs(inputs.mean().item()) < 1e-5
    assert abs(inputs.std().item() - 1) < 1e-4


def test_augmentation_moves_pixels_and_stays_in_range(digits: data.Examples) -> None:
    inputs, _ = digits.part(digits.train[:64])
    torch.manual_seed(0)
    moved = classify.augment(inputs)
    assert moved.shape == inputs.shape
    assert not torch.equal(moved, inputs)
    assert moved.min() >= inputs.min() - 1e-5
    assert moved.max() <= inputs.max() + 1e-5
    still = classify.augment(inputs, degrees=0, shift=0, scale=0)
    torch.testing.assert_close(still, inputs, atol=1e-5, rtol=1e-5)


def test_training_lowers_the_loss_and_names_digits(digits: data.Examples) -> None:
    torch.manual_seed(0)
    network = models.build("digits", 1, 10)
    inputs, labels = digits.part(digits.test)
    before = (answers.probabilities(network, inputs).argmax(1) == labels).double().mean()
    assert classify.fit(network, digits, classify.Settings(epochs=2))
    chances = answers.probabilities(network, inputs)
    torch.testing.assert_close(chances.sum(1), torch.ones(450))
    assert before < 0.4
    assert (chances.argmax(1) == labels).double().mean() > 0.85


def test_both_blocks_make_the_same_network() -> None:
    for name in models.names():
        ours, theirs = models.build(name, 3, 7), models.build(name, 3, 7, block=torch_block)
        weights = list(ours.state_dict().values())
        theirs.load_state_dict(dict(zip(theirs.state_dict(), weights, strict=True)))
        x = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-5, rtol=1e-4)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="network must be one of digits, pictures; received 'resnet'"):
        models.build("resnet", 3, 10)


def test_a_batch_of_one_is_never_made() -> None:
    pixels = torch.zeros(9, 1, 8, 8, dtype=torch.uint8)
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
    train, test = data.split(labels)
    examples = data.Examples(pixels, labels, train, test, ["a", "b"], images.Preprocessing(1, 8, 8), [])
    assert len(train) == 7
    assert [len(x) for x, _ in classify.loader(examples, classify.Settings(batch_size=3))] == [3, 3]


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_turned_upright_converted_and_resized(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: 4 wide, 6 high becomes 6 wide, 4 high
    picture.save(tmp_path / "turned.png", exif=exif)
    pixels = images.read(tmp_path / "turned.png", images.Preprocessing(3, 4, 6))
    assert torch.equal(pixels, torch.from_numpy(np.array(picture)[::-1].copy()).permute(2, 1, 0))
    for mode in ("L", "P", "RGBA", "1", "I;16"):
        Image.new(mode, (5, 7)).save(tmp_path / f"{mode}.png")
        assert images.read(tmp_path / f"{mode}.png", images.Preprocessing(1, 8, 8)).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "not a picture"), (b"hello", "not a picture"), (None, "no such file")]
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(images.UnreadableImageError, match=rf"bad\.png: {reason}"):
        images.read(path, images.Preprocessing(3, 8, 8))


def test_a_cut_off_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(images.UnreadableImageError, match=r"cut\.jpg: .*truncated"):
        images.read(path, images.Preprocessing(3, 8, 8))


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_too_poor_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        data.folder(tmp_path / "missing")
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cats" / "one.png")
    with pytest.raises(ValueError, match=r"at least two class folders .* with 1 readable pictures in 1 folders"):
        data.folder(tmp_path)


# --- what a run leaves behind -----------------------------------------------------------------------------------------


def description() -> run_folder.Description:
    return run_folder.Description("digits", [str(d) for d in range(10)], images.Preprocessing(1, 8, 8, 0.3, 0.4))


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    network = models.build("digits", 1, 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run_folder.save(tmp_path, network, description())
    again, how = run_folder.load(tmp_path)
    assert how == description()
    assert not again.training
    for (name, ours), theirs in zip(network.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_damaged_run_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a folder that `convlayers train` wrote"):
        run_folder.load(tmp_path)
    run_folder.save(tmp_path, models.build("digits", 1, 10), description())
    weights = tmp_path / run_folder.WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        run_folder.load(tmp_path)
    weights.write_bytes(whole)
    config = tmp_path / run_folder.DESCRIPTION
    text = config.read_text()
    for broken in (
        "{",
        "[]",
        "{}",
        json.dumps({**json.loads(text), "network": "nets"}),
        text.replace('"9"', '"9", "A"'),
    ):
        config.write_text(broken)
        with pytest.raises(ValueError, match="is damaged"):
            run_folder.load(tmp_path)

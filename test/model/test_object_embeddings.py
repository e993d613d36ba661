"""Embeddings of labelled objects, their scores and pictures, by a small network that has learned nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from qdtrack_model.checkpoints import Checkpoint
from qdtrack_model.cli import main
from qdtrack_model.config import QDTrackConfig
from qdtrack_model.data.held_out import load_held_out
from qdtrack_model.data.loading import DataConfig
from qdtrack_model.drawing.embeddings import draw_heat, draw_plane, in_a_plane
from qdtrack_model.networks import OneShotNetwork, build
from qdtrack_model.object_embeddings import embed_sequence, heat_of


def test_an_object_is_described_where_its_centre_is(checkpoint: Checkpoint) -> None:
    network = checkpoint.network()
    assert isinstance(network, OneShotNetwork)
    images = torch.randint(0, 255, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[8.0, 8, 28, 48], [-30, -30, 10, 10], [80, 50, 120, 90]]]).expand(2, -1, -1)
    with torch.inference_mode():
        found = network.embed(images, boxes)
        features = network.features(images)
        cells = torch.tensor([[7 * 24 + 4, 0, 15 * 24 + 23]]).expand(2, -1)  # beyond the image: its border
        torch.testing.assert_close(found, network.describe(features, cells)[2])


def test_a_two_stage_network_describes_boxes_too() -> None:
    small = QDTrackConfig(input_size=(64, 96), depth=18, channels=32, head_width=16, embedding_size=8, max_detections=4)
    network = build(small).eval()
    with torch.inference_mode():
        found = network.embed(torch.zeros(1, 64, 96, 3, dtype=torch.uint8), torch.tensor([[[8.0, 8, 28, 48]]]))  # type: ignore[operator]
    assert found.shape == (1, 1, 8)


def test_objects_of_a_sequence(checkpoint: Checkpoint, blob_folder: Path) -> None:
    [(name, sequence)] = load_held_out([blob_folder], checkpoint.config, DataConfig()).sequences.items()
    found = embed_sequence(checkpoint.network(), sequence, name, last=4)
    assert found.frames.tolist() == np.repeat(np.arange(1, 5), 3).tolist()
    assert found.ids.tolist() == [1, 2, 3] * 4
    assert found.embeddings.shape == (12, 64)
    np.testing.assert_allclose(found.sizes[0], [24 * 0.3 / 4, 32 * 0.3 / 4], rtol=0.02)  # 320 pixels in 96
    assert {identity: crop.shape for identity, crop in found.crops.items()} == dict.fromkeys((1, 2, 3), (32, 24, 3))
    sequence.truth.confidences[:] = 0
    with pytest.raises(ValueError, match="no object is scored in frames 1-20"):
        embed_sequence(checkpoint.network(), sequence, name)


def test_the_command_prints_both_choices_of_people(
    checkpoint: Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["embeddings", "--weights", str(checkpoint.path), "--data", str(blob_folder), "--frames", "6"]
    assert main([*given, "--device", "cpu", "--json", str(tmp_path / "scores.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[2:]] == [["squares", "largest"], ["squares", "all"]]
    saved = json.loads((tmp_path / "scores.json").read_text())["sequences"]["squares"]
    assert saved["all"]["pairs"] == [18 * 17 // 2, 3 * 15]
    assert saved["all"] == saved["largest"]  # there are but three


def test_the_first_frames_are_counted_from_where_training_ended(
    checkpoint: Checkpoint, blob_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text("data: {others: {frames: [1, 10]}}")
    given = ["embeddings", "--weights", str(checkpoint.path), "--data", str(blob_folder), "--frames", "4"]
    given += ["--config", str(tmp_path / "recipe.yaml"), "--device", "cpu", "--json", str(tmp_path / "scores.json")]
    assert main(given) == 0
    saved = json.loads((tmp_path / "scores.json").read_text())["sequences"]["squares"]
    assert saved["all"]["count"] == 4 * 3


@pytest.mark.parametrize(("frames", "message"), [("1", "squares: ids: 0 pairs are of one identity")])
def test_what_cannot_be_scored_is_one_line(
    checkpoint: Checkpoint, blob_folder: Path, capsys: pytest.CaptureFixture[str], frames: str, message: str
) -> None:
    given = ["embeddings", "--weights", str(checkpoint.path), "--data", str(blob_folder), "--frames", frames]
    assert main(given) == 2
    assert message in capsys.readouterr().err


def test_one_person_in_the_first_frame_are_too_few_and_a_sequence_without_pairs_is_left_out(
    checkpoint: Checkpoint, blob_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lonely, still = (shutil.copytree(blob_folder, tmp_path / "several" / name) for name in ("lonely", "still"))
    for folder, rest in ((lonely, lambda row: row[0] > 1 or row[1] == 1), (still, lambda row: row[0] == 1)):
        rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
        np.savetxt(folder / "gt" / "gt.txt", rows[[rest(row) for row in rows]], "%g", ",")
    given = ["embeddings", "--weights", str(checkpoint.path), "--data", str(lonely), str(still), "--frames", "6"]
    assert main([*given, "--json", str(tmp_path / "scores.json")]) == 1
    told = capsys.readouterr()
    assert "left out: still: ids: 0 pairs are of one identity" in told.err
    assert [line.split()[:3] for line in told.out.splitlines()[2:3]] == [["lonely", "largest", "-"]]
    saved = json.loads((tmp_path / "scores.json").read_text())["sequences"]
    assert (list(saved), saved["lonely"]["largest"], saved["lonely"]["all"]["count"]) == (["lonely"], None, 16)


def test_more_objects_than_can_be_compared_are_told_before_any_is_described(
    checkpoint: Checkpoint, blob_folder: Path
) -> None:
    [(name, sequence)] = load_held_out([blob_folder], checkpoint.config, DataConfig()).sequences.items()
    embed_sequence(checkpoint.network(), sequence, name, last=5, most=17)
    with pytest.raises(ValueError, match="18 objects in frames up to 6, expected 17 at most: choose fewer frames"):
        embed_sequence(torch.nn.Linear(1, 1), sequence, name, last=6, most=17)


def test_the_heatmap_covers_the_image_and_not_the_padding(checkpoint: Checkpoint, blob_folder: Path) -> None:
    image = cv2.imread(str(blob_folder / "img1" / "000001.png"))
    heat = heat_of(checkpoint.network(), image)
    assert heat is not None
    assert heat.shape == (14, 24)  # 320x192 in 96x64 is 96x58
    drawn = draw_heat(image, heat, np.array([[10.0, 20, 34, 52]]))
    assert drawn.shape == image.shape
    assert (drawn[20, 10:34] == 255).all()


def test_a_plane_keeps_identities_apart(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'qdtrack[embeddings]'")
    ids = np.repeat(np.arange(3), 20)
    vectors = 4 * np.eye(3, 8)[ids] + 0.1 * np.random.default_rng(0).standard_normal((60, 8))
    points = in_a_plane(vectors)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(60)
    assert (ids[apart.argmin(axis=1)] == ids).all()


def test_a_plane_is_drawn_with_what_people_look_like(tmp_path: Path) -> None:
    points, ids = np.random.default_rng(0).standard_normal((9, 2)), np.repeat([1, 2, 3], 3)
    draw_plane(tmp_path / "plane.png", points, ids, {1: np.full((20, 10, 3), 200, np.uint8)}, "three people")
    assert cv2.imread(str(tmp_path / "plane.png")).shape[2] == 3


def test_without_scikit_learn_pictures_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.manifold", None)
    with pytest.raises(ValueError, match=r"need scikit-learn: pip install 'qdtrack\[embeddings\]'"):
        in_a_plane(np.zeros((9, 2)))

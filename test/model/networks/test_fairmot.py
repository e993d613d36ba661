"""FairMOT's network: its backbones, its heads, and the graphs that they export to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.config import ConfigError, FairMotConfig, FairMotModelConfig
from qdtrack_model.networks import FairMotNetwork, build
from qdtrack_model.networks.fairmot.dla import DeformableConv, Dla34
from qdtrack_model.networks.folding import fold_norms
from qdtrack_model.runtimes import Options
from qdtrack_model.runtimes.engine_builder import lacking

CONFIGS = {
    "dla34": FairMotModelConfig(input_size=(64, 96), head_width=32, embedding_size=16, max_detections=10),
    "deformable": FairMotModelConfig(
        input_size=(64, 96), head_width=32, embedding_size=16, max_detections=10, deformable=True, size="wh"
    ),
    "hrnet": FairMotModelConfig(
        input_size=(64, 96), head_width=32, embedding_size=16, max_detections=10, backbone="hrnet_w18", size="wh"
    ),
}  # fmt: skip


def seeded(config: FairMotModelConfig) -> FairMotNetwork:
    torch.manual_seed(0)
    made = build(config)
    assert isinstance(made, FairMotNetwork)
    for module in made.modules():
        if isinstance(module, DeformableConv):
            nn.init.normal_(module.conv_offset_mask.weight, std=0.02)  # else nothing moves
        if hasattr(module, "running_var"):  # as if trained: else values grow from layer to layer
            module.running_mean.normal_(std=0.05)
            module.running_var.uniform_(0.8, 1.2)
            module.weight.data.uniform_(0.3, 0.6)
    return made.eval()


def decided(network: FairMotNetwork) -> FairMotNetwork:
    """The network with features and a heatmap that differ from place to place, so that rounding makes no peaks."""
    with torch.no_grad():
        for _ in range(20):  # norms learn the statistics
            network.train().features(images(2))
        logits = network.eval().hm(network.features(images()))
    last = network.get_submodule("hm.2")
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    last.weight.data *= 2 / logits.std()
    last.bias.data -= 2 / logits.std() * (logits.mean() - last.bias.data)
    return network


@pytest.fixture(scope="module", params=CONFIGS)
def network(request: pytest.FixtureRequest) -> FairMotNetwork:
    return seeded(CONFIGS[request.param])


def images(count: int = 1) -> Tensor:
    return torch.randint(0, 255, (count, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_forward_gives_fixed_shapes_best_first(network: FairMotNetwork) -> None:
    with torch.inference_mode():
        boxes, scores, labels, embeddings = network(images(2))
        alone = network(images(2)[1:])
    assert [tuple(x.shape) for x in (boxes, scores, labels, embeddings)] == [(2, 10, 4), (2, 10), (2, 10), (2, 10, 16)]
    assert (scores.diff(dim=1) <= 0).all()
    torch.testing.assert_close(alone[1][0], scores[1], rtol=1e-4, atol=1e-5)


def test_heads_at_places_are_the_dense_ones(network: FairMotNetwork) -> None:
    index = torch.tensor([[0, 23, 24 * 7 + 5, 24 * 16 - 1]])  # corners of the map and a cell within
    with torch.inference_mode():
        features = network.features(images())
        found = network.describe(features, index)
        dense = [
            head(features).flatten(2).transpose(1, 2)[:, index[0]] for head in (network.reg, network.wh, network.id)
        ]
    assert features.shape == (1, 64, 16, 24)
    torch.testing.assert_close(found[0], dense[0])
    torch.testing.assert_close(found[2], dense[2])
    halves = torch.cat([dense[1], dense[1]], dim=-1) / 2
    torch.testing.assert_close(found[1], dense[1] if network.config.size == "ltrb" else halves)


def test_folded_norms_change_nothing(network: FairMotNetwork) -> None:
    folded = build(network.config).eval()
    folded.load_state_dict(network.state_dict())
    fold_norms(folded)
    with torch.inference_mode():
        for one, other in zip(folded(images())[:2], network(images())[:2], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_levels_of_dla() -> None:
    with torch.inference_mode():
        levels = Dla34().eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (16, 64, 96), (32, 32, 48), (64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3),
    ]  # fmt: skip


def test_a_deformable_convolution_takes_its_samples_where_it_says() -> None:
    torch.manual_seed(0)
    conv = DeformableConv(3, 2).double()
    nn.init.normal_(conv.conv_offset_mask.weight, std=0.3)
    nn.init.normal_(conv.bias)
    x = torch.randn(1, 3, 5, 6, dtype=torch.float64)
    moves = conv.conv_offset_mask(x)[0].float().double()
    padded = nn.functional.pad(x[0], (9, 9, 9, 9))

    def value(row: float, column: float) -> Tensor:
        top, left = int(np.floor(row)), int(np.floor(column))
        down, across = row - top, column - left
        cells = padded[:, top + 9 : top + 11, left + 9 : left + 11]
        upper, lower = (cells[:, i, 0] * (1 - across) + cells[:, i, 1] * across for i in (0, 1))
        return upper * (1 - down) + lower * down

    expected = torch.zeros(2, 5, 6, dtype=torch.float64)
    for row in range(5):
        for column in range(6):
            place = moves[:, row, column]
            for k in range(9):
                sample = value(row + k // 3 - 1 + place[2 * k].item(), column + k % 3 - 1 + place[2 * k + 1].item())
                expected[:, row, column] += conv.weight[:, :, k // 3, k % 3] @ sample * place[18 + k].sigmoid()
    torch.testing.assert_close(conv(x)[0], expected + conv.bias[:, None, None], rtol=1e-4, atol=1e-4)


def test_without_offsets_it_is_half_a_plain_convolution() -> None:
    conv, plain = DeformableConv(4, 3), nn.Conv2d(4, 3, 3, padding=1, bias=False)
    plain.weight.data.copy_(conv.weight.data)
    x = torch.randn(2, 4, 7, 5)
    torch.testing.assert_close(conv(x), plain(x) / 2, rtol=1e-4, atol=1e-5)  # all weights are sigmoid(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dla34", "hrnet"])
def test_the_graph_gives_what_torch_gives_and_becomes_an_engine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    config = dataclasses.replace(CONFIGS[name], score_floor=0.0)
    network = decided(seeded(config))
    checkpoints.save(tmp_path / "w.safetensors", network, config, FairMotConfig(), {})
    checkpoint = checkpoints.load(tmp_path / "w.safetensors")
    found = runtimes.load(checkpoint, Options("onnxruntime", threads=1)).infer(images().numpy())[0]
    expected = runtimes.load(checkpoint, Options("torch", "fp32", threads=1)).infer(images().numpy())[0]
    assert len(expected) > 1
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-3)
    if reason := lacking("tensorrt_rtx", "x"):
        pytest.skip(f"the graph is right; no engine is built: {reason}")
    path, _ = runtimes.build(checkpoint, Options("tensorrt_rtx", "fp32"), "8.9")
    assert path.stat().st_size > checkpoint.path.stat().st_size / 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet"}, "backbone: got 'resnet', expected one of dla34, hrnet_w18"),
        ({"backbone": "hrnet_w18", "deformable": True}, "deformable: got True, expected false for hrnet_w18"),
        ({"size": "xywh"}, "size: got 'xywh', expected ltrb or wh"),
        ({"input_size": (100, 64)}, "input_size: got"),
        ({"max_detections": 0}, "max_detections: got 0"),
    ],
)
def test_a_network_that_cannot_be_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FairMotModelConfig(**settings)

"""Training on a tiny moving scene: it learns, resumes to the same weights, and refuses what it cannot use."""

import dataclasses
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qdtrack_model import checkpoints
from qdtrack_model.cli import main
from qdtrack_model.config import ConfigError, OneShotConfig
from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import LabelledImage, SampleSet
from qdtrack_model.networks import OneShotNetwork
from qdtrack_model.training import loop, one_shot
from qdtrack_model.training.config import OneShotTraining, read_recipe
from qdtrack_model.training.loop import train
from qdtrack_model.training.schedule import make_schedule
from qdtrack_model.training.state import ResumeError

from .scene import moving_blocks, write_folder

MODEL = OneShotConfig(classes=("pedestrian",), input_size=(64, 96), width=0.125, max_detections=20, embedding_size=16)
CONFIG = OneShotTraining(
    model=MODEL, steps=12, batch=2, pairs=PairConfig((64, 64), reference_range=2), warm_up=2, places=32
)


def run(config: OneShotTraining, state: Path, resume: bool = False) -> OneShotNetwork:
    torch.manual_seed(config.seed)
    return train(
        config, [SampleSet(moving_blocks())], OneShotNetwork(config.model), state, torch.device("cpu"), resume=resume
    )


def test_a_class_that_is_not_labelled_gets_no_gradient() -> None:
    torch.manual_seed(0)
    model = dataclasses.replace(MODEL, classes=("pedestrian", "vehicle"))
    network, config = OneShotNetwork(model).train(), dataclasses.replace(CONFIG, model=model)
    # More than the image: what a crop shows beyond its border is known to hold nothing, and is learned so.
    whole = {"open_boxes": np.array([[-96.0, -96, 192, 192]]), "open_labels": np.array([1])}
    frames = [LabelledImage(f.image, dataclasses.replace(f.objects, **whole)) for f in moving_blocks()]
    data = one_shot.CentrePairs(FramePairs([SampleSet(frames)], PairConfig((64, 96), (1.0, 1.0)), 0, 2), config)
    heat = one_shot.losses(network, one_shot.collate([data[0], data[1]]), config)["heat"]
    weight, bias = torch.autograd.grad(heat, [network.heat.weight, network.heat.bias])
    assert (weight[0] != 0).any() and bias[0] != 0
    assert (weight[1] == 0).all() and bias[1] == 0


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    whole = run(CONFIG, tmp_path / "whole.pt")

    real, calls = one_shot.losses, 0

    def interrupted(*args, **settings):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(one_shot, "losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, tmp_path / "half.pt")
    monkeypatch.undo()
    resumed = run(CONFIG, tmp_path / "half.pt", resume=True)
    for (name, first), second in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")

    other = replace(CONFIG, learning_rate=1e-3, pairs=PairConfig((64, 64)))
    with pytest.raises(ResumeError, match=r"another recipe \(learning_rate, pairs\)"):
        run(other, tmp_path / "half.pt", resume=True)
    fewer, network = [SampleSet(moving_blocks()[1:])], OneShotNetwork(CONFIG.model)
    with pytest.raises(ResumeError, match="other data"):
        train(CONFIG, fewer, network, tmp_path / "half.pt", torch.device("cpu"), resume=True)


def test_crops_are_padded_as_the_network_says(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    learned = []
    for number, padding in enumerate([(114, 114, 114), (114, 114, 114), (0, 114, 114)]):
        pairs = PairConfig((64, 64), (0.4, 0.5))  # a frame fills half of its crop
        config = replace(CONFIG, model=replace(MODEL, padding=padding), steps=1, batch=1, pairs=pairs)
        learned.append(run(config, tmp_path / f"{number}.pt").state_dict()["heat_hidden.weight"])
    assert torch.equal(learned[0], learned[1])
    assert not torch.equal(learned[0], learned[2])


def test_unknown_identities_teach_boxes_and_no_embeddings() -> None:
    torch.manual_seed(0)
    network = OneShotNetwork(MODEL).train()
    pairs = FramePairs(
        [SampleSet(moving_blocks(ids=(0, -1, 2)))], PairConfig((64, 96), (1.0, 1.0), reference_range=2), 0, 4
    )
    places = one_shot.CentrePairs(pairs, CONFIG)
    batch = one_shot.collate([places[i] for i in range(4)])
    learned: list[torch.Tensor] = []
    real = network.describe

    def watched(*args: torch.Tensor) -> tuple[torch.Tensor, ...]:
        learned[:] = real(*args)
        return tuple(learned)

    network.describe = watched  # type: ignore[method-assign]
    terms = one_shot.losses(network, batch, CONFIG)
    _, sides, embeddings = learned
    (box,) = torch.autograd.grad(terms["box"], [sides], retain_graph=True)
    (embedding,) = torch.autograd.grad(terms["contrastive"] + terms["auxiliary"], [embeddings])
    objects = batch.boxes[..., 2] > 0
    unknown = objects & (batch.identity < 0)
    assert unknown.any()
    assert (box[objects] != 0).any(dim=-1).all()
    assert (embedding[objects & ~unknown] != 0).any(dim=-1).all()
    assert not embedding[unknown].any()


def test_terms_of_the_loss_are_read_where_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read a number of the GPU waits for all its work; here reads are counted."""
    real, terms, reads = one_shot.losses, [], []

    def remembered(*args, **settings):  # type: ignore[no-untyped-def]
        terms.append(real(*args, **settings))
        return terms[-1]

    def item(tensor: torch.Tensor) -> float:
        assert not any(tensor is term for step in terms for term in step.values()), "a term is read at every step"
        return tensor.tolist()

    def set_postfix(bar: object, values: dict[str, str], refresh: bool) -> None:
        reads.append(values)

    monkeypatch.setattr(one_shot, "losses", remembered)
    monkeypatch.setattr(torch.Tensor, "item", item)
    monkeypatch.setattr(loop, "SHOW_EVERY", 1e9)
    monkeypatch.setattr(loop.tqdm, "set_postfix", set_postfix)
    run(CONFIG, tmp_path / "state.pt")
    expected = torch.zeros(4)
    for step in terms:
        latest = torch.stack(list(step.values())).detach()
        expected = latest if step is terms[0] else 0.95 * expected + 0.05 * latest
    assert reads[-1] == {name: f"{value:.3f}" for name, value in zip(terms[0], expected.tolist(), strict=True)}
    assert len(reads) == 2, "the first line and the last"


@pytest.mark.slow
def test_it_learns_to_find_and_to_tell_apart(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = OneShotTraining(
        model=MODEL, steps=280, batch=2, pairs=PairConfig((64, 96), (0.9, 1.1), reference_range=3),
        warm_up=10, ema_decay=0.9, learning_rate=4e-3, places=48, seed=2,
    )  # fmt: skip
    network = run(config, tmp_path / "state.pt")
    frames = moving_blocks()
    with torch.no_grad():
        boxes, scores, _, embeddings = network(torch.from_numpy(np.stack([frames[2].image, frames[5].image])))
    assert (scores[:, :3] > 0.3).all()
    assert (scores[:, 3:] < 0.3).all()
    order = boxes[:, :3, 0].argsort(dim=1)
    found = torch.stack([boxes[i, order[i]] for i in range(2)])
    np.testing.assert_allclose(found[0], frames[2].objects.boxes, atol=4)
    vectors = torch.nn.functional.normalize(torch.stack([embeddings[i, order[i]] for i in range(2)]), dim=-1)
    assert (vectors[0] @ vectors[1].T).argmax(dim=1).tolist() == [0, 1, 2]


def test_rate_warms_up_and_falls() -> None:
    schedule = make_schedule(CONFIG, 8)
    rates = [schedule.rate(step) for step in range(CONFIG.steps)]
    assert rates[0] < rates[1]
    assert all(a > b for a, b in itertools.pairwise(rates[1:]))
    assert rates[-1] < 0.1 * CONFIG.learning_rate


RECIPE = """
model: {classes: [pedestrian], input_size: [64, 96], width: 0.125, max_detections: 20}
steps: 2
batch: 1
pairs: {crop_size: [64, 64]}
"""


def test_the_command_writes_weights_that_say_where_they_come_from(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "blocks")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    output = tmp_path / "out" / "blocks.safetensors"
    recipe = [str(tmp_path / "recipe.yaml"), f"data.root={folder}", "seed=3"]
    assert main(["train", *recipe, "--output", str(output)]) == 0
    checkpoint = checkpoints.load(output)
    assert checkpoint.config.classes == ("pedestrian",)
    assert checkpoint.provenance["seed"] == 3
    assert checkpoint.provenance["data"] == ["blocks"]
    checkpoint.network()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [("stepz: 3", "unknown key 'stepz'; did you mean 'steps'"), ("steps: -1", "steps: got -1"),
     ("pairs: {crop_size: [250, 448]}", "crop_size"),
     ("model: {width: wide}", "model.width: got 'wide', expected float"),
     ("architecture: yolo", "architecture: got 'yolo', expected one of one_shot, fairmot, qdtrack"),
     ("architecture: [qdtrack]", "architecture: got ['qdtrack'], expected one of"),
     ("architecture: qdtrack\nplaces: 9", "unknown key 'places'"),
     ("architecture: qdtrack\nmatching: all", "matching: got 'all', expected one of quasi_dense, sparse")],
)  # fmt: skip
def test_a_wrong_recipe_is_named(tmp_path: Path, recipe: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        read_recipe(path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["stepz=3"], "recipe.yaml: unknown key 'stepz'; did you mean 'steps'"),
        (["steps.more=3"], "steps.more: steps is 2, which holds no key 'more'"),
        (["heat_weight=1.0e+38"], "the loss is not finite at step 0; lower learning_rate"),
        (["precision=fp16"], "precision: got 'fp16', expected bf16 or fp32 on the CPU"),
        (["batch=3", "accumulate=2"], "accumulate: got 2, expected a number that divides the batch of 3"),
        (["data.root=[]"], "data.root: the recipe does not say where the data are; give data.root=FOLDER"),
        (["data.others.frames=[5, 2]"], "data.others.frames: got (5, 2), expected the first, from 1, and the last"),
        (["data.root={folder}/folder"], "folder: no data set that is known by its files"),
        (["--frames", "50-60"], "blocks: no object of class pedestrian (1) in frames 50-60"),
        (["--output", "{folder}/folder"], "folder: is a folder or a device, expected a file"),
        (["--output", "{folder}/recipe.yaml/x.safetensors"], "recipe.yaml: File exists"),
        (["--output", "{folder}/broken.safetensors", "--resume"], "broken.state.pt: not a training state, or cut off"),
        (["seed=-1"], "seed: got -1, expected 0 or more"),
        (["--workers", "-1"], "--workers: got -1"),
        (["init=nobody"], "'nobody': neither a file nor a name that `qdtrack weights` lists"),
        pytest.param(
            ["--device", "cuda"], "--device cuda: torch finds no GPU here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    blocks = write_folder(tmp_path / "blocks")
    (tmp_path / "folder").mkdir()
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "broken.state.pt").write_bytes(b"no state")
    arguments = ["{folder}/recipe.yaml", f"data.root={blocks}", "--output", "{folder}/x.safetensors", *more]
    assert main(["train", *(a.format(folder=tmp_path) for a in arguments)]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("qdtrack: "))
    assert message in line
    assert not (tmp_path / "x.safetensors").exists()

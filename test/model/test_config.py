"""YAML to dataclasses: whatever a file may hold is taken as meant or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdtrack_model.config import ConfigError, OneShotConfig, QuasiDenseConfig, from_mapping, read_yaml, to_mapping


def test_round_trip() -> None:
    config = OneShotConfig(classes=("dog", "cat"), width=1)
    assert from_mapping(OneShotConfig, to_mapping(config)) == config
    assert to_mapping(config)["input_size"] == [384, 640]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got None, expected a mapping"),
        ("- init_score", r"got \['init_score'\], expected a mapping"),
        ("initial_score: 1", "unknown key 'initial_score'; did you mean 'init_score'"),
        ("3: 1", "unknown key 3; known keys: backdrop_iou"),
        ("init_score: high", r"recipe\.yaml\.init_score: got 'high', expected float"),
        ("init_score: 1e-3", "got '1e-3', expected float such as 0.5 or 1.0e-3"),
        ("init_score: true", "init_score: got True, expected float"),
        ("init_score: [1]", r"init_score: got \[1\], expected float"),
        ("init_score:", "init_score: got None, expected float"),
        ("init_score: .nan", "init_score: got nan, expected a finite number"),
        ("init_score: " + "9" * 400, "9999, expected a finite number"),
        ("init_score: 2", r"recipe\.yaml\.init_score: got 2.0, expected a number in \[0, 1\]"),
        ("separate_classes: 1", "separate_classes: got 1, expected bool"),
        ("motion: off", "motion: got False, expected one of none, gate"),
        ("metric: [cosine]", r"metric: got \['cosine'\], expected one of bisoftmax"),
        ("init_score: [1\nmotion: none", r"recipe\.yaml, line 2: not valid YAML: "),
        ("init_score: 2024-13-01", r"recipe\.yaml: not valid YAML: month must be"),
        ("init_score: !!python/object/apply:os.getcwd []", "line 1: not valid YAML: could not determine a constructor"),
        ("init_score: " + "[" * 5000, "not valid YAML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        from_mapping(QuasiDenseConfig, read_yaml(path), str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read: not a text file"):
        read_yaml(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"input_size": 384}, "input_size: got 384, expected a list"),
        ({"classes": []}, "classes: got .*, expected at least one name"),
        ({"classes": ["dog", 3]}, r"classes\[1\]: got 3, expected str"),
        ({"columns": [1]}, r"columns: got \(1,\), expected a number from 1 to 999999 for each class, all different"),
        ({"columns": [1, 1]}, r"columns: got \(1, 1\), expected .* all different"),
        ({"columns": [0, 1]}, r"columns: got \(0, 1\), expected a number from 1"),
        ({"columns": [1, 10**30]}, "columns: got .*, expected a number from 1"),
        ({"input_size": [384]}, "input_size: got 1 values, expected 2"),
        ({"input_size": [384.0, 640]}, r"input_size\[0\]: got 384.0, expected int"),
        ({"input_size": [100, 640]}, "input_size: got .*, expected height and width as multiples of 32"),
        ({"head_width": 10**9}, "head_width: got 1000000000, expected 1..4096"),
        ({"embedding_size": 10**9}, "embedding_size: got 1000000000, expected 1..4096"),
        ({"padding": [0, 0, 256]}, r"padding: got \(0, 0, 256\), expected three whole numbers in 0..255"),
    ],
)
def test_networks_that_cannot_be_are_named(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match="model." + message):
        from_mapping(OneShotConfig, mapping, "model")

"""Presets: complete configurations of public networks, ``config/networks/NAME.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.config import ConfigError, FairMotModelConfig, QDTrackConfig, TrackerConfig, from_mapping, read_yaml

PACKAGE = Path(__file__).parents[1]
# Beside the package in a checkout; below the prefix, where pip and colcon put it, otherwise.
PLACES = (PACKAGE.parent, *(parent / "share" / "qdtrack" for parent in PACKAGE.parents))


@dataclass(frozen=True)
class Preset:
    """A network and the tracker that suits it, whose times are in seconds and say of how many frames a second."""

    model: QDTrackConfig | FairMotModelConfig
    tracker: TrackerConfig


@dataclass(frozen=True)
class FairMotPreset(Preset):
    """A preset of FairMOT's network."""

    model: FairMotModelConfig


PRESETS: dict[str, type[Preset]] = {"qdtrack": Preset, "fairmot": FairMotPreset}


def preset_files() -> dict[str, Path]:
    """The files of the presets that come with this package, by name."""
    folders = (place / "config" / "networks" for place in PLACES)
    folder = next((folder for folder in folders if (folder / "mot17.yaml").is_file()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_preset(name_or_path: str | Path) -> Preset:
    """The preset of this name, or in a file of the same form, whose ``architecture`` is qdtrack where it names none.

    Raises:
        ConfigError: there is none, or it holds an unknown key or a bad value.
    """
    known = preset_files()
    path = known.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise ConfigError(f"preset: got {str(name_or_path)!r}, expected one of {', '.join(known)}, or a YAML file")
    mapping, architecture = read_yaml(path), "qdtrack"
    if isinstance(mapping, Mapping):
        mapping = dict(mapping)
        architecture = mapping.pop("architecture", architecture)
    if not isinstance(architecture, str) or architecture not in PRESETS:
        raise ConfigError(f"{path}.architecture: got {architecture!r}, expected one of {', '.join(PRESETS)}")
    return from_mapping(PRESETS[architecture], mapping, str(path))

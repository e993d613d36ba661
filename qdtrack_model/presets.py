"""Presets: complete configurations of QDTrack for a data set, ``config/qdtrack_NAME.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdtrack_model.config import ConfigError, QDTrackConfig, TrackerConfig, from_mapping, read_yaml

PACKAGE = Path(__file__).parent
# Beside the package in a checkout; below the prefix, where pip and colcon put it, otherwise.
FOLDERS = (PACKAGE.parent / "config", *(parent / "share" / "qdtrack" / "config" for parent in PACKAGE.parents))


@dataclass(frozen=True)
class Preset:
    """A network and the tracker that suits it; the tracker's times are in seconds."""

    model: QDTrackConfig
    tracker: TrackerConfig


def preset_files() -> dict[str, Path]:
    """The files of the presets that come with this package, by name."""
    folder = next((f for f in FOLDERS if (f / "qdtrack_mot17.yaml").is_file()), None)
    if folder is None:
        return {}
    return {path.stem.removeprefix("qdtrack_"): path for path in sorted(folder.glob("qdtrack_*.yaml"))}


def read_preset(name_or_path: str | Path) -> Preset:
    """The preset of this name, or in a file of the same form.

    Raises:
        ConfigError: there is none, or it holds an unknown key or a bad value.
    """
    known = preset_files()
    path = known.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise ConfigError(f"preset: got {str(name_or_path)!r}, expected one of {', '.join(known)}, or a YAML file")
    return from_mapping(Preset, read_yaml(path), str(path))

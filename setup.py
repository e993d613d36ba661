"""Shim over pyproject.toml. Keeps pip's build files apart from those of colcon, which own the rest of ``build/``."""

from setuptools import setup

setup(options={"build": {"build_base": "build/pip"}})

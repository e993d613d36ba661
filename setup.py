"""What pyproject.toml cannot say: the version is that of the ROS package, and pip's build files are kept apart from
those of colcon, which own the rest of ``build/``."""

from xml.etree import ElementTree

from setuptools import setup

setup(
    version=ElementTree.parse("package.xml").findtext("version"),
    options={"build": {"build_base": "build/pip"}},
)

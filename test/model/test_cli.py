"""The command dispatches, and what goes wrong outside its control is not hidden."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qdtrack_model import cli

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
DOCUMENTED = sorted({
    line
    for page in PAGES
    for line in re.findall(
        rf"^ *qdtrack ((?:{'|'.join(cli.COMMANDS)})\b.*)", page.read_text("utf-8").replace("\\\n", ""), re.MULTILINE
    )
})  # fmt: skip


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_subcommand_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: qdtrack {name}" in capsys.readouterr().out


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert name in printed


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--fast"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: qdtrack" in capsys.readouterr().err


def test_help_and_evaluation_load_no_network_library() -> None:
    code = (
        "import sys, contextlib\n"
        "from qdtrack_model import cli\n"
        "for a in (['--help'], ['evaluate', '--help']):\n"
        "    with contextlib.suppress(SystemExit): cli.main(a)\n"
        "assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", DOCUMENTED)
def test_commands_in_the_documentation_are_understood(line: str) -> None:
    assert cli.parse(shlex.split(re.sub(r" \[.*?\]", "", line), comments=True))  # without what is optional

"""What `make` does on machines that lack something: it says what, and what is skipped; it leaves nothing half-made."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "timeout", "rm", "mkdir", "chmod", "cat")
LOST = {"chromium": "the portal in a real browser", "swaks": "send with swaks", "strace": "break system calls"}
# As Debian's does without the package: a folder that looks whole, and status 1.
PYTHON_WITHOUT_VENV = 'mkdir -p "$3/bin"; echo "ensurepip is not available"; exit 1'


class Machine:
    """A PATH with nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder
        folder.mkdir()
        for tool in TOOLS:
            (folder / tool).symlink_to(str(shutil.which(tool)))

    def put(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", *words], env={"PATH": str(self.bin)}, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "bin")
    made.put("id", "echo 0")
    return made


def _packages(machine: Machine) -> dict[str, str]:
    """What is said of each package that is looked for in PATH alone: postfix may lie in /usr/sbin."""
    done = machine.run(str(ROOT / "tests" / "system-packages"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.removeprefix("not installed: ") for line in done.stdout.splitlines() if "not installed" in line]
    return {package: told for package, _, told in (line.partition(" ") for line in lines) if package in LOST}


def test_without_apt(machine: Machine) -> None:
    told = _packages(machine)
    assert told.keys() == LOST.keys()
    assert all(LOST[package] in text and "(there is no apt-get here)" in text for package, text in told.items())


def test_apt_but_not_root(machine: Machine) -> None:
    machine.put("id", "echo 1000")
    machine.put("apt-get", f"touch {machine.bin}/asked")
    told = _packages(machine)
    assert told.keys() == LOST.keys()
    assert all("only root may: apt-get install chromium" in text for text in told.values())
    assert not (machine.bin / "asked").exists()


def test_an_archive_that_does_not_answer(machine: Machine) -> None:
    """Asked for all, then for its lists; not once for each package."""
    machine.put("apt-get", f'echo "$*" >> {machine.bin}/asked; exit 100')
    assert all("apt-get could not install it" in text for text in _packages(machine).values())
    assert len((machine.bin / "asked").read_text().splitlines()) == 2


def test_a_package_that_is_not_to_be_had_keeps_no_other_away(machine: Machine) -> None:
    install = f'[ -n "$last" ] && [ "$last" != swaks ] && cat {machine.bin}/id > {machine.bin}/$last'
    mend = f"chmod 755 {machine.bin}/$last; exit 0"
    several = "case $* in *chromium*swaks*) exit 100 ;; *update*) exit 0 ;; esac"
    machine.put("apt-get", f'{several}\nfor last in "$@"; do :; done\n{{ {install}; }} || exit 100\n{mend}')
    assert _packages(machine).keys() == {"swaks"}
    assert (machine.bin / "strace").exists()


@pytest.mark.parametrize("root", [True, False])
def test_no_venv_and_no_package_leaves_nothing_half_made(machine: Machine, tmp_path: Path, root: bool) -> None:
    machine.put("id", "echo 0" if root else "echo 1000")
    machine.put("python3", PYTHON_WITHOUT_VENV)
    machine.put("apt-get", "exit 100")
    done = machine.run(str(ROOT / "requirements" / "debian-venv"), str(tmp_path / "venv"))
    assert done.returncode == 1
    assert "install its venv module (Debian, Ubuntu: apt install python3-venv)" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_package_is_installed_where_that_is_allowed(machine: Machine, tmp_path: Path) -> None:
    machine.put("python3", f'[ -e {machine.bin}/installed ] && mkdir -p "$3/bin" && exit 0\n{PYTHON_WITHOUT_VENV}')
    machine.put("apt-get", f"cat {machine.bin}/id > {machine.bin}/installed")
    done = machine.run(str(ROOT / "requirements" / "debian-venv"), str(tmp_path / "venv"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv" / "bin").is_dir()

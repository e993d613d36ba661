#!/usr/bin/env bash
# Set up this checkout: Python environment in .venv/, ROS messages built into install/. Called by `make`.
#
# Where a ROS distribution is sourced, it is used; elsewhere ROS 2 comes from wheels. A second call does nothing, and an
# interrupted one is taken up again. PYTHON chooses the interpreter (default: python3, or the newest that is new enough).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root="$PWD"
venv="$root/.venv"
log="$root/build/setup.log"
stamp="$venv/qdtrack-setup.stamp"
ros="${ROS_DISTRO:-}"
unset PYTHONHOME VIRTUAL_ENV

fail() {
    echo "qdtrack: error: $*" >&2
    exit 1
}

step() {
    echo "qdtrack: $*"
}

# Run a command with its output in the log; show the end of the log if it fails.
logged() {
    local what="$1"
    shift
    if ! "$@" >>"$log" 2>&1; then
        grep -v '^WARNING: Location' "$log" | tail -n 25 >&2
        fail "$what failed; everything it said is in ${log#"$root"/}. Run \`make setup\` again to go on from here."
    fi
}

# What the result depends on. The checkout's path counts: virtual environments cannot be moved.
fingerprint() {
    {
        printf '%s\n' "$root" "$ros" "${PYTHON:-}"
        cat pyproject.toml setup.py package.xml CMakeLists.txt tools/*.sh tools/*.py tools/*.txt tools/tracker_node \
            msg/* srv/* interfaces/*/package.xml interfaces/*/CMakeLists.txt interfaces/*/msg/*
        ls -R config launch
    } | sha256sum | cut -d ' ' -f 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Say everything that is missing, a line each, before giving up.
check_prerequisites() {
    local tool missing=()
    for tool in gcc g++ make; do
        command -v "$tool" >/dev/null || missing+=("$tool is missing: sudo apt install build-essential")
    done
    command -v cmake >/dev/null || missing+=("cmake is missing: sudo apt install cmake")
    if python="$(find_python)"; then
        check_python
    else
        missing+=("Python 3.10 or newer is needed, ${PYTHON:-python3} is none: sudo apt install python3 (or PYTHON=/path/to/python3.12 make)")
    fi
    check_space
    if [ -n "$ros" ] && ! command -v colcon >/dev/null; then
        missing+=("colcon is missing: sudo apt install python3-colcon-common-extensions")
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        printf 'qdtrack: error: %s\n' "${missing[@]}" >&2
        exit 1
    fi
}

# Where packages are to be installed yet, and there is no room for them, say it before pip does after minutes.
check_space() {
    local free needed=5000 # MB: 3500 of packages, and what pip keeps of them meanwhile
    free="$(df --output=avail -BM . | tail -n 1 | tr -dc 0-9)"
    [ -e "$venv" ] || [ "$free" -ge "$needed" ] ||
        missing+=("$free MB are free where $root lies, $needed are needed: make room, or clone to another disk")
}

# What `python` lacks goes into the caller's list `missing`.
check_python() {
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing+=("$python has no venv module: sudo apt install python3-venv")
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.isfile(sysconfig.get_path("include") + "/Python.h"))' ||
        missing+=("the header files of $python are missing: sudo apt install python3-dev")
    if [ -n "$ros" ]; then
        "$python" -c 'import rclpy' 2>/dev/null ||
            missing+=("ROS 2 $ros is sourced but $python cannot import rclpy: sudo apt install ros-$ros-rclpy (or choose its Python: PYTHON=/usr/bin/python3 make)")
    else
        "$python" -c 'import platform, sys; sys.exit(not (sys.version_info < (3, 14) and platform.machine() == "x86_64" and sys.platform == "linux" and sys.implementation.name == "cpython"))' ||
            missing+=("no ROS 2 is sourced, and its wheels exist for CPython 3.10 to 3.13 on x86-64 Linux only: source a ROS 2 distribution (. /opt/ros/NAME/setup.bash) or choose another Python (PYTHON=python3.12 make)")
    fi
}

# A usable environment was made for this place, is complete, and sees the system's packages just where ROS needs it.
venv_usable() {
    local system_packages=false
    [ -n "$ros" ] && system_packages=true
    "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
        grep -q "^#!$venv/bin/python" "$venv/bin/pip" &&
        grep -q "include-system-site-packages = $system_packages" "$venv/pyvenv.cfg"
}

make_venv() {
    if venv_usable; then
        return
    fi
    step "[1/3] creating .venv with $("$python" --version) ($python)"
    local options=(--clear)
    [ -n "$ros" ] && options+=(--system-site-packages)
    logged "Creating .venv" "$python" -m venv "${options[@]}" "$venv"
}

# TensorRT for RTX of the CUDA version that the driver knows: before 580 that is 12.
tensorrt_rtx() {
    local driver
    driver="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null || true)"
    if [[ "$driver" =~ ^[0-9]+ ]] && [ "${BASH_REMATCH[0]}" -lt 580 ]; then
        echo tensorrt-rtx-cu12
    else
        echo tensorrt-rtx
    fi
}

install_packages() {
    step "[2/3] installing Python packages (first time: some minutes)"
    local extras constraints="build/constraints.txt"
    extras="test,$(tensorrt_rtx)"
    : >"$constraints"
    if ! nvidia-smi -L >/dev/null 2>&1; then
        cat tools/constraints-cpu.txt >>"$constraints"
    fi
    if [ -n "$ros" ]; then
        # The distribution's messages are compiled against the NumPy it came with: newer ones do up to the next major
        # version. Humble's own (1.21) is older than what the runtimes ask for.
        "$python" -c 'from numpy import __version__ as v; print(f"numpy>={v},<{int(v[0]) + 1}")' >>"$constraints"
    else
        extras="$extras,ros"
    fi
    # pip must not see the overlay: it would take the messages' package `qdtrack` for an older version of ours.
    rm -f "$venv"/lib/python3.*/site-packages/qdtrack_overlay.pth
    local pip=(env -u PYTHONPATH "$venv/bin/python" -m pip --disable-pip-version-check)
    logged "Installing Python packages" "${pip[@]}" install --constraint "$constraints" --editable ".[$extras]"
    logged "Installing trackeval" "${pip[@]}" install --no-deps --requirement tools/requirements-no-deps.txt
}

# Whether ROS brings the package of this name.
installed() {
    local prefix
    for prefix in ${AMENT_PREFIX_PATH//:/ }; do
        [ "$prefix" != "$root/install" ] && [ -f "$prefix/share/$1/package.xml" ] && return
    done
    return 1
}

# CMake exports no target whose include directories lie in the source folder, and .venv lies in this one. So colcon
# builds a folder of links.
link_workspace() {
    local entry package
    rm -rf build/workspace
    mkdir -p build/workspace/qdtrack
    for entry in CMakeLists.txt config launch msg package.xml qdtrack_model qdtrack_ros srv tools; do
        ln -s "$root/$entry" "build/workspace/qdtrack/$entry"
    done
    for package in vision_msgs foxglove_msgs ffmpeg_image_transport_msgs; do
        installed "$package" || ln -s "$root/interfaces/$package" "build/workspace/$package"
    done
}

build_interfaces() {
    step "[3/3] building the ROS messages with colcon"
    if [ -z "$ros" ]; then
        export AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv"
        python tools/patch_cmake_exports.py
    fi
    link_workspace
    # CMake remembers what it found: start again when the environment was made anew or the checkout was moved.
    if [ "$(cat build/colcon/environment 2>/dev/null)" != "$root $ros $("$venv/bin/python" --version)" ]; then
        rm -rf build/colcon install
        mkdir -p build/colcon
    fi
    logged "Building the ROS messages" colcon --log-base build/log build --merge-install --symlink-install \
        --base-paths build/workspace/* --build-base build/colcon --install-base install \
        --cmake-args -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=Release --no-warn-unused-cli
    echo "$root $ros $("$venv/bin/python" --version)" >build/colcon/environment
}

# Let .venv/bin/python find the messages with nothing sourced, and the checkout before what colcon installed. The .pth
# file is read before that of the ROS wheels, which starts Python again with LD_LIBRARY_PATH as it is then.
link_overlay() {
    "$venv/bin/python" - "$root" <<'PYTHON'
import sys, sysconfig
from pathlib import Path

root = Path(sys.argv[1])
packages = Path(sysconfig.get_path("purelib"))
overlay = root / "install" / packages.relative_to(sys.prefix)
libraries = (
    "import os; os.environ.get('_ROS_WHEELS_BOOTSTRAP_COMPLETE') or os.environ.__setitem__('LD_LIBRARY_PATH', "
    f"os.pathsep.join(filter(None, [{str(root / 'install' / 'lib')!r}, os.environ.get('LD_LIBRARY_PATH')])))"
)
(packages / "qdtrack_overlay.pth").write_text(f"{root}\n{overlay}\n{libraries}\n", encoding="utf-8")
PYTHON
}

wanted="$(fingerprint)"
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && [ -f install/local_setup.bash ]; then
    exit 0
fi
check_prerequisites
mkdir -p build
: >"$log"
make_venv
install_packages
build_interfaces
[ -n "$ros" ] || link_overlay
echo "$wanted" >"$stamp"
step "set up in ${SECONDS} s"

# Environment of qdtrack's tools and tests; source it from bash: `. tools/env.sh`
#
# Order matters: the virtual environment, then the overlay with the built messages, then the checkout itself, so that
# the Python packages of the working tree win over the copies that colcon installed.
qdtrack_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [ ! -f "$qdtrack_root/.venv/bin/activate" ] || [ ! -f "$qdtrack_root/install/local_setup.bash" ]; then
    echo "qdtrack: nothing is set up here yet: run \`make setup\` in $qdtrack_root" >&2
    return 1
fi
. "$qdtrack_root/.venv/bin/activate"
if [ -z "${ROS_DISTRO:-}" ]; then
    export AMENT_PREFIX_PATH="$VIRTUAL_ENV" # ROS 2 from wheels lies there
fi
. "$qdtrack_root/install/local_setup.bash"
export PYTHONPATH="$qdtrack_root${PYTHONPATH:+:$PYTHONPATH}"
unset qdtrack_root

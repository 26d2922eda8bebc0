#!/usr/bin/env bash
# Makes .venv and installs Heimdall with its tools, saying what it does. Usage: tools/install.sh [python3]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
torch=$(sed -n 's/^torch==//p' constraints.txt)
say() { echo "[install $(date +%H:%M:%S)] $*"; }

command -v "$python" >/dev/null || { echo "install: $python is missing; install Python 3.11 to 3.13" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
  echo "install: $("$python" --version) does not fit; give another one, e.g. make PYTHON=python3.12 course" >&2; exit 2; }
command -v c++ >/dev/null || command -v g++ >/dev/null || {
  echo "install: no C++ compiler; on Debian or Ubuntu: apt-get install build-essential cmake" >&2; exit 2; }

if ! .venv/bin/python -c 'import sys' 2>/dev/null; then
  say "making the environment .venv with $("$python" --version)"
  "$python" -m venv .venv || {
    echo "install: the venv module is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check)

if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
  if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
    say "installing torch $torch with CUDA (several GB)"
    "${pip[@]}" install -q "torch==$torch"
  elif [ "$(uname -s)" = Linux ]; then
    # The CPU build, from an index that already has it or from PyTorch's own; plain torch would bring CUDA along.
    say "installing torch $torch, CPU build (about 200 MB)"
    "${pip[@]}" install -q "torch==$torch+cpu" 2>/dev/null ||
      "${pip[@]}" install -q --extra-index-url https://download.pytorch.org/whl/cpu "torch==$torch+cpu"
  else
    say "installing torch $torch"
    "${pip[@]}" install -q "torch==$torch"
  fi
fi

if ! .venv/bin/python -c 'import llama_cpp' 2>/dev/null; then
  say "building llama-cpp-python from source: 2 to 5 minutes on two cores, without output (picture models left out)"
  CMAKE_ARGS="-DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}" CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" \
    "${pip[@]}" install -q -c constraints.txt llama-cpp-python
fi

# MariaDB's programs, without a service: the SQL track starts a private server where they are, and runs on SQLite elsewhere.
if ! PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v mariadbd >/dev/null; then
  apt="apt-get install -qq -y --no-install-recommends mariadb-server-core mariadb-client-core"
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ -z "${HEIMDALL_NO_APT:-}" ]; then
    say "installing MariaDB's programs (HEIMDALL_NO_APT=1 leaves them out)"
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 bash -c "$apt || { apt-get update -qq && $apt; }" >/dev/null 2>&1 </dev/null ||
      say "MariaDB cannot be installed here: its tests are skipped, those of SQLite run"
  else
    say "MariaDB is not here: its tests are skipped, those of SQLite run; as root: ${apt/ -qq -y/}"
  fi
fi

say "installing the other packages (about a minute)"
"${pip[@]}" install -q -c constraints.txt -e '.[dev]'
touch .venv/installed
say "ready: .venv ($(du -sh .venv | cut -f1))"

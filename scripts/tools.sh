#!/usr/bin/env bash
# The programs that the tests use besides Rust, Python and Node. Installs what is missing if it may.
set -euo pipefail

missing=()
need() { # need PACKAGE COMMAND...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
need gcc cc --version
need python3-venv python3 -c 'import venv, ensurepip'
need prometheus promtool --version

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing: ${missing[*]}. As root: apt-get install ${missing[*]}" >&2
    exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"

#!/usr/bin/env bash
# Checks for the programs that are needed besides Rust, Python and Node. As root, installs those that are missing.
# `tools.sh build` checks only what the build needs; without an argument, it also checks what the tests need.
set -euo pipefail

missing=()
need() { # need PACKAGE COMMAND...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
need gcc cc --version
need libc6-dev test -e /usr/include/stdio.h
if [ "${1:-}" != build ]; then
    need python3-venv python3 -c 'import venv, ensurepip'
    need prometheus promtool --version
    need curl curl --version
fi

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing: ${missing[*]}. As root: apt-get install ${missing[*]}" >&2
    exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"

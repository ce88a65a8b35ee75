#!/usr/bin/env bash
# Makes sure that what layerfs needs from the system is there: installs it when run as root where
# apt is, and otherwise says what is missing. Does nothing, quickly, when everything is there.
#
# usage: scripts/packages.sh [--optional] PACKAGE...      (--optional: missing packages are no failure)
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
python=${PYTHON:-python3}

there() { # is what the package brings there, from whatever source?
    case $1 in
        python3-venv) "$python" -c 'import ensurepip, venv' ;;
        docker.io) command -v dockerd && command -v docker ;;
        fuse3) command -v fusermount3 || command -v fusermount ;;
        libfuse2) ldconfig -p | grep -F 'libfuse.so.2' ;;
        libc6-dev) printf '#include <stdio.h>\n' | gcc -E -x c - ;;
        attr) command -v setfattr ;;
        clamav) command -v clamscan && command -v sigtool ;;
        locales) test -e /usr/share/i18n/charmaps/ISO-8859-1.gz ;;
        uidmap) command -v newuidmap ;;
        sleuthkit) command -v mactime ;;
        *) command -v "$1" ;;
    esac > /dev/null 2>&1
}

optional=
if [[ ${1-} == --optional ]]; then
    optional=yes
    shift
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "layerfs needs Python 3.11 or later; name one with PYTHON=..." >&2
    exit 1
fi

missing=()
for package; do
    there "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ((EUID == 0)) && command -v apt-get > /dev/null; then
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get install --yes --quiet --quiet --no-install-recommends "${missing[@]}")
    # the lists of a fresh machine are empty or old
    "${install[@]}" > /dev/null 2>&1 || { apt-get update --quiet --quiet && "${install[@]}" > /dev/null; } ||
        [[ $optional ]]
else
    echo "not installed: ${missing[*]}" >&2
    echo "    install with: sudo apt-get install ${missing[*]}" >&2
    [[ $optional ]]
fi

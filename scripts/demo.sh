#!/usr/bin/env bash
# The main job on a small real data root: list, explain, mount, look inside, unmount.
# Works in .demo/, needs no Docker, and leaves nothing mounted, however it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$PWD/.demo
mnt=$work/mnt
bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

finish() {
    if grep -qs " $mnt fuse.layerfs " /proc/self/mounts; then layerfs umount --lazy "$mnt"; fi
}
trap finish EXIT

run() { # show a command as a user would type it, then do it
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}

finish
if [[ ! -d $work/dataroot ]]; then
    echo "unpacking fixtures/dataroot.tar.xz, recorded from a real Docker Engine"
    rm -rf "$work"
    python fixtures/unpack.py "$work"
fi
mkdir -p "$mnt"
export LAYERFS_ROOT=$work/dataroot
cd "$work"

run layerfs images demo
run layerfs history demo
run layerfs chain-id demo
run layerfs chain-id --steps demo
run layerfs mount demo mnt
run ls -la mnt mnt/etc
run cat mnt/etc/motd
run layerfs umount mnt
printf '\nA later layer replaced /etc/motd and deleted /root/password.txt. Both are still there:\n'
run layerfs cat --up-to 2 demo /etc/motd
run layerfs cat --up-to 3 demo /root/password.txt
run layerfs blame demo /etc/motd
run layerfs deleted demo
printf '\nTo go on:\n\n. .venv/bin/activate; export LAYERFS_ROOT=%q\n' "$LAYERFS_ROOT"

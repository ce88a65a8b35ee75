#!/bin/sh
# Makes docs/report.png and docs/explore.png, of an image of the recorded root, as Chromium shows them.
set -eu
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
python fixtures/unpack.py "$top/root"
root=$top/root/dataroot

# shoot PAGE WIDTH,HEIGHT PICTURE
shoot() {
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$top/profile" \
        --proxy-server=127.0.0.1:9 --window-size="$2" --screenshot="$3" "file://$1" >"$top/log" 2>&1 ||
        { cat "$top/log"; exit 1; }
}

layerfs --root "$root" report demo:1.0 --reproducible -o "$top/report.html"
# the section of the image alone, as a window is not scrolled
sed 's/<nav.*<\/nav>//; s/<section id="glance".*<section id="part-1"/<section id="part-1"/' "$top/report.html" >"$top/part.html"
shoot "$top/part.html" 1100,1260 docs/report.png

python scripts/explore_picture.py "$root" "$top/explore.svg"
shoot "$top/explore.svg" 1240,503 docs/explore.png

#!/bin/sh
# Makes docs/report.png: a part of a page about an image of the recorded root, as Chromium shows it.
set -eu
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
python fixtures/unpack.py "$top/root"
layerfs --root "$top/root/dataroot" report demo:1.0 --reproducible -o "$top/report.html"
# the section of the image alone, as a window is not scrolled
sed 's/<nav.*<\/nav>//; s/<section id="glance".*<section id="part-1"/<section id="part-1"/' "$top/report.html" >"$top/part.html"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$top/profile" \
    --window-size=1100,1090 --screenshot=docs/report.png "file://$top/part.html" >"$top/log" 2>&1 || { cat "$top/log"; exit 1; }

# and docs/explore.png: the browser on the same image
python scripts/explore_picture.py "$top/root/dataroot" "$top/explore.svg"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$top/profile" \
    --window-size=1240,503 --screenshot=docs/explore.png "file://$top/explore.svg" >"$top/log" 2>&1 || { cat "$top/log"; exit 1; }

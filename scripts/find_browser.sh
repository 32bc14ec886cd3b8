#!/bin/sh
# Makes sure that the browser tests have a Chromium: takes the one there is, else installs one where that is possible.
set -u
find_one() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    .venv/bin/python - <<'PY' >/dev/null 2>&1
import pathlib, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    sys.exit(not pathlib.Path(p.chromium.executable_path).exists())
PY
}
find_one && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "No Chromium found: installing Debian's package ..."
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
    echo "No Chromium found: asking playwright for one ..."
    .venv/bin/playwright install chromium
fi
find_one || cat <<'TEXT'
****************************************************************************
*  No Chromium could be found or installed: the BROWSER TESTS ARE SKIPPED. *
****************************************************************************
TEXT
exit 0

#!/bin/sh
# The studio's server: the same as `hidream-studio serve`, with the same options, from any folder.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
studio="$here/../.venv/bin/hidream-studio"
if [ ! -x "$studio" ]; then
    studio=$(command -v hidream-studio) || {
        echo "start_image_server.sh: there is no $here/../.venv and no hidream-studio on the PATH; run 'make studio' once" >&2
        exit 1
    }
fi
exec "$studio" serve "$@"

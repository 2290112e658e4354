#!/bin/sh
# kleidi on the Node that comes with it; a shell's own Node settings stay out.
unset NODE_OPTIONS NODE_PATH
exec /usr/lib/kleidi/bin/node /usr/lib/kleidi/kleidi.js "$@"

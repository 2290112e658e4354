# What kleidi itself knows of its API servers.

# The record that `kleidi apiserver enable` writes and `disable` removes: beside the ring.
record_folder() {
  ring=$(setting ring)
  ring=${ring:-/var/lib/kleidi/ring.json}
  printf '%s' "$root${ring%/*}/apiserver"
}

enabled_by_kleidi() {
  record=$(record_folder)/record.json
  if [ -e "$record" ]; then
    printf '  %s (kleidi apiserver enable was used here, and disable was not since)\n' "$record"
  fi
}

# number NAME <JSON: the whole number of that name, or 0.
number() {
  found=$(sed -n "s/.*\"$1\": *\([0-9]\{1,\}\).*/\1/p" | head -n 1)
  printf '%s' "${found:-0}"
}

# Did `kleidi apiserver disable` take the API server off within the last hour? What it
# called until then says nothing; while it still runs with its old flags it is connected.
is_just_disabled() {
  { cat "$(record_folder)/phase.json"; } 2>/dev/null | tr '\n' ' ' | {
    text=$(cat)
    case "$text" in *'"phase": "off"'*) ;; *) return 1 ;; esac
    [ "$(printf '%s\n' "$text" | number sinceUnixMs)" -gt "$1" ]
  }
}

# Whoever has called the running daemon: is connected, or did within the last hour. An
# API server that runs asks for Status once a minute on a connection that it keeps open;
# the hour is for one that is stopped for a while and whose files were not found.
# kleidi's own commands ask for State, which does not count. The daemon counts since its
# start: after a restart, an API server that runs is known again within a minute, one
# that is stopped is not. A daemon that is stopped or does not answer says nothing: then
# the files alone decide. In an image, what answers would be the daemon of its builder.
calls_of_clients() {
  if ! booted || ! have systemctl || ! have kleidi || ! have timeout; then return; fi
  if ! systemctl is-active --quiet kleidi.service; then return; fi
  state=$(timeout -k 1 5 kleidi status --json 2>/dev/null) || :
  clients=$(printf '%s\n' "$state" | number clients)
  last=$(printf '%s\n' "$state" | number lastCallUnixMs)
  now=$(date +%s)
  if [ "$clients" -gt 0 ]; then
    printf '  the running daemon (clients connected that call it: %s)\n' "$clients"
  elif [ "$last" -gt $(((now - 3600) * 1000)) ] && ! is_just_disabled $(((now - 3600) * 1000)); then
    printf '  the running daemon (a client called it %s minutes ago)\n' $(((now - last / 1000) / 60))
  fi
}

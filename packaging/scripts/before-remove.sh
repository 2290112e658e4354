# Before the files go: deb prerm, rpm %preun. An upgrade stops nothing. A removal
# is refused while an API server of this host needs kleidi: it could not read its
# own Secrets any more.
case "${1:-}" in
  remove | 0) ;;
  *) exit 0 ;;
esac

if [ "${KLEIDI_FORCE_REMOVE:-}" != yes ]; then
  needed=$(
    api_servers_naming_kleidi
    enabled_by_kleidi
  )
  called=$(calls_of_clients)
  if [ -n "$needed$called" ]; then
    say "error: not removed: an API server of this host uses kleidi, and could not read its Secrets without it:"
    printf '%s\n' "$needed" "$called" | sed '/^$/d' >&2
    if [ -n "$needed" ]; then
      say "hint: kleidi apiserver disable, then try again; to remove it all the same, set KLEIDI_FORCE_REMOVE=yes"
    else
      say "hint: kleidi apiserver disable, or take kleidi out of its flags by hand, and restart it; then systemctl restart kleidi, which forgets who called, wait two minutes (who still uses kleidi has called again by then), try again; to remove it all the same, set KLEIDI_FORCE_REMOVE=yes"
    fi
    exit 1
  fi
fi

# Killed from here on, it is undone by dpkg (abort-remove) or by an rpm installed again.
try note_unfinished
if have systemctl; then
  # shellcheck disable=SC2086
  if booted; then try systemctl stop $metrics_units kleidi.socket kleidi.service; fi
  # shellcheck disable=SC2086
  try systemctl --no-reload disable $our_units kleidi-metrics.socket
fi

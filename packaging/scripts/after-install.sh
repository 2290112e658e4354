# After the files are there: deb postinst, rpm %post. The first installation
# makes users, folders, token, first KEK and the API server's configuration file,
# and starts kleidi; an upgrade restarts the service once, never the socket. Where rpm has
# a package before, start and restart are in after-transaction. What was killed before its
# end (rpm never runs a %post again) is done anew from its beginning, also by a
# reinstallation and, where a removal was killed, by dpkg's abort-remove. In an image, it
# leaves the keys to the first boot. What the operator has chosen is in install.conf.
case "${1:-}:${2:-}" in
  configure: | 1:*) event=install ;;
  configure:* | [2-9]:*) if is_unfinished; then event=install; else event=upgrade; fi ;;
  abort-remove:*) if is_unfinished; then event=install; else exit 0; fi ;;
  *) exit 0 ;;
esac

# In an image, /run may be that of the host that builds it.
make_folders() {
  if ! have systemd-tmpfiles; then return; fi
  if booted; then try systemd-tmpfiles --create kleidi.conf
  else try systemd-tmpfiles --create --exclude-prefix=/run kleidi.conf; fi
}

prepare_host() {
  if have systemd-sysusers; then try systemd-sysusers kleidi.conf; fi
  load_selinux_module
  make_folders
  # The next start looks at the daemon's folder again: another version made it.
  if booted; then rm -f /run/kleidi-daemon.made; fi
  update_catalog
}

prepare_host
if [ "$event" = upgrade ]; then
  case "$1" in
    configure) restart_upgraded ;;
    *) if booted; then : >"$upgraded"; fi ;;
  esac
  exit 0
fi
# The machine of the recovery key, by the operator's word: also in an image.
if is_offline; then
  keep_off
  rm -f "$first_boot" "$unfinished"
  if provision; then say_next; fi
  exit 0
fi
# shellcheck disable=SC2086
if have systemctl; then try systemctl --no-reload preset $our_units; fi
if ! booted; then
  echo 'kleidi-first-boot.service provisions this host, and deletes this file then' >"$first_boot"
  rm -f "$unfinished"
  if [ -e "$choices" ] && ! kleidi provision --choices "$choices" --check >/dev/null; then
    say "warning: the first boot provisions nothing until that is corrected"
  fi
  say "no systemd is running here: kleidi-first-boot.service provisions at the first boot"
  exit 0
fi
try systemctl daemon-reload
# A host that fails here keeps the package: kleidi runs and says the same, and serves
# as soon as the operator has fixed it. A failed dpkg would help nobody.
provision || :
# Another package's files are still there: rpm goes on in after-transaction.
case "$1" in
  [2-9]) : >"$upgraded" ;;
  *) finish_installation ;;
esac

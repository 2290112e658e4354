# After the files are gone: deb postrm, rpm %postun. Keys stay: a removal keeps
# all of /var/lib/kleidi and the credentials, and so does a purge while there is
# a ring or a token. Only KLEIDI_PURGE_KEYS=yes deletes them (for rpm, on erase).
case "${1:-}:${KLEIDI_PURGE_KEYS:-}" in
  remove:* | 0:) event=remove ;;
  purge:* | 0:yes) event=purge ;;
  0:*) event=remove ;;
  abort-install:*)
    rm -f "$unfinished"
    exit 0
    ;;
  *) exit 0 ;;
esac
state=$root/var/lib/kleidi
settings=$root/etc/kleidi

holds_keys() {
  [ -e "$state/ring.json" ] || [ -d "$state/replaced" ] || [ -n "$(ls -A "$state/tokens" 2>/dev/null)" ]
}

# dpkg deletes its configuration files on a purge, and the token may need them.
keep_settings() {
  for file in "$settings/kleidi.yaml" "$settings/softhsm2.conf"; do
    if [ -e "$file" ] && [ -d "$state" ]; then
      mkdir -p "$state/settings"
      cp -p "$file" "$state/settings/"
    fi
  done
}

# Written by kleidi. Where somebody has added a key of another provider, or an
# API server still reads it, it stays.
is_needed() {
  grep -qE 'aescbc|aesgcm|secretbox' "$1" || [ -n "$(api_servers_naming_kleidi)" ]
}

delete_apiserver_config() {
  file=$root/etc/kubernetes/kleidi/encryption-config.yaml
  if [ ! -e "$file" ]; then return; fi
  if is_needed "$file"; then
    say "kept $file: something else may need it"
    return
  fi
  rm -f "$file"
  rmdir "$root/etc/kubernetes/kleidi" "$root/etc/kubernetes" 2>/dev/null || :
}

delete_all() {
  rm -rf "$state" "$settings/credentials"
  if booted; then rm -rf "$root/run/kleidi-daemon"; fi
  rm -f "$settings"/kleidi.yaml* "$settings"/softhsm2.conf* "$settings/install.conf"
  rm -f "$root/etc/systemd/system/kleidi.service.d/10-plain-credential.conf"
  rmdir "$root/etc/systemd/system/kleidi.service.d" "$settings" 2>/dev/null || :
  delete_apiserver_config
}

# dpkg takes no second purge, and rpm no second erase: then only the files can be deleted.
say_kept() {
  say "kept the keys of this host: $state and $settings/credentials; installed again, kleidi serves with them"
  case "$1" in
    remove) say "hint: to delete them for ever: KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi" ;;
    *)
      file=$root/etc/kubernetes/kleidi/encryption-config.yaml
      if [ ! -e "$file" ] || is_needed "$file"; then file=; fi
      say "hint: to delete them for ever: rm -rf $state $settings/credentials${file:+ $file}"
      ;;
  esac
}

if [ "$event" = remove ] || [ "$1" = 0 ]; then
  rm -f "$first_boot"
  keep_settings
  unload_selinux_module
  if booted; then
    try systemctl daemon-reload
    rmdir "$root/run/kleidi" 2>/dev/null || :
    umount "$root/run/kleidi-daemon" 2>/dev/null || :
  fi
  update_catalog
fi
if [ "$event" = purge ]; then
  if holds_keys && [ "${KLEIDI_PURGE_KEYS:-}" != yes ]; then
    say_kept "$1"
  else
    delete_all
  fi
elif holds_keys; then
  say_kept "$1"
fi
# After a removal dpkg keeps it: one that is killed ends half installed, which dpkg
# goes on from as if it were an upgrade.
if [ "$event" = purge ] || [ "$1" = 0 ]; then rm -f "$unfinished"; fi

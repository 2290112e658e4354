# Token, PINs, first KEK and the API server's file. What is there already stays; where
# something was lost, kleidi refuses.
provision() {
  options=
  if [ -e "$root/etc/kleidi/no-first-kek" ]; then options=' --token-only'; fi
  # shellcheck disable=SC2086
  if kleidi provision $options; then
    # The file alone: no API server is told of it.
    try kleidi apiserver config --write
    return
  fi
  say "error: kleidi is installed, but this host is not provisioned: the lines above say why"
  say "hint: fix that, then run: kleidi provision$options && kleidi apiserver config --write"
  return 1
}

# The last words, where they count: the installation made a KEK without a way back.
say_cost() {
  if ! grep -qs '"recovery": *null' "$root/var/lib/kleidi/ring.json"; then return; fi
  say "warning: there is no recovery key: if this host loses its token, its PIN or the key of that (/var/lib/systemd/credential.secret), every Secret sealed with it is lost"
  say "hint: before an API server uses it: kleidi recovery create (offline), then here: kleidi key create --recovery PUB=SHA256, kleidi key promote, kleidi key retire"
}

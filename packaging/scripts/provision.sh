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
  say "hint: mend that, then run: kleidi provision$options && kleidi apiserver config --write"
  return 1
}

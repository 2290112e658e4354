# By the operator's choices: token, PINs, first KEK and the API server's file. What is there
# already stays; where something was lost, kleidi refuses.
choices=$root/etc/kleidi/install.conf

# Of the choices, kleidi itself reads the file. One with mistakes chooses no role.
is_offline() {
  [ -e "$choices" ] || return 1
  kleidi provision --choices "$choices" --check 2>/dev/null | grep -qx 'ROLE=offline'
}

provision() {
  if kleidi provision --choices "$choices"; then return; fi
  say "error: kleidi is installed, but nothing was provisioned: the lines above say why"
  say "hint: correct that, then run: kleidi provision --choices $choices"
  return 1
}

# An offline machine runs nothing, after no boot and no upgrade.
keep_off() {
  # shellcheck disable=SC2086
  if have systemctl; then try systemctl --no-reload disable $our_units; fi
  if ! booted; then return; fi
  try systemctl daemon-reload
  # Without waiting: the first boot does it before the service.
  try systemctl --no-block stop kleidi.socket kleidi.service
}

# The last steps of a first installation.

# A restart: after a kill, a daemon of the package before may be running.
start() {
  try systemctl start kleidi.socket
  if systemctl restart kleidi.service; then return; fi
  say "error: kleidi is installed, but does not run yet"
  say "hint: journalctl -u kleidi -b; kleidi doctor"
}

finish_installation() {
  if may_start; then start; else say "policy-rc.d forbids to start: systemctl start kleidi.socket kleidi.service"; fi
  rm -f "$first_boot" "$unfinished"
  say_cost
  say_next
}

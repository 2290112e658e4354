# The last words of an installation.

# Where they count: it made a KEK without a way back.
say_cost() {
  if ! grep -qs '"recovery": *null' "$root/var/lib/kleidi/ring.json"; then return; fi
  say "warning: there is no recovery key: if this host loses its token, its PIN or the key of that (/var/lib/systemd/credential.secret), every Secret sealed with it is lost"
  say "hint: before an API server uses it: kleidi recovery create (offline), then here: kleidi key create --recovery PUB=SHA256, kleidi key promote, kleidi key retire"
}

# then_run WHAT COMMAND...: each command on a line of its own, as it is typed.
then_run() {
  say "next, $1:"
  shift
  printf '  %s\n' "$@" >&2
}

# say_next: by what was chosen, and came to be. Where nothing did, why was said before.
say_next() {
  ring=$root/var/lib/kleidi/ring.json
  if is_offline; then
    then_run 'where the recovery key is to be made' 'kleidi recovery create --out recovery'
  elif grep -qs '"generation": *0' "$ring"; then
    then_run 'for a ring that another member has: its KEKs come to this host' \
      'kleidi key request --out here.request' 'kleidi join BUNDLE --expect DIGEST'
    then_run 'for a new ring' 'kleidi key create --first --recovery PUB=SHA256'
  elif [ -e "$ring" ]; then
    then_run 'for the API server of a single master' \
      'kleidi apiserver plan --phase read' 'kleidi apiserver enable --phase read'
  fi
}

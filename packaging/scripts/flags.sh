# What a text sets a flag or a key to, and whether a file that is named so leads to
# kleidi: in YAML, JSON, a unit, a shell script or /proc/PID/cmdline.

# values_of NAME <TEXT: one a line, NAME being a basic regular expression. Where a
# blank may be part of the value or its end, both readings.
values_of() {
  mark=$(printf '\001')
  # The last line may lack its end, which `read` wants.
  { tr '\000\t' '\n ' && echo; } | sed '/^ *[#;]/d' | sed \
    -e ':more' -e '/\\$/{' -e '$!N' -e 's/\\\n/ /' -e 't more' -e '}' \
    -e 's/^/ /' -e 's/\\x20/ /g' -e 's/\\ / /g' \
    -e 's/\${\{0,1\}SNAP_DATA}\{0,1\}/\/var\/snap\/microk8s\/current/g' \
    -e "/[^A-Za-z0-9_-]-\{0,2\}$1[\"',]* *\$/{" -e '$!N' -e "s/[\"',]* *\n *\(- \)* */=/" -e '}' \
    -e "s/[^A-Za-z0-9_-]-\{0,2\}$1[\"'\\\\]* *[=:, ][=:, ]*[\"'\\\\]*/$mark@/g" |
    tr '\001' '\n' |
    sed -n -e '/^@/!d' -e 's/^@//' -e 's/["'\''\\].*//' -e 's/[],};&|<>].*//' -e 's/ [#-].*//' \
      -e 's/ *$//' -e '/./p' -e '/ /{' -e 's/ .*//p' -e '}'
}

# setting NAME: a top-level field of kleidi.yaml.
setting() {
  { grep -s "^$1:" "$root/etc/kleidi/kleidi.yaml" || :; } | values_of "$1" | head -n 1
}

# words_in <TEXT: the absolute paths in it.
words_in() {
  tr -s '\000 \t"'\''=,;()' '\n' | sed -n 's/^[-@:+!]*\(\/.*\)/\1/p'
}

# holding PATTERN LIST: the texts among these files that hold it. A program that
# knows a flag holds its name too: that says nothing.
holding() (
  IFS='
'
  set -f
  # shellcheck disable=SC2086
  { grep -lsE -e "$1" -- $2 /dev/null || :; } | while IFS= read -r text; do
    if ! head -c 4 "$text" | grep -q ELF; then printf '%s\n' "$text"; fi
  done
)

# is_ours FILE: does this EncryptionConfiguration name our socket?
is_ours() {
  socket=$(setting socket)
  sed '/^[[:space:]]*#/d' "$1" | grep -qF -e /run/kleidi/ -e "${socket:-/run/kleidi/}"
}

# leads_to_kleidi PATH ROOT FILE: FILE names PATH, which is one of the folder ROOT.
# Where there is none, it is a path inside a pod, or of a disk that is away.
leads_to_kleidi() {
  if [ -f "$2$1" ] && ! is_covered "$1" "$3"; then
    is_ours "$2$1"
    return
  fi
  mounted=$(mounted_as "$1" "$3")
  if [ -n "$mounted" ]; then
    [ "$mounted" = ours ]
    return
  fi
  socket=$(setting socket)
  folder=${socket%/*}
  case "$1" in
    */kleidi/*) ;;
    *) sed '/^[[:space:]]*#/d' "$3" | grep -qF -e /run/kleidi -e "${folder:-/run/kleidi}" ;;
  esac
}

# is_covered PATH MANIFEST: does the pod mount another folder of the host over PATH?
is_covered() {
  volumes=$({ values_of path <"$2"; } 2>/dev/null) || :
  { values_of mountPath <"$2"; } 2>/dev/null | {
    covered=
    while IFS= read -r mount; do
      case "$1/" in
        "${mount%/}"/*) ;;
        *) continue ;;
      esac
      if printf '%s\n' "$volumes" | grep -qxF -e "${mount%/}" -e "${mount%/}/"; then return 1; fi
      covered=yes
    done
    [ -n "$covered" ]
  }
}

# mounted_as PATH MANIFEST: "ours" or "other" where a hostPath of the pod holds PATH:
# the mount takes the place of some of its first folders. Empty where none does.
mounted_as() {
  { values_of path <"$2"; } 2>/dev/null | sed 's|/$||' | sort -u | {
    found=
    while IFS= read -r volume; do
      if [ -f "$root$volume" ] && is_ours "$root$volume"; then found=ours; fi
      rest=${1#/}
      while :; do
        if [ -f "$root$volume/$rest" ]; then
          found=${found:-other}
          if is_ours "$root$volume/$rest"; then found=ours; fi
        fi
        case "$rest" in */*) rest=${rest#*/} ;; *) break ;; esac
      done
    done
    printf '%s' "$found"
  }
}

# Which API servers of this host name kleidi, found without kleidi's own
# program, which may be gone: the flag --encryption-provider-config in what
# starts an API server and in what runs, and the file that it names.

# paths_in <TEXT: the values of the flag, in YAML, JSON, a unit or /proc/PID/cmdline.
paths_in() {
  # shellcheck disable=SC1003
  sed '/^[[:space:]]*#/d' | tr -s '\000 \t"'\'',=[]{}\\' '\n' | {
    previous=
    while IFS= read -r word; do
      case "$previous:$word" in
        *:--encryption-provider-config | *:encryption-provider-config) previous=flag ;;
        flag:-) ;; # the value is the next item of a YAML list
        flag:?*)
          printf '%s\n' "$word"
          previous=
          ;;
      esac
    done
  }
}

# names_kleidi PATH ROOT: does this EncryptionConfiguration name our socket?
# Where it cannot be read, its own path has to tell.
names_kleidi() {
  if [ -r "$2$1" ]; then
    socket=$(sed -n "s/^socket:[[:space:]]*[\"']\{0,1\}\([^\"'[:space:]#]*\).*/\1/p" "$root/etc/kleidi/kleidi.yaml" 2>/dev/null | head -n 1)
    grep -qsF -e /run/kleidi/ -e "${socket:-/run/kleidi/}" "$2$1"
  else
    case "$1" in */kleidi/*) ;; *) return 1 ;; esac
  fi
}

# Prints the files among its arguments that lead to kleidi.
files_naming_kleidi() {
  { grep -ls 'encryption-provider-config' "$@" || :; } | while IFS= read -r file; do
    paths_in <"$file" | while IFS= read -r path; do
      if names_kleidi "$path" "$root"; then printf '  %s (%s)\n' "$file" "$path"; fi
    done
  done
}

# Each in its own view of the files. The bracket keeps grep from finding itself.
processes_naming_kleidi() {
  { grep -ls '[e]ncryption-provider-config' "$root"/proc/[0-9]*/cmdline || :; } | while IFS= read -r file; do
    process=${file%/cmdline}
    { paths_in <"$file"; } 2>/dev/null | while IFS= read -r path; do
      if names_kleidi "$path" "$process/root"; then
        printf '  running process %s (%s)\n' "${process##*/}" "$path"
      fi
    done
  done
}

# kubeadm, RKE2, k3s, plain units. Files that nothing reads (backups) do not count.
api_servers_naming_kleidi() {
  manifests=$(sed -n 's/^staticPodPath:[[:space:]]*//p' "$root/var/lib/kubelet/config.yaml" 2>/dev/null | tr -d "\"'" | head -n 1)
  files_naming_kleidi "$root${manifests:-/etc/kubernetes/manifests}"/* \
    "$root"/var/lib/rancher/*/agent/pod-manifests/* \
    "$root"/etc/rancher/*/config.yaml "$root"/etc/rancher/*/config.yaml.d/*.y*ml \
    "$root"/etc/systemd/system/*.service "$root"/etc/systemd/system/*.service.d/*.conf \
    "$root"/etc/systemd/system/*.env "$root"/run/systemd/system/*.service \
    "$root"/usr/lib/systemd/system/*.service "$root"/usr/lib/systemd/system/*.service.d/*.conf \
    "$root"/usr/local/lib/systemd/system/*.service "$root"/lib/systemd/system/*.service \
    "$root"/etc/default/* "$root"/etc/sysconfig/* "$root"/etc/kubernetes/apiserver*
  processes_naming_kleidi
}

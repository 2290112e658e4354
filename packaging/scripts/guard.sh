# Which API servers of this host name kleidi, found without kleidi's own
# program, which may be gone: the flag --encryption-provider-config in what
# starts an API server and in what runs, and the file that it names.
# kube-apiserver takes - and _ in the name of a flag for the same.
flag='encryption[-_]provider[-_]config'

# paths_in FILES <TEXT: what the flag is set to. A variable is looked up in FILES.
paths_in() {
  values_of "$flag" | while IFS= read -r value; do
    name=${value#\$}
    if [ "$name" = "$value" ]; then
      printf '%s\n' "$value"
      continue
    fi
    name=${name#\{}
    case "$name" in
      *:-*) printf '%s\n' "${name#*:-}" ;;
    esac
    name=${name%%:*}
    case "$name" in
      '' | *[!A-Za-z0-9_]*) continue ;;
    esac
    texts_of "$(holding "$name=" "$1")" | values_of "$name"
  done
}

# files_naming_kleidi FILES: those among them that lead to kleidi.
files_naming_kleidi() {
  holding "$flag" "$1" | while IFS= read -r file; do
    # shellcheck disable=SC2094
    paths_in "$1" <"$file" | while IFS= read -r path; do
      if leads_to_kleidi "$path" "$root" "$file"; then printf '  %s (%s)\n' "$file" "$path"; fi
    done
  done
}

# Each in its own view of the files. The bracket keeps grep from finding itself.
processes_naming_kleidi() {
  { grep -ls '[e]ncryption[-_]provider[-_]config' "$root"/proc/[0-9]*/cmdline || :; } | while IFS= read -r file; do
    process=${file%/cmdline}
    { paths_in '' <"$file"; } 2>/dev/null | while IFS= read -r path; do
      if leads_to_kleidi "$path" "$process/root" "$file"; then
        printf '  running process %s (%s)\n' "${process##*/}" "$path"
      fi
    done
  done
}

# kubeadm, RKE2, k3s, k0s, microk8s, plain units and pods. Files that nothing reads
# (backups) do not count.
api_servers_naming_kleidi() {
  starting=$(starting_files)
  {
    files_naming_kleidi "$(printf '%s\n' "$starting" "$(pods "$starting")" | sort -u)"
    processes_naming_kleidi
  } | sort -u
}

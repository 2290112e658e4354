# The files that start an API server on this host, and the pods of its kubelets.

# present FILE...: those that are there. Devices and pipes are not read.
present() {
  for each; do
    if [ -f "$each" ]; then printf '%s\n' "$each"; fi
  done
}

units() {
  for folder in etc run usr/local/lib usr/lib lib; do
    if [ -h "$root/$folder" ]; then continue; fi
    present "$root/$folder"/systemd/system/*.service "$root/$folder"/systemd/system/*.service.d/*.conf
  done
  present "$root"/run/systemd/transient/*.service "$root"/run/systemd/generator/*.service
}

# Settings of k3s, RKE2, k0s, the snaps microk8s and k8s, and of plain units. What an
# editor or a package manager has put aside is read by nothing.
settings() {
  present "$root"/etc/rancher/*/config.yaml "$root"/etc/rancher/*/config.yaml.d/*.y*ml \
    "$root"/etc/k0s/k0s.yaml "$root"/var/snap/*/current/args/* "$root"/var/snap/*/common/args/* \
    "$root"/etc/systemd/system/*.env "$root"/etc/default/* "$root"/etc/sysconfig/* \
    "$root"/etc/kubernetes/apiserver* "$root"/etc/kubernetes/kubelet* \
    "$root"/var/lib/kubelet/kubeadm-flags.env |
    sed -E '/(~|\.(bak|backup|old|orig|save|swp|dpkg-[a-z]*|rpm[a-z]*))$/d'
}

# in_root <PATHS: the files of these names, wildcards among them. Our own program
# knows the flag too.
in_root() (
  IFS='
'
  # shellcheck disable=SC2046
  present $(sed -e '/^\/usr\/lib\/kleidi\//d' -e '/^\/usr\/bin\/kleidi$/d' -e "s|^|$root|" | sort -u)
)

# texts_of LIST: all of them, one after the other.
texts_of() (
  IFS='
'
  set -f
  # shellcheck disable=SC2086
  cat -- $1 /dev/null 2>/dev/null || :
)

# named_by_units UNITS: environment files, wrapper scripts, configurations.
named_by_units() {
  texts_of "$1" | sed -e ':more' -e '/\\$/{' -e '$!N' -e 's/\\\n/ /' -e 't more' -e '}' | {
    sed -n -e 's/^ *EnvironmentFile= *-\{0,1\}["'\'']*\([^"'\'']*\).*/\1/p' \
      -e 's/^ *\(ExecStart\|Environment\)/ &/p' | while IFS= read -r line; do
      case "$line" in
        ' '*) printf '%s\n' "$line" | words_in ;;
        *) printf '%s\n' "$line" ;;
      esac
    done
  } | in_root
}

# What starts an API server or a kubelet; a wrapper script may read more files.
starting_files() {
  units=$(units)
  named=$(named_by_units "$units")
  wrappers=$(holding 'apiserver|kubelet' "$named")
  printf '%s\n' "$units" "$named"
  settings
  texts_of "$wrappers" | sed '/^[[:space:]]*#/d' | words_in | in_root
}

# kubelet_texts STARTING: the flags of kubelets, by what starts them and what runs.
kubelet_texts() {
  texts_of "$(holding '[kK][uU][bB][eE][lL][eE][tT]' "$1")"
  for each in "$root"/proc/[0-9]*/cmdline; do
    if grep -qs '[k]ubelet' "$each"; then
      { cat "$each"; } 2>/dev/null || :
      echo
    fi
  done
}

# kubelet_configurations <FLAGS: their files, and the drop-ins.
kubelet_configurations() {
  flags=$(tr '\000' '\n')
  present "$root/var/lib/kubelet/config.yaml"
  printf '%s\n' "$flags" | values_of config | in_root
  printf '%s\n' "$flags" | values_of 'config[-_]dir' | sed 's|$|/*.conf|' | in_root
}

# pods STARTING: the files in each folder from which a kubelet reads static pods.
pods() {
  flags=$(kubelet_texts "$1" | tr '\000' '\n')
  {
    echo /etc/kubernetes/manifests
    printf '%s\n' "$flags" | values_of 'pod[-_]manifest[-_]path'
    printf '%s\n' "$flags" | kubelet_configurations | while IFS= read -r file; do
      beside=${file%/*}
      values_of staticPodPath <"$file" | sed "s|^\([^/]\)|${beside#"$root"}/\1|"
    done
  } | sed -e p -e 's|/*$|/*|' | in_root
  present "$root"/var/lib/rancher/*/agent/pod-manifests/*
}

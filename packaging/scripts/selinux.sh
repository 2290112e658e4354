# The policy module: in the rpm only, and only where SELinux is.
policy=$root/usr/share/selinux/packages/kleidi.pp

load_selinux_module() {
  if [ -e "$policy" ] && have semodule; then
    try semodule -n -X 200 -i "$policy"
    reload_selinux
  fi
}

unload_selinux_module() {
  if have semodule && semodule -l 2>/dev/null | grep -qw kleidi; then
    try semodule -n -X 200 -r kleidi
    reload_selinux
  fi
}

reload_selinux() {
  if booted && have selinuxenabled && selinuxenabled; then
    try load_policy
    if [ -d "$root/run/kleidi" ]; then try restorecon -R "$root/run/kleidi"; fi
  fi
}

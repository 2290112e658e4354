# Before the files are there: deb preinst, rpm %pre. Only here does dpkg tell a
# reinstallation (after a removal) from an upgrade.
if [ "${1:-}" = install ]; then : 2>/dev/null >"$marker" || :; fi

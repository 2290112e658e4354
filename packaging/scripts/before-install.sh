# Before the files are there: deb preinst, rpm %pre. Only here does dpkg tell a
# reinstallation (after a removal) from an upgrade. Fails where that cannot be noted:
# nothing is changed by then, and the files would not fit on that disk either.
case "${1:-}" in
  1 | install) note_unfinished ;;
esac

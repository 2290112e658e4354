# After all of a transaction: rpm %posttrans. Files of the package before that the new
# one does not have, a drop-in for example, go only after %post: a service that was
# restarted there would run with them.
if [ ! -e "$upgraded" ]; then exit 0; fi
if is_unfinished; then
  try systemctl daemon-reload
  finish_installation
else
  restart_upgraded
fi
rm -f "$upgraded"

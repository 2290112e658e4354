# /usr/lib/kleidi/first-boot, run by kleidi-first-boot.service: what an installation in
# an image has left. The rest was done there, and the boot starts what is enabled.
if is_offline; then keep_off; fi
if ! provision; then exit 1; fi
rm -f "$first_boot"
say_cost
say_next

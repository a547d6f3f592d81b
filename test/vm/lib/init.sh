#!/bin/busybox sh
# The first program of a machine of test/vm, from the initramfs: makes the host's root, read-only by 9p with memory
# above it, into this machine's own, and goes on with guest.sh there. The kernel's command line names what is where.

set -e
/bin/busybox mkdir -p /proc /sys /dev /lower /memory /root
/bin/busybox --install -s /bin
trap 'echo "init: ended early"; poweroff -f' EXIT
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done

nine() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"; }
nine root /lower ro,cache=loose
mount -t tmpfs -o size=75% memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /root

# The words "fairway.modules=PATH" and so on of the command line.
word() { tr ' ' '\n' </proc/cmdline | sed -n "s/^fairway\.$1=//p"; }
release=$(uname -r)
mkdir -p "/root/usr/lib/modules/$release"
mount --bind "/root$(word modules)/$release" "/root/usr/lib/modules/$release"
mount -t tmpfs run /root/run
mkdir -p /root/run/exchange /root/run/tmp
nine exchange /root/run/exchange cache=none
for name in proc sys dev; do mount --move "/$name" "/root/$name"; done
guest=$(sed -n 's/.*fairway\.guest=\([^ ]*\).*/\1/p' /root/proc/cmdline)
exec switch_root /root /bin/sh "$guest"

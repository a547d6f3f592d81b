#!/bin/sh
# What a machine of test/vm does when its root is there: what a service manager would have set up, then one command
# after the other. A line on the virtio-serial port is the name of a directory of the exchange; the command is there as a
# script, and its output goes there too; the line that goes back is the name and the exit status.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/run/tmp LC_ALL=C.UTF-8 CI=1
mkdir -p /dev/shm /dev/pts /run/lock
mount -t tmpfs shm /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
# Who opens it has the module loaded.
mkdir -p /dev/net && mknod /dev/net/tun c 10 200
ip link set lo up
hostname vm

port=/dev/$(basename /sys/class/virtio-ports/vport*)
exec 3<>"$port"
echo "ready $(uname -r)" >&3
while read -r name <&3; do
  at=/run/exchange/$name
  sh "$at/command" >"$at/stdout" 2>"$at/stderr" </dev/null 3<&-
  echo "$name $?" >&3
done
poweroff -f

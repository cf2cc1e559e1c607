#!/bin/sh
# Waits for the end of a run of tests, however it comes, and removes what the run has left: processes,
# mounts and its folders. run.ts starts it, and says the folders in the first line of its standard
# input; the run has ended with the second line, or when there is none to come.
#
# Who belongs to the run is known by the name of its folders: every process that was started for it
# has it in its arguments, in its environment or as its place. This one and what it runs haven't.
set -u
cd /
read -r name folders
# without a name everybody would be a member
case $name in learnd-tests-?*) ;; *) exit 1 ;; esac
read -r _

members() {
  {
    echo "$name" | grep -lsaF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ
    find /proc/[0-9]*/cwd -prune -lname "*$name*" 2>/dev/null
  } | cut -d / -f 3 | sort -u
}

mounts() {
  echo "$name" | grep -F -f - /proc/self/mountinfo | cut -d ' ' -f 5 | sort -r
}

# Who is killed may just have started another. What hangs in the kernel isn't waited for.
round=0
while [ $round -lt 50 ] && pids=$(members) && [ -n "$pids" ]; do
  # shellcheck disable=SC2086
  kill -KILL $pids
  sleep 0.1
  round=$((round + 1))
done
for place in $(mounts); do umount --lazy "$place"; done
# shellcheck disable=SC2086
rm -rf --one-file-system $folders

#!/bin/busybox sh
# The guest's first process: runs the jobs that the kernel's command line names (jobs=one,two), then turns itself off. What it prints is
# read by report.ts.
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin /dev /proc /sys /tmp
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/hugepages
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp /dev/shm
# Users other than root may set it lower, and jobs do.
ulimit -l unlimited
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root DENO_DIR=/deno NO_COLOR=1 DENO_NO_UPDATE_CHECK=1
cd /app

for module in vfio_iommu_type1 vfio-pci uio_pci_generic; do
  modprobe "$module" || echo "@@LOG no kernel module $module"
done

if [ -z "$jobs" ]; then
  setsid cttyhack sh
fi
# The program that waits for this guest sees that it lives.
while echo "@@BEAT"; do sleep 5; done &
dmesg -c >/dev/null
for job in $(echo "$jobs" | tr , ' '); do
  echo "@@JOB=$job"
  timeout -k 5 "${limit:-300}" deno run --quiet --no-check -A "tests/guest/$job.ts"
  status=$?
  dmesg -c | grep -E 'DMAR:.*fault|BUG:|Oops|WARNING:|segfault|general protection|Out of memory' | sed 's/^/@@KERNEL /'
  echo "@@RC=$status"
done
poweroff -f

# SPDX-License-Identifier: MIT
"""Debian's Linux under load goes from machine to machine, several times in a
row and each at another moment: loops on both CPUs write files in memory, and
every checksum is right at the end; or its own KVM runs a guest, whose every
write is checked."""

import linux
from lib import check, machine_test

#: Two loops, each with a seed of its own. From it comes which file is written,
#: how long it is and what is in it; its checksum is kept, until somebody types
#: a line. The first loop says that it works.
SCRIPT = """\
mkdir -p /load; mount -t tmpfs none /load; cd /load
work() {
	i=0 x=$2
	while [ ! -e stop ]; do
		i=$((i + 1)) x=$(((x * 1103515245 + 12345) % 2147483648))
		file=$1.$((x / 65536 % 64))
		yes "$1 $x" | head -c $((4096 + x / 4096 % 61440)) > $file
		md5sum $file > sum.$file
		[ $1 = one ] && echo "load goes on $i"
	done
	cat sum.$1.* > sums.$1
	md5sum -c sums.$1 > checked.$1 || echo "LOAD BAD $1"
	[ $(ls sum.$1.* | wc -l) = $(grep -c OK checked.$1) ] ||
		echo "LOAD SHORT $1"
	echo "LOAD DONE $1 after $i"
}
work two 20261126 &
work one 42 &
read line < /dev/console
touch stop
wait
poweroff -f
"""


#: KVM's guest is one and the same from before the first move on.
NESTED_SCRIPT = """\
kvm_small 100 0 100 &
read line < /dev/console
touch /stop
wait
poweroff -f
"""


def moves(machine, disk, times, mark, *options, ips=linux.IPS):
    """`times` moves, each a moment behind a line with this mark."""
    path = disk.write(machine.folder / "linux.cpio")
    run = machine.umbra(
        "migrate", disk.kernel.image, "--engine", "bochs", "--timeout",
        machine.seconds_left(), "--initrd", path, "--append", linux.QUICK,
        "--link", "net", "--at", mark, "--times", times,
        "--then", "that is enough", "--set", f"host.ips={ips}",
        "--set", "downtime=100s", *options)
    run.ended_with(0)
    check(run.err.count("umbra: migration moved:") == times,
          f"it was not moved {times} times")
    check(run.err.count("umbra: audit full:") == times, "without audit")
    return run


@machine_test(seconds=180, limit=1500, long=True)
def linux_under_load_moves_five_times(machine):
    """Each time at another moment of its work. Bochs takes a frame from the
    network once in a millisecond: the slower the CPU, the faster it is. Pages
    go as they are; what compresses them works in the next test."""
    disk = linux.new_disk()
    disk.script = SCRIPT
    run = moves(machine, disk, 5, "load goes on", "--cpus", "2", "--mem",
                "96M", "--set", "compress=off", ips=10_000_000)
    for loop in ("one", "two"):
        run.printed(rf"^LOAD DONE {loop} after \d+$")
    check("LOAD BAD" not in run.out and "LOAD SHORT" not in run.out,
          "a checksum is wrong")


def moves_with_its_guest(machine, times, cpus, *options):
    disk = linux.new_disk_with_kvm(machine)
    disk.script = NESTED_SCRIPT
    run = moves(machine, disk, times, "kvm_small: round", "--cpus", cpus,
                "--mem", "192M", *options)
    rounds = int(run.printed(r"^kvm_small: PASS 100 pages, (\d+) rounds$")[1])
    check(rounds > 100 * times, f"it ended after {rounds} rounds")
    return run


@machine_test(seconds=90, limit=600)
def linux_moves_with_its_guest(machine):
    """L2 runs on KVM, KVM on Umbra, and L2's pages are checked all along."""
    moves_with_its_guest(machine, 1, 1)


@machine_test(seconds=2400, limit=7000, long=True)
def linux_moves_with_its_guest_ten_times(machine):
    moves_with_its_guest(machine, 10, 2)


@machine_test(seconds=200, limit=1500, long=True)
def linux_moves_with_its_guest_in_an_enlightened_vmcs(machine):
    run = moves_with_its_guest(machine, 2, 1, "--set", "hyperv=on")
    run.printed("using Hyper-V Enlightened VMCS")

# SPDX-License-Identifier: MIT
"""Debian's Linux under load goes from machine to machine, several times in a
row and each by another seed: two loops write files in memory, and every
checksum is right at the end; or its own KVM runs a guest, whose every write is
checked.

    UMBRA_TEST_SEED=7 ./umbra test moves_by_five_seeds      and 8, 9, 10, 11
"""

import os
import re

import linux
import linux_qemu
from lib import check, machine_test

#: What is free is zero: two thirds of the pages are left to send.
APPEND = linux.QUICK + " init_on_free=1"
FIRST_SEED = int(os.environ.get("UMBRA_TEST_SEED", 20261126))

#: Two loops. From the seed comes which file each writes next, how long it is,
#: what is in it, and after how many of them the guest is to move; its checksum
#: is kept. Each line that is typed is another seed, the last one the end. The
#: kernel says only what is an error, and nothing in the middle of a mark.
SCRIPT = """\
dmesg -n 4
mkdir -p /load; mount -t tmpfs none /load; cd /load
work() {
	i=0 last=
	while read seed < seed && [ $seed != stop ]; do
		if [ $seed != "$last" ]; then
			last=$seed left=$((1 + seed % 3))
			x=$(((seed * 48271 + $2) % 2147483648))
		fi
		i=$((i + 1)) left=$((left - 1))
		x=$(((x * 1103515245 + 12345) % 2147483648))
		file=$1.$seed.$((x / 65536 % 16))
		yes "$1 $x" | head -c $((4096 + x / 4096 % 61440)) > $file
		md5sum $file > sum.$file
		[ $1 = one ] && echo "seed $seed: file $i"
		[ $1.$left = one.0 ] && echo "seed $seed: now"
	done
	cat sum.$1.* > sums.$1
	md5sum -c sums.$1 > checked.$1 || echo "LOAD BAD $1"
	[ $(ls sum.$1.* | wc -l) = $(grep -c OK checked.$1) ] ||
		echo "LOAD SHORT $1"
	echo "LOAD DONE $1 after $i"
}
echo $seed > seed
work two 20261126 &
work one 42 &
while read word < /dev/console; do
	echo $word > next; mv next seed
	[ $word = stop ] && break
done
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


def moves(machine, disk, times, mark, *options, lines=("that is enough",),
          words="", ips=linux.IPS):
    """`times` moves, each at a line with this mark; after the last ones these
    lines are typed."""
    path = disk.write(machine.folder / "linux.cpio")
    typed = [word for line in lines for word in ("--then", line)]
    run = machine.umbra(
        "migrate", disk.kernel.image, "--engine", "bochs", "--timeout",
        machine.seconds_left(), "--initrd", path, "--append",
        f"{APPEND} {words}", "--link", "net", "--at", mark, "--times", times,
        *typed, "--set", f"host.ips={ips}", "--set", "downtime=100s", *options)
    run.ended_with(0)
    check(run.err.count("umbra: migration moved:") == times,
          f"it was not moved {times} times")
    check(run.err.count("umbra: audit full:") == times, "without audit")
    return run


def moves_by_five_seeds(machine, *options):
    """Bochs takes a frame from the network once in a millisecond: the slower
    the CPU, the faster it is. Pages go as they are; what compresses them works
    in the next test."""
    disk = linux.new_disk()
    disk.script = SCRIPT
    seeds = [str(FIRST_SEED + i) for i in range(5)]
    run = moves(machine, disk, 5, ": now", "--cpus", "2", "--mem", "96M",
                "--set", "compress=off", *options, lines=[*seeds[1:], "stop"],
                words=f"seed={seeds[0]}", ips=10_000_000)
    written = [int(pages) for pages in
               re.findall(r"link needed for (\d+) pages", run.err)]
    check(len(written) == 5 and min(written) > 50,
          f"the loops wrote too little while it moved: {written} pages")
    for seed in seeds:
        run.printed(f"^seed {seed}: now$")
    for loop in ("one", "two"):
        run.printed(rf"^LOAD DONE {loop} after \d+$")
    check("LOAD BAD" not in run.out and "LOAD SHORT" not in run.out,
          "a checksum is wrong")


@machine_test(seconds=180, limit=900)
def linux_under_load_moves_by_five_seeds(machine):
    """Its two CPUs share one of the machine's, beside which a Bochs that waits
    costs nothing."""
    moves_by_five_seeds(machine, "--set", "host.cpus=1")


@machine_test(seconds=180, limit=1500, long=True)
def linux_on_two_cpus_moves_by_five_seeds(machine):
    moves_by_five_seeds(machine)


def moves_with_its_guest(machine, times, cpus, *options, mem="192M", **how):
    disk = linux.new_disk_with_kvm(machine)
    disk.script = NESTED_SCRIPT
    run = moves(machine, disk, times, "kvm_small: round", "--cpus", cpus,
                "--mem", mem, *options, **how)
    rounds = int(run.printed(r"^kvm_small: PASS 100 pages, (\d+) rounds$")[1])
    check(rounds > 100 * times, f"it ended after {rounds} rounds")
    return run


@machine_test(seconds=90, limit=600)
def linux_moves_with_its_guest(machine):
    """L2 runs on KVM, KVM on Umbra, and L2's pages are checked all along."""
    moves_with_its_guest(machine, 1, 1)


#: What a move takes is the link's time, and Bochs takes a frame once in a
#: millisecond: a slower CPU makes fewer steps meanwhile, if it does not spend
#: them on compression. All else is as in the one move.
def moves_ten_times(machine, cpus):
    moves_with_its_guest(machine, 10, cpus, "--set", "compress=off",
                         mem="128M", ips=10_000_000)


@machine_test(seconds=700, limit=4000, long=True)
def linux_moves_with_its_guest_ten_times(machine):
    moves_ten_times(machine, 1)


@machine_test(seconds=900, limit=4000, long=True)
def linux_on_two_cpus_moves_with_its_guest_ten_times(machine):
    moves_ten_times(machine, 2)


@machine_test(seconds=200, limit=1500, long=True)
def linux_moves_with_its_guest_in_an_enlightened_vmcs(machine):
    run = moves_with_its_guest(machine, 2, 1, "--set", "hyperv=on")
    run.printed("using Hyper-V Enlightened VMCS")


#: L2 is a Linux in QEMU, and the load is L2's.
QEMU_SCRIPT = """\
qemu
echo "QEMU ends with $?"
poweroff -f
"""


@machine_test(seconds=600, limit=3000, long=True)
def linux_moves_with_a_linux_in_qemu(machine):
    disk = linux_qemu.new_disk(machine, script=SCRIPT,
                               words=f"seed={FIRST_SEED} init_on_free=1")
    disk.script = QEMU_SCRIPT
    run = moves(machine, disk, 2, ": now", "--mem", "384M", "--set",
                "compress=off", lines=(str(FIRST_SEED + 1), "stop"),
                ips=10_000_000)
    for seed in (FIRST_SEED, FIRST_SEED + 1):
        run.printed(f"^seed {seed}: now$")
    for loop in ("one", "two"):
        run.printed(rf"^LOAD DONE {loop} after \d+$")
    run.printed("^QEMU ends with 0$")
    check("LOAD BAD" not in run.out and "LOAD SHORT" not in run.out,
          "a checksum is wrong")

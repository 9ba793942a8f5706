# SPDX-License-Identifier: MIT
"""Debian's Linux under load goes from machine to machine, several times in a
row and each at another moment: loops on both CPUs write files in memory, and
every checksum is right at the end."""

import linux
from lib import check, machine_test

#: Two loops, each writes a chunk, keeps its checksum, and says that it works.
SCRIPT = """\
mkdir -p /load; mount -t tmpfs none /load; cd /load
work() {
	i=0
	while [ $i -lt $2 ]; do
		i=$((i + 1))
		yes "$1 $i" | head -c 65536 > $1.$i
		md5sum $1.$i >> $1.sums
		cat $1.$i >> $1.all
		[ $1 = one ] && echo "load goes on $i"
		usleep 500000
	done
	md5sum -c $1.sums > $1.checked || echo "LOAD BAD $1"
	[ $(wc -c < $1.all) = $((65536 * $2)) ] || echo "LOAD SHORT $1"
	echo "LOAD DONE $1 $(grep -c OK $1.checked)"
}
work two CHUNKS &
work one CHUNKS
wait
poweroff -f
"""


def moves_under_load(machine, times, chunks):
    disk = linux.new_disk()
    disk.script = SCRIPT.replace("CHUNKS", str(chunks))
    path = disk.write(machine.folder / "linux.cpio")
    run = machine.umbra(
        "migrate", disk.kernel.image, "--engine", "bochs", "--timeout",
        machine.seconds_left(), "--initrd", path, "--append", "console=ttyS0",
        "--cpus", "2", "--mem", "192M", "--link", "net", "--at",
        "load goes on", "--times", times, "--set", f"host.ips={linux.IPS}",
        "--set", "downtime=100s")
    run.ended_with(0)
    check(run.err.count("umbra: migration moved:") == times,
          f"it was not moved {times} times")
    check(run.err.count("umbra: audit full:") == times, "without audit")
    for loop in ("one", "two"):
        run.printed(f"^LOAD DONE {loop} {chunks}$")
    check("LOAD BAD" not in run.out and "LOAD SHORT" not in run.out,
          "a checksum is wrong")


@machine_test(seconds=180, limit=1500, long=True)
def linux_under_load_moves_there_and_back(machine):
    moves_under_load(machine, 2, 240)


@machine_test(seconds=400, limit=3600, long=True)
def linux_under_load_moves_five_times(machine):
    moves_under_load(machine, 5, 560)

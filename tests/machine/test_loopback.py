# SPDX-License-Identifier: MIT
"""A guest's memory is copied by its dirty log while it runs, then compared
(core/loopback.h): no write is lost, whatever the way of tracking, the number
of CPUs and the moments of the harvests, which a seed chooses."""

from lib import check, machine_test

RING = "build/guests/ring.elf"


def is_identical(machine, mode, seed, cpus):
    run = machine.run(RING, "--append", f"mb=2 mark=0 laps=3000 cpus={cpus}",
                      "--mem", "8M", "--cpus", cpus, "--set", "loopback=8",
                      "--set", f"loopback.seed={seed}", "--set",
                      f"dirty={mode}", "--set", "host.ips=20000000")
    run.ended_with(1)
    run.guest_verdict()
    rounds, pages = run.said(r"^umbra: loopback: (\d+) rounds, (\d+) pages "
                             "copied, .*: memory is identical$").groups()
    check(int(rounds) >= 4, f"only {rounds} rounds before the guest's end")
    # All of its 8 MiB once, and then what it has written meanwhile.
    check(int(pages) > 2048 + 4 * 256, f"only {pages} pages copied")


@machine_test(seconds=3)
def pml_on_one_cpu_loses_no_write(machine):
    is_identical(machine, "pml", seed=1, cpus=1)


@machine_test(seconds=3)
def pml_on_four_cpus_loses_no_write(machine):
    is_identical(machine, "pml", seed=2, cpus=4)


@machine_test(seconds=3)
def write_protection_on_one_cpu_loses_no_write(machine):
    is_identical(machine, "wp", seed=3, cpus=1)


@machine_test(seconds=3)
def write_protection_on_two_cpus_loses_no_write(machine):
    is_identical(machine, "wp", seed=4, cpus=2)


@machine_test(seconds=3)
def changing_on_two_cpus_loses_no_write(machine):
    is_identical(machine, "mixed", seed=5, cpus=2)


@machine_test(seconds=3)
def changing_on_four_cpus_loses_no_write(machine):
    is_identical(machine, "mixed", seed=6, cpus=4)


def is_identical_under_l2(machine, laps, *words, options=("dirty=mixed",)):
    """L2 goes round in memory of L1, which is copied meanwhile."""
    settings = [word for option in options for word in ("--set", option)]
    run = machine.run("build/guests/l1ring.elf", "--append",
                      " ".join(["mb=1 mark=0 cpus=2", f"laps={laps}", *words]),
                      "--mem", "24M", "--cpus", 2, "--set", "loopback=30",
                      "--set", "loopback.seed=3", *settings,
                      "--set", "host.ips=20000000")
    run.ended_with(1)
    run.guest_verdict()
    run.said(r"^umbra: loopback: \d+ rounds, \d+ pages copied, "
             r"[1-9]\d* of them while stopped: memory is identical$")
    return run


@machine_test(seconds=6)
def what_l2_writes_is_in_the_log(machine):
    is_identical_under_l2(machine, 100, "alias", "protect")


@machine_test(seconds=6)
def both_logs_work_at_the_same_time(machine):
    is_identical_under_l2(machine, 60, "ad", "pml")


@machine_test(seconds=8, limit=120)
def addresses_of_l2_that_the_cpu_logs_are_translated(machine):
    """Without an exit for each page; L1 changes its EPT and logs by itself."""
    for way, word in (("pml", "protect"), ("mixed", "pml")):
        run = is_identical_under_l2(machine, 60, "ad", word, options=(
            f"dirty={way}", "dirty.l2=translate"))
        found = run.said(r"^umbra: loopback: found by PML (\d+), by write "
                         r"protection \d+, of L2 (\d+) and \d+$")
        check(int(found[2]) > 100, "PML has logged nothing of L2's")


@machine_test(seconds=10, limit=150)
def what_the_cpu_logs_is_translated_by_the_ept_that_it_was_by(machine):
    """L2 goes to another EPT by itself, with entries in the log, and there the
    same addresses are those of other pages; with dirty flags, and without.
    What is lost then is written again, and logged, within two laps: so the
    memory is compared after each round, of which two take about three laps."""
    for flags in 1, 2:
        run = machine.run("build/guests/l1ring.elf", "--append",
                          f"mb=1 mark=0 laps=20 step=1000 vmfunc flags={flags}",
                          "--mem", "6M", "--set", "loopback=20", "--set",
                          "loopback.compare=rounds", "--set",
                          "loopback.seed=2", "--set", "dirty=pml", "--set",
                          "dirty.l2=translate", "--set", "host.ips=20000000")
        run.ended_with(1)
        run.guest_verdict()
        run.said(r"^umbra: loopback: 20 rounds, .*: memory is identical$")
        found = run.said(r"^umbra: loopback: found by PML \d+, by write "
                         r"protection \d+, of L2 (\d+) and \d+$")
        check(int(found[1]) > 100, "PML has logged nothing of L2's")


@machine_test(seconds=2)
def way_that_is_none_is_refused(machine):
    run = machine.run(RING, "--set", "dirty.l2=magic", "--mem", "8M")
    run.said("^umbra: error: guest ring: dirty.l2=magic: it can be wp or "
             "translate$")


@machine_test(seconds=300, limit=1200, long=True)
def no_seed_loses_a_write(machine):
    for seed in range(10, 20):
        for mode in ("pml", "wp", "mixed"):
            for cpus in (1, 2, 3, 4):
                is_identical(machine, mode, seed=seed, cpus=cpus)

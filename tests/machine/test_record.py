# SPDX-License-Identifier: MIT
"""A guest is stopped, saved, made anew from its record and saved again
(core/record_loop.h): both records are the same, and so is what it computes."""

from lib import check, machine_test

RING = "build/guests/ring.elf"
L1RING = "build/guests/l1ring.elf"
L1MOMENTS = "build/guests/l1moments.elf"


def is_complete(machine, cpus, seed, *options):
    run = machine.run(RING, "--append", f"mb=2 mark=0 laps=1500 cpus={cpus}",
                      "--mem", "8M", "--cpus", cpus, "--set",
                      "record.loop=1000", "--set", f"record.seed={seed}",
                      "--set", "host.ips=20000000", *options)
    run.ended_with(1)
    run.guest_verdict()
    rounds = int(run.said(r"^umbra: record: (\d+) rounds, \d+ bytes each: "
                          "identical$").group(1))
    check(rounds >= 30, f"only {rounds} rounds before the guest's end")
    return run


@machine_test(seconds=3)
def record_of_a_guest_is_complete(machine):
    is_complete(machine, 1, 1)


@machine_test(seconds=4)
def record_of_a_guest_with_two_cpus_is_complete(machine):
    is_complete(machine, 2, 2)


def hypervisor_is_complete(machine, cpus, rounds, moments, *words,
                           wait_ns=800_000):
    """It is made anew at random moments, of its own and of its L2, at most
    `wait_ns` apart; each of `moments` must have been among them."""
    run = machine.run(L1RING, "--append",
                      " ".join((f"cpus={cpus} mark=0", *words)), "--mem",
                      "32M", "--cpus", cpus, "--set", f"record.loop={rounds}",
                      "--set", f"record.wait={wait_ns}", "--set",
                      "host.ips=20000000")
    run.ended_with(1)
    run.guest_verdict()
    run.said(r"^umbra: record: \d+ rounds, \d+ bytes each: identical$")
    for moment in moments:
        run.said(rf"^umbra: record: \d+ {moment}$")


IN_L1 = ("in L1 without a current VMCS", "in L1 before VMLAUNCH",
         "in L1 after VMLAUNCH")


@machine_test(seconds=15, limit=300)
def record_of_a_hypervisor_is_complete(machine):
    hypervisor_is_complete(
        machine, 1, 1000,
        (*IN_L1, "in L2", "preemption timer of L1 running"),
        "laps=20", "mb=1", "switch", "timer", "inject", "fields", "areas")


@machine_test(seconds=15, limit=300)
def record_of_a_hypervisor_with_two_cpus_is_complete(machine):
    hypervisor_is_complete(
        machine, 2, 800, ("in L1 after VMLAUNCH", "entry pending", "in L2",
                          "exit to L1 pending", "log of L1 part full",
                          "EPT12 changed and not invalidated"),
        "laps=20", "mb=1", "pml", "protect", "interrupt",
        wait_ns=1_000_000)


@machine_test(seconds=8, limit=200)
def record_of_a_hypervisor_whose_l2_sleeps_is_complete(machine):
    hypervisor_is_complete(machine, 1, 500, ("in L2", "L2 halted"),
                           "laps=200", "mb=1", "sleep", "ept=0",
                           wait_ns=2_000_000)


@machine_test(seconds=12, limit=300)
def record_of_an_l2_has_registers_that_no_exit_saves(machine):
    hypervisor_is_complete(machine, 1, 450, ("in L2",), "laps=150", "mb=1",
                           "registers")


@machine_test(seconds=15, limit=300)
def record_of_an_l2_in_its_nmi_handler_is_complete(machine):
    hypervisor_is_complete(machine, 1, 700, ("entry pending", "in L2",
                                             "NMIs blocked in L2"),
                           "laps=250", "mb=1", "nmi")


#: Where guests/l1moments.c comes by. Two rounds of each exit may find it.
ROUNDS_MAX = 2000
MOMENTS = (*IN_L1, "entry pending", "in L2", "L2 halted",
           "event on its way into L2", "exception for L2",
           "exit to L1 pending",
           "exit by the monitor trap flag pending", "NMIs blocked in L2",
           "preemption timer of L1 running", "log of L1 part full",
           "EPT12 changed and not invalidated")


@machine_test(seconds=10, limit=200)
def record_is_complete_at_every_exit(machine):
    """In each state that a hypervisor can be in, nothing is lost: it ends as
    it does if nobody touches it."""
    arguments = (L1MOMENTS, "--append", "mtf", "--mem", "32M", "--set",
                 "host.ips=20000000", "--set", "umbra.mtf=on")
    alone = machine.run(*arguments)
    alone.guest_verdict()
    run = machine.run(*arguments, "--set", f"record.loop={ROUNDS_MAX}",
                      "--set", "record.at=exits")
    run.ended_with(1)
    run.guest_verdict()
    check(run.out == alone.out, "the guest has seen something else")
    rounds = int(run.said(r"^umbra: record: (\d+) rounds, \d+ bytes each: "
                          "identical$").group(1))
    exits = int(run.said(r"^umbra: record: (\d+) exits, at most 1 between "
                         "two rounds$").group(1))
    # One behind the exit, and one before the next entry.
    check(ROUNDS_MAX > rounds >= 2 * exits >= 800,
          f"{rounds} rounds, {exits} exits")
    for moment in MOMENTS:
        run.said(rf"^umbra: record: \d+ {moment}$")


L1EVMCS = "build/guests/l1evmcs.elf"


def enlightened(machine, words, *options):
    return machine.run(L1EVMCS, "--append", words, "--mem", "64M", "--set",
                       "hyperv=on", "--set", "host.ips=20000000", *options)


@machine_test(seconds=20, limit=300)
def record_of_an_enlightened_vmcs_is_complete_at_every_exit(machine):
    """Also where it does not say at which address that is: the VP-assist page
    does, before anything runs."""
    alone = enlightened(machine, "n=10")
    alone.guest_verdict()
    for least in ("off", "on"):
        run = enlightened(machine, "n=10", "--set", "record.loop=2000",
                          "--set", "record.at=exits", "--set",
                          f"record.least={least}")
        run.ended_with(1)
        check(run.out == alone.out, "the guest has seen something else")
        run.said(r"^umbra: record: \d+ rounds, \d+ bytes each: identical$")
        for moment in ("in L1 with an enlightened VMCS", "entry pending",
                       "in L2 of an enlightened VMCS"):
            run.said(rf"^umbra: record: \d+ {moment}$")


@machine_test(seconds=6)
def record_without_an_address_needs_a_vp_assist_page(machine):
    """L2 itself takes the eVMCS out of that page. Who has the address goes on;
    who has not cannot exit to L1, and says so."""
    def hides(least, *options):
        return enlightened(machine, "hide n=600000", "--its",
                           "record.loop=1000", "--its", "record.wait=9000000",
                           "--its", f"record.least={least}", *options)

    run = hides("off")
    run.ended_with(1)
    run.said(r"^umbra: record: \d+ in L2 of an enlightened VMCS$")
    # It is nobody else's setting.
    run = hides("off", "--guest", "build/guests/hello.elf", "--its",
                "record.least=on")
    run.ended_with(1)
    run.said(r"^umbra: record: \d+ in L2 of an enlightened VMCS$")
    run = hides("on")
    run.ended_with(126)
    run.said("its enlightened VMCS is not where its VP-assist page says")


@machine_test(seconds=6)
def new_vcpus_keep_up_with_dirty_logging(machine):
    run = is_complete(machine, 2, 3, "--set", "loopback=8", "--set",
                      "dirty=mixed")
    run.said(r"^umbra: loopback: .*: memory is identical$")

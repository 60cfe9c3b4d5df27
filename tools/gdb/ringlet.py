# SPDX-License-Identifier: MIT
"""Commands for gdb on a QEMU that runs Ringlet: what the processor and the hypervisor hold.

Loaded by ringlet.gdb. Everything is read through the types in the image's debug information, so
that a changed structure needs no change here. Page tables are read as physical memory by a command
of QEMU's monitor, which its stub passes on.

`help ringlet` lists the commands.
"""
import os
import re
import struct
import sys

import gdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import decode  # noqa: E402

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CR0_PG = 1 << 31


# --- reading -------------------------------------------------------------------------------------

def value(expression):
    """An expression of the program, evaluated by gdb."""
    return gdb.parse_and_eval(expression)


def number(expression):
    """The same as an unsigned number."""
    return int(value(expression)) & 0xffffffff


def read_config():
    """The constants of include/ringlet/config.h: macros are not in the debug information."""
    with open(os.path.join(TOP, "include", "ringlet", "config.h"), encoding="utf-8") as header:
        found = re.findall(r"^#define (\w+) (0x[0-9A-Fa-f]+|\d+)(?:\s|$)", header.read(), re.M)
    return {name: int(text, 0) for name, text in found}


CONFIG = read_config()


def memory(address, size):
    """Bytes at a linear address, as the processor sees it now."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def physical_words(address, count):
    """32-bit words at a machine address, which may lie above 4 GiB."""
    text = gdb.execute(f"monitor xp /{count}wx {address:#x}", to_string=True)
    return [int(word, 16) for word in re.findall(r"0x([0-9a-f]{8})", text)]


def physical_entry(address):
    """A page-table entry."""
    low, high = physical_words(address, 2)
    return high << 32 | low


def symbol(address):
    """<function+offset>, or nothing."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    match = re.match(r"(\S+)(?: \+ (\d+))? in section", text)
    if not match:
        return ""
    return f"<{match.group(1)}+{match.group(2)}>" if match.group(2) else f"<{match.group(1)}>"


def cpu_number():
    """The processor gdb looks at; QEMU shows each as a thread."""
    thread = gdb.selected_thread()
    return thread.num - 1 if thread else 0


def hypervisor_runs():
    """Whether the hypervisor's own data can be read: paging is on and its CPUs are set up."""
    try:
        return bool(number("$cr0") & CR0_PG) and int(this_cpu()["tss"]["esp0"]) != 0
    except gdb.error:
        return False


def need_hypervisor():
    """Ends a command with a reason where there is nothing to look at yet."""
    if not hypervisor_runs():
        raise gdb.GdbError("The hypervisor has not set up this processor yet: "
                           "`hbreak run_current_vcpu` and `continue` first.")


def this_cpu():
    """struct cpu of the processor gdb looks at."""
    return value("cpus")[cpu_number()]


def cpu_info():
    """struct cpu_info at the top of this processor's hypervisor stack: the TSS points into it."""
    esp0 = int(this_cpu()["tss"]["esp0"])
    kind = gdb.lookup_type("struct cpu_info")
    size = 1 << CONFIG["STACK_SHIFT"]
    top = (esp0 & ~(size - 1)) + size
    return gdb.Value(top - kind.sizeof).cast(kind.pointer()).dereference()


def current():
    """The vcpu this processor runs."""
    return cpu_info()["vcpu"].dereference()


def is_idle(vcpu):
    """Whether this is the vcpu that runs when no guest can."""
    return int(vcpu["domain"]) == int(value("&idle_domain"))


def ring():
    """The privilege level of the code that runs now."""
    return number("$cs") & 3


def domains():
    """Every struct domain, in order of id."""
    pointer = value("domain_list")
    while int(pointer):
        yield pointer.dereference()
        pointer = pointer["next"]


def vcpus(domain):
    """A domain's vcpus."""
    for i in range(int(domain["max_vcpus"])):
        if int(domain["vcpus"][i]):
            yield domain["vcpus"][i].dereference()


def find_domain(text):
    """The domain with this number; without one, the domain that runs."""
    if not text:
        if is_idle(current()):
            raise gdb.GdbError("No domain runs now: name one.")
        return current()["domain"].dereference()
    wanted = int(text, 0)
    for domain in domains():
        if int(domain["id"]) == wanted:
            return domain
    raise gdb.GdbError(f"There is no domain {wanted}.")


def vcpu_name(vcpu):
    """d0v0, as the hypervisor prints it."""
    return "idle" if is_idle(vcpu) else f"d{int(vcpu['domain']['id'])}v{int(vcpu['id'])}"


def arguments(text, usage, least=0, most=0):
    """A command's words, or its usage."""
    words = gdb.string_to_argv(text or "")
    if not least <= len(words) <= most:
        raise gdb.GdbError(f"usage: {usage}")
    return words


def to_number(word):
    """An argument: any expression of the program."""
    return number(word)


class Command(gdb.Command):
    """A command whose help text is its class's comment."""

    name = ""
    kind = gdb.COMMAND_STATUS

    def __init__(self):
        super().__init__(self.name, self.kind)


# --- who runs ------------------------------------------------------------------------------------

class Domains(Command):
    """domains: every domain with its state, memory and vcpus; * is the one that runs here."""

    name = "domains"

    def invoke(self, argument, from_tty):
        arguments(argument, "domains")
        need_hypervisor()
        running = current()
        print("    ID  STATE      PAGES   MAX PAGES  VCPUS")
        for d in domains():
            mark = "*" if int(d["id"]) == int(running["domain"]["id"]) and \
                not is_idle(running) else " "
            print(f"  {mark}{int(d['id']):>4}  {self.state(d):<9}{int(d['tot_pages']):>7}"
                  f"{self.limit(int(d['max_pages'])):>12}  "
                  + ", ".join(f"{vcpu_name(v)} {vcpu_state(v)}" for v in vcpus(d)))
        if is_idle(running):
            print("  The idle vcpu runs.")

    @staticmethod
    def limit(pages):
        """max_pages as text."""
        return "none" if pages == 0xffffffff else str(pages)

    @staticmethod
    def state(domain):
        """alive, dying, paused, ..."""
        if bool(domain["crashed"]):
            return "crashed"
        if bool(domain["shut_down"]):
            return f"down({int(domain['shutdown_code'])})"
        if int(domain["state"]) != 0:
            return "dying"
        return "paused" if int(domain["pause_count"]) else "alive"


def vcpu_state(vcpu):
    """What keeps a vcpu from running, or that it runs."""
    wait = int(vcpu["wait"])
    if bool(vcpu["running"]):
        return "running"
    for bit, name in ((4, "down"), (1, "blocked"), (2, "polling")):
        if wait & bit:
            return name
    return "paused" if int(vcpu["pause_count"]) else "ready"


class Vcpu(Command):
    """vcpu [DOMAIN [VCPU]]: a vcpu's registers, entry points, page tables and event state.

Without arguments: the one that runs on this processor. Its registers are the processor's own
while the guest runs, the saved frame while the hypervisor does; other vcpus' lie in struct vcpu."""

    name = "vcpu"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "vcpu [DOMAIN [VCPU]]", 0, 2)
        need_hypervisor()
        v = current()
        if words:
            d = find_domain(words[0])
            wanted = int(words[1], 0) if len(words) > 1 else 0
            found = [each for each in vcpus(d) if int(each["id"]) == wanted]
            if not found:
                raise gdb.GdbError(f"Domain {int(d['id'])} has no vcpu {wanted}.")
            v = found[0]
        print(f"{vcpu_name(v)}: {vcpu_state(v)}")
        if is_idle(v):
            return
        self.registers(v)
        self.kernel(v)

    @staticmethod
    def registers(v):
        """Where the guest is, or was when it was left."""
        if int(v.address) != int(cpu_info()["vcpu"]):
            regs, where = v["regs"], "saved in struct vcpu"
        elif ring():
            print(f"  in the guest now: ring {ring()}, {number('$cs'):04x}:{number('$eip'):08x} "
                  f"{symbol(number('$eip'))}")
            return
        else:
            regs, where = cpu_info()["guest_regs"], "saved on the hypervisor's stack"
        print(f"  {where}:")
        print_regs(regs)

    @staticmethod
    def kernel(v):
        """What the guest has told the hypervisor about itself."""
        info = v["info"].dereference()
        print(f"  kernel stack {int(v['kernel_ss']):04x}:{int(v['kernel_sp']):08x}"
              f"   (for entries from ring 3: TSS ss1:esp1)")
        for name in ("event", "failsafe"):
            eip = int(v[name + "_eip"])
            print(f"  {name} callback {int(v[name + '_cs']):04x}:{eip:08x} {symbol(eip)}")
        print(f"  L3 frame {int(v['l3_frame']):#x}, GDT {int(v['gdt_entries'])} entries, "
              f"LDT {int(v['ldt_entries'])} entries")
        print(f"  virtual IOPL {int(v['iopl'])}, virtual CR0.TS {int(v['cr0_ts'])}")
        print(f"  events: upcall_mask {int(info['evtchn_upcall_mask'])}, "
              f"upcall_pending {int(info['evtchn_upcall_pending'])}, "
              f"pending_sel {int(info['evtchn_pending_sel']):#x}")


class Ring(Command):
    """ring: the privilege level of the code that runs, and every segment register decoded."""

    name = "ring"

    def invoke(self, argument, from_tty):
        arguments(argument, "ring")
        eip = number("$eip")
        print(f"ring {ring()}: {number('$cs'):04x}:{eip:08x} {symbol(eip)}   "
              f"eflags {number('$eflags'):08x} ({decode.eflags(number('$eflags'))})")
        for name in ("cs", "ss", "ds", "es", "fs", "gs"):
            sel = number("$" + name)
            print(f"  {name}  {sel:04x}  {decode.selector(sel)}{self.described(sel)}")
        gdb.execute("x/i $pc")

    @staticmethod
    def described(sel):
        """The descriptor behind a selector, where its table can be read."""
        if sel < 4 or not hypervisor_runs():
            return ""
        try:
            return f": {read_descriptor(sel)}"
        except gdb.error:
            return ": its table cannot be read"


# --- descriptor tables ---------------------------------------------------------------------------

def window_page(slot):
    """A page of this processor's window (config.h: 2 MiB a CPU)."""
    size = CONFIG["WINDOW_SLOTS"] * CONFIG["PAGE_SIZE"]
    return CONFIG["PERCPU_WINDOWS_START"] + cpu_number() * size + slot * CONFIG["PAGE_SIZE"]


def gdt_base():
    """This processor's GDT: 14 pages of the guest that runs, then the hypervisor's page."""
    return window_page(CONFIG["WINDOW_GDT_SLOT"])


def ldt_base():
    """This processor's window on the LDT of the guest that runs."""
    return window_page(CONFIG["WINDOW_LDT_SLOT"])


def read_descriptor(sel):
    """The descriptor a selector names."""
    base = ldt_base() if sel & 4 else gdt_base()
    return decode.Descriptor(*struct.unpack("<II", memory(base + (sel & ~7), 8)))


class Gdt(Command):
    """gdt [SELECTOR]: the GDT's descriptors, decoded; with a selector, that one bit by bit.

Entries 0 to 7167 are the guest's, 14 frames of its own; from selector e000 on stands the
hypervisor's page, the same in every guest. Empty entries are left out."""

    name = "gdt"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "gdt [SELECTOR]", 0, 1)
        need_hypervisor()
        if words:
            self.one(to_number(words[0]) & 0xffff)
            return
        entries = int(current()["gdt_entries"]) if not is_idle(current()) else 0
        print(f"GDT at {gdt_base():08x}; the guest's {entries} entries:")
        self.range(0, min(entries, 7168))
        print("The hypervisor's page:")
        self.range(7168, 7168 + 512)

    @staticmethod
    def range(first, end):
        """All entries that hold something."""
        if first == end:
            return
        data = memory(gdt_base() + first * 8, (end - first) * 8)
        for i in range(end - first):
            d = decode.Descriptor(*struct.unpack_from("<II", data, i * 8))
            if d.low or d.high:
                print(f"  {(first + i) * 8:04x}  index {first + i:>4}  {d}")

    @staticmethod
    def one(sel):
        """A selector and its descriptor, taken apart."""
        bits = f"{sel:016b}"
        print(f"{sel:04x} = {bits[:13]} {bits[13]} {bits[14:]}  "
              f"index {sel >> 3}, TI {sel >> 2 & 1} ({'LDT' if sel & 4 else 'GDT'}), "
              f"RPL {sel & 3}")
        d = read_descriptor(sel)
        print(f"  {d.high:08x}:{d.low:08x}  {d}")
        if d.segment and d.present:
            print(f"  base {d.base:08x}  G {d.high >> 23 & 1}  D/B {d.high >> 22 & 1}  "
                  f"P {d.high >> 15 & 1}  DPL {d.dpl}  S 1  type {d.type:04b}  "
                  f"last offset {d.limit:08x}")


class Idt(Command):
    """idt [FIRST [LAST]]: the real IDT's gates; `idt guest [VECTOR]`: the guest's trap table.

Without arguments the gates that differ from the rule "interrupt gate, DPL 0" are listed: those are
the ones a guest can use with `int n`. The guest's table is what set_trap_table gave: where the
hypervisor bounces each exception to."""

    name = "idt"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "idt [FIRST [LAST]] | idt guest [VECTOR]", 0, 2)
        need_hypervisor()
        if words and words[0] == "guest":
            self.guest(to_number(words[1]) if len(words) > 1 else None)
            return
        first = to_number(words[0]) if words else 0
        last = to_number(words[-1]) if words else 255
        base = int(this_cpu()["idt"])
        print(f"IDT at {base:08x}")
        for vector in range(first, min(last, 255) + 1):
            gate = decode.Descriptor(*struct.unpack("<II", memory(base + vector * 8, 8)))
            if words or gate.dpl or gate.type != 14:
                print(f"  {vector:02x}  {decode.vector_name(vector):<16} {gate} "
                      f"{symbol(gate.target[1])}")

    @staticmethod
    def guest(wanted):
        """struct trap_info: vector, flags (DPL in bits 0-1, bit 2: mask events), cs, address."""
        v = current()
        if is_idle(v):
            raise gdb.GdbError("No guest runs now.")
        print(f"trap table of {vcpu_name(v)}")
        for vector in range(256) if wanted is None else [wanted]:
            t = v["traps"][vector]
            address, flags = int(t["address"]), int(t["flags"])
            if address or wanted is not None:
                print(f"  {vector:02x}  {decode.vector_name(vector):<16} DPL {flags & 3}"
                      f"{', masks events' if flags & 4 else ''} to {int(t['cs']):04x}:"
                      f"{address:08x} {symbol(address)}")


# --- memory --------------------------------------------------------------------------------------

FRAME_TYPES = {0: "none", 1: "L1", 2: "L2", 3: "L3", 5: "descriptor table", 7: "writable"}


def describe_frame(mfn):
    """One line on a frame: owner, counts, type."""
    if mfn >= int(value("max_frame")):
        return "beyond the frame table"
    f = gdb.Value(CONFIG["FRAME_TABLE_START"]).cast(
        gdb.lookup_type("struct frame").pointer())[mfn]
    count, kind = int(f["count_info"]), int(f["type_info"])
    owner = int(f["owner"])
    names = {1023: "nobody", 0x7ff2 & 1023: "the hypervisor", 0x7ff1 & 1023: "no memory (I/O)"}
    flags = [name for bit, name in ((0x80000000, "allocated"), (0x40000000, "hypervisor heap"),
                                    (0x20000000, "free")) if count & bit]
    flags += [name for bit, name in ((0x10000000, "pinned"), (0x08000000, "validated"),
                                     (0x04000000, "partial"), (0x02000000, "top"),
                                     (0x00400000, "bare"), (0x00200000, "in the run"))
              if kind & bit]
    return (f"owner {names.get(owner, f'domain slot {owner}')}, {count & 0x03ffffff} references, "
            f"type {FRAME_TYPES.get(kind >> 29, 'reserved')} x {kind & 0x1fffff}"
            + "".join(f", {flag}" for flag in flags))


class FrameMfn(Command):
    """frame mfn MFN: what the frame table knows of a machine frame, and its pfn by the M2P.

Owner, references, type and type count: a frame changes its type only at type count zero
(include/ringlet/frame.h). `mfn MFN` is the same, shorter. (gdb's own `frame` still selects stack
frames.)"""

    name = "frame mfn"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "frame mfn MFN", 1, 1)
        need_hypervisor()
        mfn = to_number(words[0])
        print(f"mfn {mfn:#x}: {describe_frame(mfn)}")
        if mfn < int(value("max_frame")):
            pfn, = struct.unpack("<I", memory(CONFIG["M2P_START"] + 4 * mfn, 4))
            print("  M2P: none" if pfn == 0xffffffff else f"  M2P: pfn {pfn:#x}")


class Mfn(FrameMfn):
    """mfn MFN: short for `frame mfn MFN`."""

    name = "mfn"


class PageWalk(Command):
    """pagewalk VA [CR3]: the translation of a linear address, level by level, and the final frame.

The tables are those CR3 names now: this processor's copy of the guest's four L3 entries, then the
guest's own L2 and L1 (direct paging: they hold machine frames). Each frame is looked up in the
frame table."""

    name = "pagewalk"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "pagewalk VA [CR3]", 1, 2)
        if not number("$cr0") & CR0_PG:
            raise gdb.GdbError("Paging is off: linear addresses are machine addresses.")
        va = to_number(words[0])
        table = (to_number(words[1]) if len(words) > 1 else number("$cr3")) & ~31
        print(f"{va:08x}: L3 slot {va >> 30}, L2 slot {va >> 21 & 511}, "
              f"L1 slot {va >> 12 & 511}, offset {va & 0xfff:03x}")
        steps = ((3, va >> 30), (2, va >> 21 & 511), (1, va >> 12 & 511))
        for level, slot in steps:
            entry = physical_entry(table + slot * 8)
            table = entry & 0x000ffffffffff000
            print(f"  L{level}[{slot}] = {entry:016x}  {self.flags(level, entry)}"
                  f"{self.owner(table >> 12) if entry & 1 else ''}")
            if not entry & 1:
                print("  not mapped")
                return
            if level == 2 and entry & 0x80:
                table = (table & ~0x1fffff) | (va & 0x1ff000)
                break
        print(f"  machine address {table | va & 0xfff:#x}; {self.reach(va)}")

    @staticmethod
    def flags(level, entry):
        """L3 entries of PAE have few flags: 4.4.1."""
        return ("P" if entry & 1 else "not present") if level == 3 else decode.pte(entry)

    @staticmethod
    def owner(mfn):
        """The frame-table entry of the frame named, once there is one."""
        return f"; {describe_frame(mfn)}" if hypervisor_runs() else ""

    @staticmethod
    def reach(va):
        """Whose address it is: by the segment limit, not by paging."""
        if va < CONFIG["HYPERVISOR_START"]:
            return "the guest's part"
        if va < CONFIG["GUEST_SEGMENT_END"]:
            return "the read-only M2P, which guests may read"
        return "the hypervisor's part: beyond every guest segment's limit"


# --- events --------------------------------------------------------------------------------------

STATES = ("free", "reserved", "unbound", "interdomain", "pirq", "virq", "ipi")


class Evtchn(Command):
    """evtchn [DOMAIN]: a domain's event channels: port, what it is bound to, pending, masked."""

    name = "evtchn"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "evtchn [DOMAIN]", 0, 1)
        need_hypervisor()
        d = find_domain(words[0] if words else None)
        table = d["evtchn"]
        fifo = int(table["fifo"]) != 0
        print(f"event channels of domain {int(d['id'])}: {int(table['valid_ports'])} ports, "
              f"{'FIFO' if fifo else '2-level'} ABI")
        for port in range(int(table["valid_ports"])):
            e = table["buckets"][port // 128][port % 128]
            if int(e["state"]):
                state = self.word(table["fifo"], port) if fifo else self.bits(d, port)
                print(f"  {port:>5}  {self.binding(e):<28} vcpu {int(e['vcpu'])}  {state}")

    @staticmethod
    def binding(e):
        """What the port stands for."""
        state, u = STATES[int(e["state"])], e["u"]
        if state == "unbound":
            return f"unbound, for domain {int(u['unbound']['remote'])}"
        if state == "interdomain":
            return (f"domain {int(u['interdomain']['remote'])} "
                    f"port {int(u['interdomain']['port'])}")
        if state in ("virq", "pirq"):
            return f"{state} {int(u[state])}"
        return state

    @staticmethod
    def bits(domain, port):
        """2-level ABI: the two bitmaps of shared_info that the guest sees."""
        shared = domain["shared_info"].dereference()
        words = {name: int(shared["evtchn_" + name][port // 32]) for name in ("pending", "mask")}
        return ", ".join(f"{name} {word >> port % 32 & 1}" for name, word in words.items())

    @staticmethod
    def word(fifo, port):
        """FIFO ABI: the event word in the page the guest gave (evtchn/fifo/fifo.c)."""
        if port // 1024 >= int(fifo["nr_pages"]):
            return "no event word yet"
        page = int(fifo["pages"][port // 1024]) << 12
        word, = physical_words(page + port % 1024 * 4, 1)
        return f"pending {word >> 31}, mask {word >> 30 & 1}, linked {word >> 29 & 1}"


# --- frames on the stack -------------------------------------------------------------------------

def print_regs(regs):
    """A struct cpu_user_regs."""
    def reg(name):
        return int(regs[name]) & 0xffffffff

    cs, eip, flags = reg("cs"), reg("eip"), reg("eflags")
    vector, error = reg("entry_vector") & 0xff, reg("error_code")
    print(f"    vector {vector:02x} {decode.vector_name(vector)}"
          + (f", error code {error:04x} ({decode.error_code(vector, error)})"
             if vector in decode.WITH_ERROR_CODE else ""))
    print(f"    cs:eip {cs:04x}:{eip:08x} {symbol(eip)}  (ring {cs & 3})")
    print(f"    eflags {flags:08x}  ({decode.eflags(flags)})")
    if cs & 3:
        print(f"    ss:esp {reg('ss'):04x}:{reg('esp'):08x}  ds {reg('ds'):04x}  "
              f"es {reg('es'):04x}")
    else:
        print("    no ss:esp: ring 0 was interrupted in ring 0")
    print("    " + "  ".join(f"{name} {reg(name):08x}" for name in ("eax", "ebx", "ecx", "edx")))
    print("    " + "  ".join(f"{name} {reg(name):08x}" for name in ("esi", "edi", "ebp")))


class TrapFrame(Command):
    """trapframe [ADDRESS]: a trap frame, decoded.

In ring 0 without an address: the registers of the guest as saved at the top of the hypervisor's
stack (cpu_info.guest_regs; arch/i386/entry.S draws them). With an address: a struct cpu_user_regs
there. In ring 1, as on the first instruction of a trap handler: the bounce frame at esp, as the
hypervisor wrote it, lowest word first."""

    name = "trapframe"

    def invoke(self, argument, from_tty):
        words = arguments(argument, "trapframe [ADDRESS]", 0, 1)
        if words:
            kind = gdb.lookup_type("struct cpu_user_regs").pointer()
            print_regs(gdb.Value(to_number(words[0])).cast(kind).dereference())
            return
        need_hypervisor()
        if ring() == 0:
            print(f"the guest's registers at {int(cpu_info()['guest_regs'].address):08x}, "
                  f"vcpu {vcpu_name(current())}")
            print_regs(cpu_info()["guest_regs"])
            return
        self.bounce()

    @staticmethod
    def bounce():
        """The frame at the guest's stack pointer, if eip is where a vector leads."""
        eip, esp = number("$eip"), number("$esp")
        v = current()
        vector = [i for i in range(256) if int(v["traps"][i]["address"]) == eip]
        if not vector and eip != int(v["event_eip"]):
            raise gdb.GdbError("This is not the first instruction of a handler in the guest's "
                               "trap table: give the address of a struct cpu_user_regs.")
        kind = vector[0] if vector else -1
        print(f"bounce frame at {esp:08x}, "
              + (f"vector {kind:02x} {decode.vector_name(kind)}" if vector else "event callback"))
        words = struct.unpack("<6I", memory(esp, 24))
        for i, (name, word) in enumerate(decode.frame_fields(words, kind, ring())):
            print(f"  {esp + 4 * i:08x}  {word:08x}  {name:<10} {TrapFrame.note(name, word, kind)}")

    @staticmethod
    def note(name, word, vector):
        """What a word of the frame says."""
        if name == "cs":
            return (f"{decode.selector(word)}; upcall mask before it: {word >> 16 & 0xff}")
        if name == "ss":
            return decode.selector(word)
        if name == "eip":
            return symbol(word)
        if name == "eflags":
            return decode.eflags(word) + ", IF being the inverse of the mask"
        return decode.error_code(vector, word) if name == "error code" else ""


class Frames(Command):
    """frames: the top of the stack as words with symbols: a frame, seen from a stub."""

    name = "frames"
    kind = gdb.COMMAND_STACK

    def invoke(self, argument, from_tty):
        arguments(argument, "frames")
        gdb.execute("x/24wa $esp")


# --- symbols of guests ---------------------------------------------------------------------------

def load_segments(path):
    """(address, bytes) of the executable segments of an ELF32 file."""
    with open(path, "rb") as image:
        data = image.read()
    if data[:5] != b"\x7fELF\x01":
        return []
    offset, size, count = (struct.unpack_from("<I", data, 28)[0],
                           *struct.unpack_from("<HH", data, 42))
    headers = [struct.unpack_from("<8I", data, offset + i * size) for i in range(count)]
    return [(h[2], data[h[1]:h[1] + h[4]]) for h in headers if h[0] == 1 and h[6] & 1]


def runs_here(path):
    """Whether this file's code lies in memory where it is linked: twelve samples must agree.

    The first pages are left out: the hypercall page is among them, which the hypervisor writes.
    """
    segments = load_segments(path)
    if not segments:
        return False
    address, code = max(segments, key=lambda segment: len(segment[1]))
    first = min(3 * CONFIG["PAGE_SIZE"], len(code) // 2)
    for i in range(12):
        at = first + (len(code) - first) * i // 12
        sample = code[at:at + 64]
        try:
            if memory(address + at, len(sample)) != sample:
                return False
        except gdb.error:
            return False
    return True


def guest_files():
    """The guests that this tree built."""
    folder = os.path.join(TOP, "build", "guests")
    if not os.path.isdir(folder):
        return []
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                  if name.endswith(".elf"))


class GuestSymbols(Command):
    """guest-symbols [NAME | FILE | off]: the symbols of a guest.

Without a name: those of the guest that runs, found by comparing the code in its memory with
build/guests/*.elf and the files named so far. That happens by itself, too, at every stop where
another domain runs than at the last. NAME is a guest in build/guests, FILE any other (a vmlinux).
All guests here are linked at the same address, so only one guest's symbols are loaded at a time;
`off` takes them away and stops looking."""

    name = "guest-symbols"
    kind = gdb.COMMAND_FILES

    def __init__(self):
        super().__init__()
        self.loaded = None
        self.named = []
        self.automatic = True
        self.domain = None

    def invoke(self, argument, from_tty):
        words = arguments(argument, "guest-symbols [NAME | FILE | off]", 0, 1)
        self.automatic = words != ["off"]
        if not words:
            need_hypervisor()
            self.domain = None
            self.look()
            print(f"guest symbols: {self.loaded or 'no file in build/guests is what runs'}")
            return
        self.unload()
        if words[0] != "off":
            path = words[0] if os.path.exists(words[0]) else \
                os.path.join(TOP, "build", "guests", words[0] + ".elf")
            self.load(path)
            self.named.append(path)

    def load(self, path):
        """Adds a file's symbols."""
        if not os.path.exists(path):
            raise gdb.GdbError(f"There is no {path}.")
        gdb.execute(f"add-symbol-file {path}", to_string=True)
        self.loaded = path

    def unload(self):
        """Takes the last guest's symbols away."""
        if self.loaded:
            address = load_segments(self.loaded)[0][0]
            gdb.execute(f"remove-symbol-file -a {address:#x}", to_string=True)
            self.loaded = None

    def look(self):
        """Loads the symbols of the guest that runs, if it is another than before."""
        if not hypervisor_runs() or is_idle(current()):
            return
        domain = int(current()["domain"])
        if domain == self.domain:
            return
        self.domain = domain
        if self.loaded and runs_here(self.loaded):
            return
        for path in self.named + guest_files():
            if runs_here(path):
                self.unload()
                self.load(path)
                return

    def at_stop(self, _event):
        """gdb calls this at every stop."""
        if self.automatic:
            try:
                self.look()
            except gdb.error:
                self.domain = None


class Ringlet(gdb.Command):
    """Commands for a debugger's view of Ringlet. Each has a `help` of its own.

  domains                every domain: state, memory, vcpus
  vcpu [DOMAIN [VCPU]]   a vcpu: registers, callbacks, page tables, event state
  ring                   the ring that runs, every selector decoded
  gdt [SELECTOR]         descriptors; one of them bit by bit
  idt [FIRST [LAST]]     the real IDT; `idt guest [VECTOR]`: the guest's trap table
  pagewalk VA [CR3]      a translation level by level, each frame's owner and type
  frame mfn MFN          a frame of machine memory; also `mfn MFN`
  evtchn [DOMAIN]        event channels
  trapframe [ADDRESS]    the guest's saved registers, or the bounce frame in ring 1
  frames                 the top of the stack with symbols
  guest-symbols [NAME]   symbols of the guest that runs, or of the one named

Where to stop: `hbreak hypercall_entry`, `hbreak do_trap`, `hbreak iret_to_guest` are the doors
between the rings; `hbreak command_cli` is in the toy, in ring 1. `hbreak FUNCTION if COND` works
too, for example `hbreak do_trap if regs->entry_vector == 13`."""

    def __init__(self):
        super().__init__("ringlet", gdb.COMMAND_SUPPORT)

    def invoke(self, argument, from_tty):
        gdb.execute("help ringlet")


for command in (Domains, Vcpu, Ring, Gdt, Idt, FrameMfn, Mfn, PageWalk, Evtchn, TrapFrame, Frames,
                Ringlet):
    command()
gdb.events.stop.connect(GuestSymbols().at_stop)

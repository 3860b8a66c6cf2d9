"""How threads wait for each other in native code: a while in a short loop, then with their core offered to others."""

from __future__ import annotations

import sys

from tinyseq.compiler.lower.llvm.ir.builder import IRModule
from tinyseq.compiler.lower.llvm.runtime.host import Host

#: Where in a barrier's integers it says that nobody need wait there any more.
ABANDONED = 16
#: Turns of waiting at a barrier before a thread offers its core.
_PATIENCE = 2000
#: Turns that a thread stays awake for more work, each with an offer: some tenths of a millisecond.
_LINGERING = 400


def write_barrier(module: IRModule, of: Host) -> None:
    """Write ``barrier(ptr, threads)``: how many have come, how often all have, and whether some will never come."""
    f = module.function("barrier", ["ptr %barrier", "i64 %threads"])
    f.lines += f"""
  %alone = icmp ult i64 %threads, 2
  br i1 %alone, label %out, label %arrive
arrive:
  %generation = getelementptr i64, ptr %barrier, i64 8
  %now = load atomic i64, ptr %generation acquire, align 8
  %before = atomicrmw add ptr %barrier, i64 1 acq_rel
  %here = add i64 %before, 1
  %last = icmp eq i64 %here, %threads
  br i1 %last, label %release, label %wait
release:
  store atomic i64 0, ptr %barrier monotonic, align 8
  %next = add i64 %now, 1
  store atomic i64 %next, ptr %generation release, align 8
  br label %out
wait:
  %turn = phi i64 [0, %arrive], [%more, %again]
  %seen = load atomic i64, ptr %generation acquire, align 8
  %open = icmp ne i64 %seen, %now
  br i1 %open, label %out, label %pause
pause:
  %more = add i64 %turn, 1
  %long = icmp ugt i64 %more, {_PATIENCE}
  br i1 %long, label %offer, label %short
offer:
  {_offer(module)}
  %word = getelementptr i64, ptr %barrier, i64 {ABANDONED}
  %abandoned = load atomic i64, ptr %word acquire, align 8
  %over = icmp ne i64 %abandoned, 0
  br i1 %over, label %out, label %again
short:
  {_pause(module, of)}
  br label %again
again:
  br label %wait
out:
  ret void""".splitlines()[1:]


def lingering(of: Host) -> str:
    """Return a module with ``linger(ptr, value)``: wait for some time that the integer is another than ``value``.

    A thread that sleeps between two segments takes up to a tenth of a millisecond to wake up, on a virtual machine.
    """
    module = IRModule(of.attributes)
    f = module.function("linger", ["ptr %place", "i64 %value"], linkage="")
    f.lines += f"""
  br label %wait
wait:
  %turn = phi i64 [0, %entry], [%more, %again]
  %seen = load atomic i64, ptr %place acquire, align 8
  %changed = icmp ne i64 %seen, %value
  %more = add i64 %turn, 1
  %long = icmp ugt i64 %more, {_LINGERING}
  %over = or i1 %changed, %long
  br i1 %over, label %out, label %again
again:
  {_offer(module)}
  {_pause(module, of)}
  {_pause(module, of)}
  {_pause(module, of)}
  {_pause(module, of)}
  br label %wait
out:
  ret void""".splitlines()[1:]
    return str(module)


def _offer(module: IRModule) -> str:
    return f"call i32 @{module.declare('SwitchToThread' if sys.platform == 'win32' else 'sched_yield', 'i32 ()')}()"


def _pause(module: IRModule, of: Host) -> str:
    """Tell the processor that it is waiting."""
    machine = of.triple.split("-")[0]
    if machine in ("arm64", "aarch64"):
        return f"call void @{module.declare('llvm.aarch64.hint', 'void (i32)')}(i32 1)"
    if machine in ("x86_64", "i686"):
        return f"call void @{module.declare('llvm.x86.sse2.pause', 'void ()')}()"
    return "fence seq_cst"

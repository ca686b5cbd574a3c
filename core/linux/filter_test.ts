import { assert, assertEquals } from "@std/assert";
import { type Architecture, callNumber, CALLS, driverFilter } from "./filter.ts";

const ALLOWED = 0x7fff0000;
const REFUSED = 0x00050001;
const KILLED = 0x80000000;
const PID = 4711;
const PASS = [0x12345678, 0x9abcdef0] as const;
const ARCH: Readonly<Record<Architecture, number>> = { x86_64: 0xc000003e, aarch64: 0xc00000b7 };
const ARCHITECTURES: readonly Architecture[] = ["x86_64", "aarch64"];

/** What the kernel would make of a call: runs the program over a `struct seccomp_data`. */
function judge(
  architecture: Architecture,
  call: string | number,
  args: readonly number[] = [],
  arch = ARCH[architecture],
): number {
  const bytes = driverFilter({ architecture, pid: PID, granted: [5, 9], pass: PASS });
  const program = new DataView(bytes.buffer);
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, typeof call === "number" ? call : callNumber(call, architecture), true);
  data.setUint32(4, arch, true);
  args.forEach((arg, i) => data.setBigUint64(16 + 8 * i, BigInt.asUintN(64, BigInt(arg)), true));
  let accumulator = 0;
  for (let at = 0; at < bytes.length; at += 8) {
    const value = program.getUint32(at + 4, true);
    const skip = (yes: boolean) => at += 8 * program.getUint8(at + (yes ? 2 : 3));
    switch (program.getUint16(at, true)) {
      case 0x20:
        accumulator = data.getUint32(value, true);
        break;
      case 0x15:
        skip(accumulator === value);
        break;
      case 0x35:
        skip(accumulator >= value);
        break;
      case 0x06:
        return value;
      default:
        throw new Error(`what is instruction ${at / 8}?`);
    }
  }
  throw new Error("it has no end");
}

for (const architecture of ARCHITECTURES) {
  Deno.test(`filter: nothing is opened, started, connected or signalled (${architecture}) #core:filter`, () => {
    // By their numbers: the filter does not know them.
    const refused: Readonly<Record<string, readonly [number, number]>> = {
      open: [2, -1],
      openat: [257, 56],
      openat2: [437, 437],
      creat: [85, -1],
      socket: [41, 198],
      connect: [42, 203],
      bind: [49, 200],
      listen: [50, 201],
      accept4: [288, 242],
      sendmsg: [46, 211],
      recvmsg: [47, 212],
      execve: [59, 221],
      execveat: [322, 281],
      fork: [57, -1],
      clone: [56, 220],
      clone3: [435, 435],
      kill: [62, 129],
      pidfd_open: [434, 434],
      pidfd_getfd: [438, 438],
      ptrace: [101, 117],
      process_vm_readv: [310, 270],
      process_vm_writev: [311, 271],
      unshare: [272, 97],
      setns: [308, 268],
      mount: [165, 40],
      bpf: [321, 280],
      keyctl: [250, 219],
      io_uring_setup: [425, 425],
      perf_event_open: [298, 241],
      memfd_create: [319, 279],
      userfaultfd: [323, 282],
      dup: [32, 23],
      dup3: [292, 24],
      ioctl: [16, 29],
      pwrite64: [18, 68],
      sendfile: [40, 71],
      splice: [275, 76],
      setuid: [105, 146],
      seccomp: [317, 277],
      aCallOfTomorrow: [999, 999],
    };
    const column = architecture === "x86_64" ? 0 : 1;
    for (const [name, numbers] of Object.entries(refused)) {
      if (numbers[column]! >= 0) assertEquals(judge(architecture, numbers[column]!), REFUSED, name);
    }
    assertEquals(judge(architecture, "rt_sigprocmask"), ALLOWED);
  });

  Deno.test(`filter: a granted descriptor answers to the pass alone (${architecture}) #core:pass`, () => {
    for (const call of ["read", "write"]) {
      for (const fd of [5, 8]) {
        assertEquals(judge(architecture, call, [fd, 0, 8, ...PASS]), ALLOWED);
        assertEquals(judge(architecture, call, [fd, 0, 8, PASS[0], 0]), REFUSED);
        assertEquals(judge(architecture, call, [fd, 0, 8, 0, PASS[1]]), REFUSED);
        assertEquals(judge(architecture, call, [fd, 0, 8]), REFUSED);
      }
      for (const fd of [0, 2, 4, 9, 200]) {
        assertEquals(judge(architecture, call, [fd, 0, 8]), ALLOWED);
      }
    }
    for (const call of ["readv", "writev", "close", "fstat", "lseek", "fcntl", "recvfrom"]) {
      assertEquals(judge(architecture, call, [5, 3, 0, ...PASS]), REFUSED, call);
      assertEquals(judge(architecture, call, [4, 3]), ALLOWED, call);
    }
    assertEquals(judge(architecture, "epoll_ctl", [10, 1, 8]), REFUSED);
    assertEquals(judge(architecture, "epoll_ctl", [10, 1, 11]), ALLOWED);
    assertEquals(judge(architecture, "sendto", [6, 0, 1]), REFUSED);
  });

  Deno.test(`filter: what may be done only in one way is done in no other (${architecture}) #core:filter`, () => {
    const cases: readonly (readonly [string, readonly number[], readonly number[]])[] = [
      ["mmap", [0, 4096, 3, 0x22, -1, 0], [0, 4096, 3, 1, 10, 0]],
      ["tgkill", [PID, PID, 6], [1, 1, 9]],
      ["prctl", [0x53564d41], [4, 1]],
      ["prlimit64", [0, 7, 0, 4096], [0, 7, 4096, 0]],
      ["prlimit64", [0, 7, 0], [0, 7, 2 ** 40]],
      ["fcntl", [20, 4, 2048], [20, 8, 1]],
      ["socketpair", [1, 1], [2, 1]],
      ["sendto", [13, 0, 1, 0, 0], [13, 0, 1, 0, 4096]],
    ];
    for (const [call, well, ill] of cases) {
      assertEquals(
        [judge(architecture, call, well), judge(architecture, call, ill)],
        [ALLOWED, REFUSED],
        call,
      );
    }
  });
}

Deno.test("filter: calls of another architecture end the process, those of x32 are refused #core:filter", () => {
  for (const architecture of ARCHITECTURES) {
    assertEquals(judge(architecture, "getpid", [], 0x40000003), KILLED);
    assertEquals(judge(architecture, "getpid"), ALLOWED);
  }
  assertEquals(judge("x86_64", callNumber("getpid", "x86_64") | 0x40000000), REFUSED);
});

Deno.test("filter: no number stands twice", () => {
  for (const architecture of ARCHITECTURES) {
    const numbers = Object.keys(CALLS).map((name) => callNumber(name, architecture)).filter((n) =>
      n >= 0
    );
    assertEquals(new Set(numbers).size, numbers.length);
    assert(numbers.length > 40);
  }
});

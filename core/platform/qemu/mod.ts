// QEMU as a machine without a guest: its devices over qtest.

import { close, writeAll } from "../../linux/fd.ts";
import { findProgram } from "../../linux/file.ts";
import { memoryFile } from "../../linux/memory.ts";
import { pollAsync, POLLIN } from "../../linux/poll.ts";
import { socketPair } from "../../linux/socket.ts";
import type { Loop } from "../../irq/interrupt_loop.ts";
import { assign, reassign, type Windows } from "../../pci/assign.ts";
import {
  COMMAND,
  COMMAND_MEMORY,
  DEVICE_ID,
  HEADER_TYPE,
  HEADER_TYPE_DEVICE,
  HEADER_TYPE_LAYOUT,
  VENDOR_ID,
} from "../../pci/config_space.ts";
import { type BusFunction, enumerate, flatten } from "../../pci/enumerate.ts";
import { saveHeader } from "../../pci/saved_header.ts";
import type { Platform } from "../platform.ts";
import { configPorts } from "./config_ports.ts";
import { type Machine, qemuFunction } from "./function.ts";
import { guestMemory } from "./guest_memory.ts";
import { BOARDS, interruptPins } from "./interrupt_pins.ts";
import { interrupts, MOST_VECTORS } from "./interrupts.ts";
import { DEADLINE, type Lines, openLines, PATIENCE } from "./lines.ts";
import { QemuGone, type QemuProcess, startQemu } from "./process.ts";
import { openQmp, type Qmp } from "./qmp.ts";
import { DOORBELLS, openQtest } from "./qtest.ts";

export { QemuGone };
export { type Qmp, QmpError, type QmpEvent } from "./qmp.ts";

/** What machine QEMU is to be. */
export interface QemuParts {
  /** The board: PCI Express (`"q35"`, the default) or conventional PCI (`"pc"`). */
  readonly machine?: "q35" | "pc";
  /** RAM in MiB, 16 to 2047; 256 if not given. All DMA memory comes from it. */
  readonly memory?: number;
  /** Devices and what is behind them: arguments that QEMU gets as they are. */
  readonly arguments: readonly string[];
  /** More drives that live in memory: zero at first, and gone with the machine. */
  readonly drives?: readonly MemoryDrive[];
  /** The program; `qemu-system-x86_64` if not given. */
  readonly program?: string;
}

/** A drive of QEMU in memory. */
export interface MemoryDrive {
  /** How large it is. */
  readonly bytes: number;
  /** The device that shows it: what QEMU's `-device` takes, without the drive. */
  readonly device: string;
}

/** A QEMU of our own as hardware. */
export interface QemuPlatform extends Platform {
  /** QEMU's control interface. */
  readonly qmp: Qmp;
  /** QEMU's process id. */
  readonly pid: number;
  /** Looks whether QEMU has ended: the error that everything throws from now on, or undefined. */
  gone(): QemuGone | undefined;
}

/** What a board has by itself. */
interface BoardParts {
  /** The name of bus 0. */
  readonly bus: string;
  /** I/O ports for BARs. */
  readonly io: Windows["io"];
}

/**
 * The devices of the ISA bus are below 0x1000 on both boards; the PIIX of the older one has its power management, with
 * what is plugged by ACPI, at 0xae00 and 0xb100 (QEMU, hw/acpi/piix4.c), that of the newer one is where firmware puts it,
 * which we do not.
 */
const BOARD_PARTS: Readonly<Record<"q35" | "pc", BoardParts>> = {
  q35: { bus: "pcie.0", io: [{ start: 0x1000, end: 0x10000 }] },
  pc: { bus: "pci.0", io: [{ start: 0xc000, end: 0x10000 }, { start: 0x1000, end: 0xa000 }] },
};

/** Where BARs go: RAM ends below 2 GiB, the fixed devices of a PC begin at 0xfec00000; no RAM is above 4 GiB. */
const MEMORY: Omit<Windows, "io"> = {
  memory: { start: 0x8000_0000, end: 0xfe00_0000 },
  prefetchable: { start: 2 ** 36, end: 2 ** 46 },
};

const MIB = 1 << 20;
const QUMRANET_VENDOR = 0x1af4;
const IVSHMEM_DEVICE = 0x1110;
/** How long QEMU gets to write its images back when it is asked to quit, in milliseconds. */
const QUIT = 2000;
/** What a machine is given that is to be moved to another QEMU. */
const MASTER = "ivshmem-doorbell.master=on";

/**
 * Starts QEMU as hardware without a guest: its processor sleeps, and we are the driver of its devices. It ends with
 * the platform, with this thread, and leaves nothing in the file system.
 *
 * @param loop Waits for the interrupt pins of devices without MSI-X; without it such devices can only be polled.
 * @throws {QemuGone} If QEMU does not start; its own message is in the error.
 * @throws If the program is missing or too old, or an option is out of range.
 */
export async function openQemu(options: QemuParts, loop?: Loop): Promise<QemuPlatform> {
  const { machine: board = "q35", memory: mebibytes = 256, program = "qemu-system-x86_64" } =
    options;
  if (!Number.isInteger(mebibytes) || mebibytes < 16 || mebibytes > 2047) {
    throw new RangeError(`Cannot give QEMU ${mebibytes} MiB of memory: it takes 16 to 2047`);
  }
  const path = findProgram(program);
  if (path === undefined) {
    throw new Error(
      `Cannot start QEMU: there is no ${program} in PATH; install the package qemu-system-x86`,
    );
  }

  await using starting = new AsyncDisposableStack();
  const memory = starting.use(guestMemory(mebibytes * MIB));
  const vectors = starting.use(interrupts(options.arguments.includes(MASTER)));
  const [qtestSocket, qtestEnd] = socketPair();
  starting.defer(() => close(qtestSocket));
  const [qmpSocket, qmpEnd] = socketPair();
  starting.defer(() => close(qmpSocket));
  const firmware = parkedFirmware();
  const { bus, io } = BOARD_PARTS[board];
  const { drives = [] } = options;
  const disks = drives.map(({ bytes }) => memoryFile("virtio-disk", bytes));

  const inherited = [qtestEnd, qmpEnd, vectors.socket, memory.fd, firmware, ...disks];
  const [qtestFd, qmpFd, ivshmemFd, memoryFd, firmwareFd, ...diskFds] = inherited.map((_, i) =>
    3 + i
  );
  let qemu: QemuProcess;
  try {
    qemu = startQemu(path, [
      ...["-nodefaults", "-no-user-config", "-display", "none"],
      ...["-m", `${mebibytes}`, "-bios", `/proc/self/fd/${firmwareFd}`],
      "-object",
      `memory-backend-file,id=virtio-ram,size=${mebibytes}M,share=on,mem-path=/proc/self/fd/${memoryFd}`,
      // The timer would only wake the sleeping processor, and VMware's port is among those for BARs.
      ...["-machine", `${board},accel=tcg,memory-backend=virtio-ram,pit=off,vmport=off`],
      ...["-chardev", `socket,id=virtio-qtest,fd=${qtestFd}`],
      ...["-object", "qtest,id=virtio-qtest-server,chardev=virtio-qtest,log=none"],
      ...["-chardev", `socket,id=virtio-qmp,fd=${qmpFd}`],
      // Not -mon: QEMU 11.1 warns of it, and what it names instead is not known before.
      ...["-qmp", "chardev:virtio-qmp"],
      ...options.arguments,
      ...diskFds.flatMap((fd, i) => memoryDrive(fd, i, drives[i]!.device)),
      // Last, so that the caller's devices get the first slots; and on bus 0, whichever other buses there are.
      ...["-chardev", `socket,id=virtio-ivshmem,fd=${ivshmemFd}`],
      ...["-device", `ivshmem-doorbell,chardev=virtio-ivshmem,vectors=${MOST_VECTORS},bus=${bus}`],
    ], inherited);
  } finally {
    for (const fd of [qtestEnd, qmpEnd, vectors.socket, firmware, ...disks]) close(fd);
  }
  let patience = 0;
  starting.defer(() => qemu.close(patience));

  const qmpLines = openLines("QMP", qmpSocket, qemu, DEADLINE);
  const qmp = await greet(qemu, qmpSocket, qmpLines);
  const qtest = openQtest(openLines("qtest", qtestSocket, qemu, PATIENCE), qemu);

  const config = configPorts(qtest);
  const tree = enumerate(config, rootBuses(qmp));
  const all = flatten(tree);
  // The last one on bus 0, should the caller have brought an ivshmem device too.
  const ivshmem = all.findLast((found) => found.address.bus === 0 && isIvshmem(found))!;
  const assignment = assign(tree, { io, ...MEMORY }, ivshmem);
  const bars = (found: BusFunction) => assignment.get(found) ?? [];
  ivshmem.config.write16(COMMAND, COMMAND_MEMORY);
  await vectors.connect(qtest, bars(ivshmem).find(({ index }) => index === 0)!.address!);

  const pins = loop &&
    interruptPins({ qemu, qtest, qtestSocket, loop, tree, config, board: BOARDS[board] });
  // Should a function still listen to its pin when all is closed.
  if (loop) starting.defer(() => loop.remove(qtestSocket));
  // From bus 0 on, as they must be restored too.
  const bridges = all.filter(({ behind }) => behind).map((found) => saveHeader(found.config));
  const machine: Machine = {
    qemu,
    qtest,
    qtestSocket,
    memory,
    interrupts: vectors,
    credits: Math.max(1, Math.min(32, Math.floor(DOORBELLS / all.filter(isEndpoint).length))),
    pins,
    restore() {
      if (ivshmem.config.read16(COMMAND) & COMMAND_MEMORY) return; // a reset turns everything off
      for (const restore of bridges) restore();
      reassign(ivshmem.config, bars(ivshmem));
      ivshmem.config.write16(COMMAND, COMMAND_MEMORY);
      pins?.restore();
    },
  };

  const stack = starting.move();
  return {
    kind: "qemu",
    description: `QEMU ${qmp.version.join(".")} ${board}`,
    functions: all.map((found) =>
      qemuFunction(
        machine,
        found,
        bars(found),
        found === ivshmem ? "it carries the interrupts of the other functions" : undefined,
      )
    ),
    qmp,
    pid: qemu.pid,
    gone: qemu.gone,
    end: { fd: qemu.pidfd, reason: () => qemu.gone()?.message ?? "QEMU ended" },
    async [Symbol.asyncDispose]() {
      try {
        // Asked to quit, QEMU writes back what its image formats have not written yet.
        qmpLines.send(new TextEncoder().encode('{"execute":"quit"}\n'));
        patience = QUIT;
      } catch {
        // It is gone already, which is all that is wanted.
      }
      await stack.disposeAsync();
    },
  };
}

/** The buses that no bridge leads to: bus 0, and those of expander bridges, whose numbers only QEMU knows. */
function rootBuses(qmp: Qmp): number[] {
  const roots = qmp.execute("query-pci") as readonly { readonly bus: number }[];
  return roots.map(({ bus }) => bus).sort((a, b) => a - b);
}

/**
 * Firmware that puts the processor to sleep for good: it starts 16 bytes below the end, and finds "no interrupts,
 * halt, and should that ever return, halt again".
 */
function parkedFirmware(): number {
  const code = new Uint8Array(65536).fill(0xf4);
  code.set([0xfa, 0xf4, 0xeb, 0xfd], code.length - 16);
  const fd = memoryFile("virtio-firmware", code.length);
  writeAll(fd, code);
  return fd;
}

/** A drive in the file that QEMU has as descriptor `fd`. No other program can open it, so there is nothing to lock. */
function memoryDrive(fd: number, i: number, device: string): string[] {
  const id = `virtio-disk${i}`;
  return [
    "-blockdev",
    `driver=file,filename=/proc/self/fd/${fd},locking=off,node-name=${id}`,
    ...["-device", `${device},drive=${id},serial=MEMORY-${i + 1}`],
  ];
}

/** Waits for QEMU's greeting, without blocking this thread, and for its devices to be there. */
async function greet(qemu: QemuProcess, socket: number, lines: Lines): Promise<Qmp> {
  const tooOld = "this program takes QEMU 7.0 or later";
  const either = new Int32Array([socket, POLLIN, qemu.pidfd, POLLIN]);
  const ready = await pollAsync(either, 2, DEADLINE);
  if (ready === 0) throw qemu.fail(`it did not start within ${DEADLINE / 1000} s`, 0);
  try {
    const qmp = openQmp(lines);
    if (qmp.version[0] >= 7) return qmp;
    throw new Error(`Cannot use QEMU ${qmp.version.join(".")}: ${tooOld}`);
  } catch (error) {
    if (!(error instanceof QemuGone)) throw error;
    const what = /(type:|value) '?qtest/.test(error.lastWords)
      ? `it did not start, because ${tooOld}`
      : "it did not start";
    throw new QemuGone(what, error.pid, error.exit, error.lastWords);
  }
}

function isEndpoint({ config }: BusFunction): boolean {
  return (config.read8(HEADER_TYPE) & HEADER_TYPE_LAYOUT) === HEADER_TYPE_DEVICE;
}

function isIvshmem({ config }: BusFunction): boolean {
  return config.read16(VENDOR_ID) === QUMRANET_VENDOR &&
    config.read16(DEVICE_ID) === IVSHMEM_DEVICE;
}

import { DiskModel } from "@virtio/blk/model";
import { serveVfioUser } from "../../serve/vfio_user.ts";
import { ask } from "../../simulation/ask.ts";
import { type LieId, lying } from "../../simulation/hostile.ts";
import { bootSector, efiDisk } from "../../tests/support/boot_disk.ts";
import { Shell } from "../guest/shell.ts";
import { NOTHING, trimmed, type Verdict } from "./verdict.ts";

const MIB = 2 ** 20;
const STARTED = "STARTED-FROM-DISK";

/** Firmware that starts a program from a disk. */
export interface Firmware {
  /** Its name. */
  readonly name: string;
  /** QEMU's arguments in place of a kernel. */
  readonly arguments: readonly string[];
  /** Board and options. */
  readonly machine: string;
  /** What it says when it has given the disk up. */
  readonly givesUp: RegExp;
  /** How long it may take, in milliseconds. */
  readonly deadline: number;
  /** What stands on the disk. */
  disk(): Uint8Array;
}

/** The BIOS of QEMU's PCs. */
export const SEABIOS: Firmware = {
  name: "SeaBIOS",
  arguments: [],
  machine: "q35,graphics=off",
  givesUp: /No bootable device|Boot failed/,
  deadline: 25_000,
  disk: () => bootSector(STARTED),
};

/** EDK2's UEFI firmware. */
export const OVMF: Firmware = {
  name: "OVMF",
  arguments: [
    "-drive",
    "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
  ],
  machine: "q35",
  givesUp: /No bootable option|Interactive Shell|BdsDxe: failed to (load|start)/,
  deadline: 60_000,
  disk: () => efiDisk(STARTED, 8 * MIB),
};

/**
 * Has firmware meet a disk that tells one lie.
 *
 * @param patience How many times the usual it may take.
 */
export async function meetFirmware(
  qemu: string,
  firmware: Firmware,
  id: LieId,
  patience: number,
): Promise<Verdict> {
  const honest = new DiskModel({ capacity: 8 * MIB });
  const content = firmware.disk();
  const request = new Uint8Array(16 + content.length);
  request[0] = 1; // OUT
  request.set(content, 16);
  ask(honest, request, 1);
  const folder = Deno.makeTempDirSync({ prefix: "virtio-guests-" });
  try {
    await using server = serveVfioUser({ disk: lying(honest, id) }, folder, { log: () => {} });
    const socket = { type: "unix", path: server.sockets.disk };
    const starting = Shell.start({
      qemu,
      machine: firmware.machine,
      instead: firmware.arguments,
      devices: ["-device", JSON.stringify({ driver: "vfio-user-pci", id: "disk", socket })],
    });
    // What QEMU itself makes of it stands elsewhere.
    await using shell = await starting.catch(() => undefined);
    if (!shell) return NOTHING;
    const deadline = firmware.deadline * patience;
    const wanted = new RegExp(`${STARTED}|${firmware.givesUp.source}`);
    try {
      const at = await shell.waitFor(wanted, deadline);
      const line = shell.console[at] ?? "";
      if (line.includes(STARTED)) return { outcome: "PASS", said: "" };
      return { outcome: "REFUSED", said: trimmed(wanted.exec(line)?.input.slice(-100) ?? "") };
    } catch {
      if (shell.ended) return { outcome: "CRASH", said: trimmed(await shell.errors) };
      return { outcome: "WEDGED", said: `nothing within ${deadline / 1000} s` };
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * Disks behind a SCSI adapter of QEMU for tests.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { ScsiAddress } from "../../classes/scsi/address.ts";
import type { ScsiChange } from "../../classes/scsi/event.ts";
import { differsAt } from "./qemu.ts";

/** A SCSI disk on a raw file of its own, which goes with the test. Its adapter is called `scsi`. */
export class ScsiFileDisk implements Disposable {
  /** Its name in QEMU. */
  readonly id: string;
  /** Path of the file. */
  readonly file: string;
  /** What should stand on it. */
  readonly wanted: Uint8Array<ArrayBuffer>;
  /** Where it is. */
  readonly address: ScsiAddress;
  readonly #kind: string;
  readonly #options: string;

  /**
   * @param options For QEMU's device; begins with a comma, unless empty.
   * @param kind QEMU's device.
   */
  constructor(
    id: string,
    capacity: number,
    address: ScsiAddress,
    options = "",
    kind: "scsi-hd" | "scsi-cd" = "scsi-hd",
  ) {
    this.id = id;
    this.address = address;
    this.file = Deno.makeTempFileSync({ prefix: "virtio-disk-" });
    Deno.truncateSync(this.file, capacity);
    this.wanted = new Uint8Array(capacity);
    this.#options = options;
    this.#kind = kind;
  }

  /** For QEMU. */
  get arguments(): readonly string[] {
    const { target, lun } = this.address;
    const readOnly = this.#kind === "scsi-cd" ? ",read-only=on" : "";
    const cached = "driver=file,discard=unmap";
    return [
      ...["-blockdev", `${cached},filename=${this.file},node-name=${this.id}-node${readOnly}`],
      "-device",
      `${this.#kind},id=${this.id},drive=${this.id}-node,bus=scsi.0,scsi-id=${target},lun=${lun}` +
      this.#options,
    ];
  }

  /** Says where the file is not what it should be: the index of the first such byte, or -1. */
  differsAt(): number {
    return differsAt(Deno.readFileSync(this.file), this.wanted);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.file);
  }
}

/** The next event of that kind; fails if there is none soon. */
export async function nextEvent<K extends ScsiChange["type"]>(
  events: AsyncIterator<ScsiChange>,
  type: K,
): Promise<Extract<ScsiChange, { type: K }>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, 60_000));
  try {
    for (;;) {
      const next = await Promise.race([events.next(), late]);
      assert(next, `there is no event ${type}`);
      assert(!next.done, `the events end before ${type}`);
      if (next.value.type === type) return next.value as Extract<ScsiChange, { type: K }>;
    }
  } finally {
    clearTimeout(timer);
  }
}

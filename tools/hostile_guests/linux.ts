import { DiskModel } from "@virtio/blk/model";
import { serveVfioUser } from "../../serve/vfio_user.ts";
import { type LieId, lying } from "../../simulation/hostile.ts";
import { GuestStuck, Shell } from "../guest/shell.ts";
import type { SmallImage } from "../guest/small_image.ts";
import { crashLine, NOTHING, tellingLine, trimmed, type Verdict } from "./verdict.ts";

/** Ports for hot-plugged devices in one guest: QEMU 11.1 ends where one with MSI-X is taken out. */
const PORTS = 12;
/** How long QEMU may take to take a device in, in milliseconds. */
const TAKE_IN = 12_000;
/** How long the guest may take to find the device, and then to write and read, in seconds. */
const FIND = 8, USE = 15;
/** Beyond that, the guest itself is stuck. */
const STUCK = 90_000;

/**
 * Waits for a new disk, then writes and reads it past the cache, and says how far that came. What is stuck in the kernel
 * cannot be killed, so all of it is done in the background. Kernel threads have "W" behind their
 * state, and one that waits in a loop is awake now and then.
 */
function useIt(patience: number): string {
  return `for i in $(seq ${
    10 * FIND * patience
  }); do d=$(ls /sys/block | grep vd | grep -vxFf /tmp/old); [ "$d" ] && break; sleep 0.1; done;
rm -f /tmp/end; [ "$d" ] && (
  dd if=/dev/urandom of=/tmp/a bs=4k count=32; dd if=/tmp/a of=/dev/$d bs=4k oflag=direct &&
  dd if=/dev/$d of=/tmp/b bs=4k count=32 iflag=direct &&
  { cmp /tmp/a /tmp/b && echo SAME || echo OTHER; } || echo ERROR ) >/tmp/end 2>&1 &
[ "$d" ] && for i in $(seq ${
    10 * USE * patience
  }); do grep -qE "SAME|OTHER|ERROR" /tmp/end 2>/dev/null && break; sleep 0.1; done;
d=$(ls /sys/block | grep vd | grep -vxFf /tmp/old); ls /sys/block | grep vd >>/tmp/old;
echo "DISK=$d"; tail -n 1 /tmp/end; for i in $(seq 10); do ps -o pid,stat,comm | grep " D[W<N]* "; sleep 0.03; done; dmesg -c`
    .replaceAll("\n", " ");
}

/** What QEMU and Linux make of one lie. */
export interface Met {
  readonly qemu: Verdict;
  readonly linux: Verdict;
}

/** Linux guests, one after the other, that meet one lying disk after the other. */
export class LinuxGuests implements AsyncDisposable {
  readonly #qemu: string;
  readonly #image: SmallImage;
  readonly #folder = Deno.makeTempDirSync({ prefix: "virtio-guests-" });
  #shell: Shell | undefined;
  /** What serves the disks that the guest has met: they stay while it does. */
  #served = new AsyncDisposableStack();
  #ports = 0;

  /** Guests of this QEMU, with this kernel. */
  constructor(qemu: string, image: SmallImage) {
    this.#qemu = qemu;
    this.#image = image;
  }

  /**
   * Has the guest meet a disk that tells one lie.
   *
   * @param patience How many times the usual that may take; more than once in a guest of its own.
   */
  async meet(id: LieId, patience: number): Promise<Met> {
    if (patience > 1) await this.#forget();
    const shell = await this.#guest();
    const disk = lying(new DiskModel({ capacity: 2 ** 22, serial: id }), id);
    const server = this.#served.use(serveVfioUser({ [id]: disk }, this.#folder, { log: () => {} }));
    try {
      const qemu = await this.#takeIn(shell, id, server.sockets[id]!, TAKE_IN * patience);
      if (qemu.outcome !== "PASS") {
        if (qemu.outcome !== "REFUSED") await this.#forget();
        return { qemu, linux: NOTHING };
      }
      const linux = await this.#use(shell, patience);
      // What is stuck in one driver stops the next, and what gives up without a word may be stuck.
      if (linux.outcome !== "PASS" && (linux.outcome !== "REFUSED" || linux.said === "")) {
        await this.#forget();
      }
      return { qemu, linux };
    } catch (error) {
      await this.#forget();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#forget();
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #guest(): Promise<Shell> {
    if (this.#shell && this.#ports < PORTS) return this.#shell;
    await this.#forget();
    const ports = Array.from({ length: PORTS }, (_, i) => [
      "-device",
      `pcie-root-port,id=port${i},chassis=${i},slot=${i},addr=${(i + 1).toString(16)}`,
    ]);
    this.#shell = await Shell.boot({
      qemu: this.#qemu,
      image: this.#image,
      devices: ports.flat(),
    });
    await this.#shell.run("echo none >/tmp/old; dmesg -c >/dev/null");
    this.#ports = 0;
    return this.#shell;
  }

  async #forget(): Promise<void> {
    await this.#shell?.[Symbol.asyncDispose]();
    this.#shell = undefined;
    await this.#served.disposeAsync();
    this.#served = new AsyncDisposableStack();
  }

  async #takeIn(
    shell: Shell,
    id: string,
    path: string,
    deadline: number,
  ): Promise<Verdict> {
    const add = shell.execute("device_add", {
      driver: "vfio-user-pci",
      id: id.toLowerCase(),
      bus: `port${this.#ports++}`,
      socket: { type: "unix", path },
    });
    const over = Promise.withResolvers<"late">();
    const timer = setTimeout(() => over.resolve("late"), deadline);
    try {
      const answer = await Promise.race([add, over.promise]);
      if (answer !== "late") return { outcome: "PASS", said: "" };
      add.catch(() => {}); // it ends with QEMU
      return late(deadline);
    } catch (error) {
      if (error instanceof Deno.errors.TimedOut) return late(deadline);
      const [, refusal] = /^QEMU refused: (.*)/.exec((error as Error).message) ?? [];
      if (refusal !== undefined) return { outcome: "REFUSED", said: trimmed(refusal) };
      return { outcome: "CRASH", said: await lastWords(shell) };
    } finally {
      clearTimeout(timer);
    }
  }

  async #use(shell: Shell, patience: number): Promise<Verdict> {
    const seen = shell.console.length;
    try {
      const { text } = await shell.try(useIt(patience), STUCK * patience);
      const lines = text.split("\n");
      const crash = crashLine(lines);
      if (crash) return { outcome: "CRASH", said: crash };
      const said = tellingLine(lines);
      const end = lines.find((line) => /^(SAME|OTHER|ERROR)$/.test(line));
      if (end === "SAME") return { outcome: "PASS", said };
      if (end !== undefined) return { outcome: "REFUSED", said: said || `dd says ${end}` };
      const found = lines.some((line) => /^DISK=vd/.test(line));
      const stuck = lines.some((line) => /^\s*\d+ D/.test(line));
      return { outcome: found || stuck ? "WEDGED" : "REFUSED", said };
    } catch (error) {
      if (!(error instanceof GuestStuck)) throw error;
      const lines = shell.console.slice(seen);
      const crash = crashLine(lines);
      if (crash) return { outcome: "CRASH", said: crash };
      if (!shell.ended) return { outcome: "WEDGED", said: tellingLine(lines) || "the whole guest" };
      return { outcome: "CRASH", said: await lastWords(shell) };
    }
  }
}

/** QEMU took no device in. */
function late(deadline: number): Verdict {
  return { outcome: "WEDGED", said: `no answer within ${deadline / 1000} s` };
}

/** What QEMU said when it ended. */
async function lastWords(shell: Shell): Promise<string> {
  return trimmed((await shell.errors).trim().split("\n").at(-1) ?? "");
}

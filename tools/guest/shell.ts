/**
 * A small Linux guest in a QEMU, as a shell: lines go in, what they print comes out, each with a deadline.
 *
 * @module
 */

import { lines } from "./lines.ts";
import { Qmp, type QmpEvent } from "./qmp.ts";
import { openSmallImage, type SmallImage } from "./small_image.ts";

/** How long things may take, in milliseconds: many times what they take on an idle machine. */
const START = 60_000, BOOT = 120_000, LINE = 60_000, END = 20_000;
/** Lines of the console that are kept. */
const MOST_LINES = 2000;

/** A guest did not come so far. Its message has the last lines of its console. */
export class GuestStuck extends Error {
  /** Tells the error apart. */
  override readonly name = "GuestStuck";
}

/** What a guest is booted with. */
export interface ShellOptions {
  /** The QEMU, a path or a name. */
  readonly qemu: string;
  /** Its board and options; `"q35"` if left out. */
  readonly machine?: string;
  /** Bytes of memory, in MiB; 256 if left out. */
  readonly memory?: number;
  /** What the memory, `ram`, is made of; a memfd that is shared if left out. */
  readonly backend?: readonly string[];
  /** QEMU's arguments for the devices, and what else there is. */
  readonly devices?: readonly string[];
  /** Its kernel; that of the system's own suite if left out. */
  readonly image?: SmallImage;
  /** More of the kernel's command line. */
  readonly kernel?: string;
  /** Kernel modules that are loaded at the start; those of VirtIO if left out. */
  readonly modules?: readonly string[];
  /** Arguments in place of those for kernel and memory, for a guest that is no Linux of ours. */
  readonly instead?: readonly string[];
}

const MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "virtio_scsi", "sd_mod"];

/** A guest that runs. Disposing it ends it. */
export class Shell implements AsyncDisposable {
  readonly #qemu: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #errors: Promise<string>;
  readonly #heard: Promise<void>;
  readonly #lines: string[] = [];
  readonly #events: QmpEvent[] = [];
  #monitor: Qmp | undefined;
  #forgotten = 0;
  #news = Promise.withResolvers<void>();
  #ended = false;

  private constructor(qemu: Deno.ChildProcess) {
    this.#qemu = qemu;
    this.#input = qemu.stdin.getWriter();
    this.#errors = new Response(qemu.stderr).text();
    this.#heard = this.#hear();
  }

  /**
   * Starts QEMU, and waits until the shell is there.
   *
   * @throws {GuestStuck} If that takes too long.
   * @throws {Unavailable} If there is no image here.
   */
  static async boot(options: ShellOptions): Promise<Shell> {
    const shell = await Shell.start(options);
    try {
      await shell.waitFor(/^@@READY/, BOOT);
      return shell;
    } catch (error) {
      await shell[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts QEMU, and waits for its monitor only: for devices that QEMU or a guest may not get over. */
  static async start(options: ShellOptions): Promise<Shell> {
    const folder = await Deno.makeTempDir({ prefix: "virtio-shell-" });
    try {
      const path = `${folder}/qmp.sock`;
      using listener = Deno.listen({ transport: "unix", path });
      const [program, ...args] = await command(options);
      const qemu = new Deno.Command(program!, {
        args: [...args, "-qmp", `unix:${path}`],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const shell = new Shell(qemu);
      try {
        await shell.#connect(listener);
        return shell;
      } catch (error) {
        await shell[Symbol.asyncDispose]();
        throw error;
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }

  /** QEMU's process id. */
  get pid(): number {
    return this.#qemu.pid;
  }

  /** What its console has said, the last lines. */
  get console(): readonly string[] {
    return this.#lines;
  }

  /** What happened in QEMU, by name. */
  get events(): readonly string[] {
    return this.#events.map(({ event }) => event);
  }

  /** Whether QEMU has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What QEMU said on its standard error, once it has ended. */
  get errors(): Promise<string> {
    return this.#errors;
  }

  /**
   * Runs a line in the guest's shell.
   *
   * @returns What it printed.
   * @throws If it fails, with what it printed.
   * @throws {GuestStuck} If it does not end within so many milliseconds.
   */
  async run(line: string, deadline = LINE): Promise<string> {
    const { status, text } = await this.try(line, deadline);
    if (status !== 0) throw new Error(`${line}: exit status ${status}\n${text}`);
    return text;
  }

  /** Likewise, of a line that may fail. */
  async try(line: string, deadline = LINE): Promise<{ status: number; text: string }> {
    const from = this.#place();
    await this.say(line);
    const end = await this.waitFor(/@@RC=\d+/, deadline, from);
    const text = this.#lines.slice(from - this.#forgotten, end - this.#forgotten);
    // What does not end its line has the status behind it.
    const [, rest, status] = /^(.*)@@RC=(\d+)/.exec(this.#lines[end - this.#forgotten]!)!;
    return { status: Number(status), text: [...text, ...rest ? [rest] : []].join("\n") };
  }

  /** Types a line, whatever comes of it. */
  async say(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Where the next line of the console will be. */
  #place(): number {
    return this.#forgotten + this.#lines.length;
  }

  /**
   * Waits for a line of the console.
   *
   * @param from The first that counts; the oldest that is kept if left out.
   * @returns Its number.
   * @throws {GuestStuck} If it does not come within so many milliseconds, or QEMU ends.
   */
  async waitFor(wanted: RegExp, deadline = LINE, from = 0): Promise<number> {
    const late = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      late.resolve();
    }, deadline);
    try {
      for (let next = Math.max(from, this.#forgotten);;) {
        for (; next < this.#place(); next++) {
          if (wanted.test(this.#lines[next - this.#forgotten] ?? "")) return next;
        }
        if (isLate || this.#ended) {
          const why = isLate ? `did not say ${wanted} within ${deadline / 1000} s` : "has ended";
          throw new GuestStuck(`The guest ${why}; its last lines:\n${this.#tail()}`);
        }
        await Promise.race([this.#news.promise, late.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Has the guest start anew, and waits for its shell. */
  async reboot(): Promise<void> {
    const from = this.#place();
    await this.say("reboot -f");
    await this.waitFor(/^@@READY/, BOOT, from);
  }

  /** Gives QEMU a command of its control interface. */
  execute(command: string, args: object = {}): Promise<unknown> {
    return this.#monitor!.execute({ execute: command, arguments: args });
  }

  /** Waits until something has happened in QEMU as often as `times`. */
  async event(name: string, times = 1, deadline = LINE): Promise<void> {
    const limit = performance.now() + deadline;
    while (this.events.filter((event) => event === name).length < times) {
      if (this.#ended || performance.now() > limit) {
        throw new GuestStuck(`QEMU does not say ${name}; the guest's last lines:\n${this.#tail()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Turns the guest off, and waits for QEMU's end. */
  async powerOff(): Promise<void> {
    await this.say("poweroff -f");
    const timer = setTimeout(() => this.#kill(), END);
    await this.#qemu.status;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.#qemu.status;
    await this.#heard;
    await this.#errors;
    await this.#input.close().catch(() => {});
    await this.#monitor?.[Symbol.asyncDispose]();
  }

  async #connect(listener: Deno.UnixListener): Promise<void> {
    const timer = setTimeout(() => this.#kill(), START);
    try {
      const accepting = listener.accept();
      const connection = await Promise.race([accepting, this.#qemu.status]);
      if (!("readable" in connection)) {
        accepting.catch(() => {}); // it ends with the listener
        throw new GuestStuck(`QEMU ended: ${(await this.#errors).trim()}`);
      }
      this.#monitor = await Qmp.open(connection, (event) => this.#events.push(event));
    } finally {
      clearTimeout(timer);
    }
  }

  async #hear(): Promise<void> {
    for await (const line of lines(this.#qemu.stdout)) {
      this.#lines.push(line);
      if (this.#lines.length > MOST_LINES) {
        this.#lines.shift();
        this.#forgotten++;
      }
      this.#tell();
    }
    this.#ended = true;
    this.#tell();
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  #tail(): string {
    return this.#lines.slice(-30).join("\n");
  }

  #kill(): void {
    try {
      this.#qemu.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

async function command(options: ShellOptions): Promise<string[]> {
  const { qemu, machine = "q35", memory = 256, devices = [], kernel = "" } = options;
  const { modules = MODULES, instead } = options;
  const memfd = ["-object", `memory-backend-memfd,id=ram,size=${memory}M,share=on`];
  const own = async () => {
    const image = options.image ?? await openSmallImage();
    const line = `console=ttyS0 loglevel=4 panic=-1 mitigations=off no_timer_check ${kernel} ` +
      `"modules=${modules.join(" ")}"`;
    return ["-kernel", image.kernel, "-initrd", image.initrd, "-append", line];
  };
  return [
    // setpriv, so that QEMU never outlives this program.
    ...["setpriv", "--pdeathsig", "KILL", qemu],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", `${machine},accel=tcg,memory-backend=ram`, "-cpu", "Nehalem,+rdrand"],
    ...["-m", `${memory}M`, ...options.backend ?? memfd],
    ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
    ...instead ?? await own(),
    ...devices,
  ];
}

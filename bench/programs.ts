/**
 * Programs of the benchmark, and on which processors they run: the device apart from the driver, so that no scheduler's
 * mood is measured.
 *
 * @module
 */

import type { Isolation } from "../mod.ts";

/** A program that was pinned sees one processor only: what it starts hears of the others by this variable. */
const VARIABLE = "VIRTIO_BENCH_PROCESSORS";
const COUNT = Number(Deno.env.get(VARIABLE) ?? navigator.hardwareConcurrency);
Deno.env.set(VARIABLE, String(COUNT));

/** The processor of devices, which is theirs alone: some of them never sleep. */
export const DEVICE = COUNT - 1;
/** That of drivers, and of an application whose driver runs inline. */
export const DRIVER = 0;
/** That of an application whose driver is a process: its own if there are three, else the driver's. */
export const APPLICATION = COUNT > 2 ? 1 : DRIVER;

/** How long a program may take to listen, in milliseconds. */
const PATIENCE = 60_000;

/** The processor of an application. */
export function applicationOf(isolation: Isolation): number {
  return isolation === "inline" ? DRIVER : APPLICATION;
}

/** The command, on one processor. It ends with the process that starts it, however that ends. */
export function pinned(processor: number, command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", `${processor}`, ...command];
}

/** Moves all threads of a process that runs. */
export async function pin(processor: number, pid: number): Promise<void> {
  const args = ["-apc", `${processor}`, `${pid}`];
  await new Deno.Command("taskset", { args, stdout: "null", stderr: "null" }).output();
}

/** Runs a module with these arguments. */
export function deno(
  [module, ...args]: readonly string[],
  v8Flags: readonly string[] = [],
): string[] {
  const flags = v8Flags.length > 0 ? [`--v8-flags=${v8Flags.join()}`] : [];
  return [Deno.execPath(), "run", "-A", "--no-prompt", ...flags, module!, ...args];
}

/** A program that serves; disposing it ends it. */
export class Service implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  /** What it has said so far. */
  said = "";
  readonly #heard: Promise<unknown>;

  /** Starts it. */
  constructor(processor: number, command: readonly string[]) {
    const [program, ...args] = pinned(processor, command);
    this.#child = new Deno.Command(program!, {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const hear = async (stream: ReadableStream<Uint8Array>) => {
      for await (const bytes of stream) this.said += new TextDecoder().decode(bytes);
    };
    this.#heard = Promise.all([hear(this.#child.stdout), hear(this.#child.stderr)]);
  }

  /** Its process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Types a line. */
  async tell(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${line}\n`));
  }

  /**
   * Waits until something is so.
   *
   * @throws {Error} If it never is, with the last line that the program said.
   */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!condition()) {
      if (performance.now() > deadline) {
        throw new Error(`no ${what}: ${this.said.trim().split("\n").at(-1)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Waits until it listens at a Unix socket. */
  async listening(socket: string): Promise<this> {
    await this.until(`socket ${socket}`, () => isThere(socket));
    return this;
  }

  /** Ends it at once. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#stdin.close().catch(() => {});
    await Promise.all([this.#child.status, this.#heard]);
  }
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** A disk without content at a socket: reads of it cost next to nothing. */
export async function nullDisk(socket: string): Promise<Service> {
  const disk = new Service(DEVICE, [
    "qemu-storage-daemon",
    ...["--blockdev", NULL_DISK],
    "--export",
    `type=vhost-user-blk,id=disk,addr.type=unix,addr.path=${socket},node-name=n0,writable=on`,
  ]);
  return await disk.listening(socket);
}

/** What a disk without content is to QEMU. */
export const NULL_DISK = "driver=null-co,size=1073741824,read-zeroes=off,node-name=n0";

/** The command, with {@linkcode nullDisk} at the socket as long as it runs. */
export function withNullDisk(socket: string, command: readonly string[]): string[] {
  return deno([import.meta.filename!, socket, ...command]);
}

if (import.meta.main) {
  const [socket, program, ...args] = Deno.args;
  await using _disk = await nullDisk(socket!);
  await new Deno.Command(program!, { args }).spawn().status;
}

/**
 * Programs that serve devices by vhost-user: our own, QEMU's storage daemon and DPDK's testpmd.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { AnyDevice } from "../../mod.ts";
import { unpacked } from "../../tools/unpacked.ts";
import { alive, soon } from "./leaks.ts";
import { listening } from "./listening.ts";
import { program, Running } from "./program.ts";

/** How long a program may take to start, in milliseconds. */
const PATIENCE = 30_000;

/** A folder with sockets in it. Disposing it takes it away. */
export class Folder implements Disposable {
  /** Its path. */
  readonly path = Deno.makeTempDirSync();

  /** The path of a file in it. */
  of(name: string): string {
    return `${this.path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Waits until a program listens at a path. */
export async function listens(socket: string): Promise<void> {
  assert(await soon(() => listening(socket), PATIENCE), `nothing listens at ${socket}`);
}

/** One of our models, served by a program of its own. */
export async function served(
  model: string,
  socket: string,
  ...more: readonly string[]
): Promise<Running> {
  const running = new Running([
    ...[Deno.execPath(), "run", "-A", program().at(-1)!],
    ...["serve", model, "--vhost-user", socket, ...more],
  ]);
  await listens(socket);
  return running;
}

/** The device passes the check of its class. */
export async function passes({ check }: Pick<AnyDevice, "check">): Promise<void> {
  const { findings, nothing = false } = await check!({ write: true });
  assertEquals(findings.filter(({ passed }) => !passed), []);
  assert(!nothing && findings.length > 0);
}

/** Takes away what a program that was killed has left at the path of its socket. */
export function forget(socket: string): void {
  try {
    Deno.removeSync(socket);
  } catch {
    // There was none before.
  }
}

/** A program that serves a device. Disposing it kills it. */
abstract class BackEndProgram implements AsyncDisposable {
  protected readonly child: Deno.ChildProcess;

  constructor(child: Deno.ChildProcess) {
    this.child = child;
  }

  /** Its process. */
  get pid(): number {
    return this.child.pid;
  }

  /** Ends it as the kernel ends one that is out of memory. */
  async kill(): Promise<void> {
    if (alive(this.pid)) this.child.kill("SIGKILL");
    await this.child.status;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

/** A version of the storage daemon. */
export interface DaemonProgram {
  /** `"7.2"`. */
  readonly version: string;
  /** Path of the program, or its name. */
  readonly program: string;
}

/** The storage daemons that are there: the system's, and those that `deno task prepare` fetched. */
export const DAEMONS: readonly DaemonProgram[] = [
  "qemu-storage-daemon",
  unpacked("storage-daemon-10"),
  unpacked("storage-daemon-11"),
].flatMap((program) => {
  const version = program === undefined ? undefined : versionOf(program);
  return version === undefined ? [] : [{ program: program!, version }];
});

function versionOf(program: string): string | undefined {
  try {
    const { stdout } = new Deno.Command(program, { args: ["--version"] }).outputSync();
    return /version (\d+\.\d+)/.exec(new TextDecoder().decode(stdout))?.[1];
  } catch {
    return undefined; // there is none
  }
}

/** Why no test can run on any of them; undefined if one can. */
export const withoutDaemon: string | undefined = DAEMONS.length > 0
  ? undefined
  : "there is no qemu-storage-daemon (package qemu-utils)";

/** What a storage daemon serves. */
export interface DaemonOptions {
  /** The path of its socket. */
  readonly socket: string;
  /** Its disk, as `driver=…`, or the path of a raw file. */
  readonly disk: string;
  /** The program; the first of {@linkcode DAEMONS} if left out. */
  readonly program?: string;
  /** Queues; 1 if left out. */
  readonly queues?: number;
  /** Whether it may be written; true if left out. */
  readonly writable?: boolean;
  /** More arguments. */
  readonly arguments?: readonly string[];
}

/** QEMU's storage daemon with one disk. */
export class StorageDaemon extends BackEndProgram {
  /** Starts it. What was left at the path of its socket is taken away. */
  static async start(
    {
      socket,
      disk,
      program = DAEMONS[0]!.program,
      queues = 1,
      writable = true,
      arguments: more = [],
    }: DaemonOptions,
  ): Promise<StorageDaemon> {
    forget(socket);
    const node = disk.startsWith("driver=") ? disk : `driver=file,filename=${disk}`;
    const export_ = "type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix" +
      `,addr.path=${socket},num-queues=${queues},writable=${writable ? "on" : "off"}`;
    const child = new Deno.Command(program, {
      args: ["--blockdev", `${node},node-name=disk`, "--export", export_, ...more],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const daemon = new StorageDaemon(child);
    await listens(socket);
    return daemon;
  }
}

/** virtiofsd; undefined where it was not fetched. */
export const VIRTIOFSD: string | undefined = unpacked("virtiofsd");

/** Why no test can run on it. */
export const withoutVirtiofsd: string | undefined = VIRTIOFSD === undefined
  ? "there is no virtiofsd (deno task prepare fetches one)"
  : undefined;

/** virtiofsd with a folder; it ends with its first connection. */
export class Virtiofsd extends BackEndProgram {
  /** Starts it. */
  static async start(socket: string, folder: string): Promise<Virtiofsd> {
    const child = new Deno.Command(VIRTIOFSD!, {
      args: [`--socket-path=${socket}`, `--shared-dir=${folder}`, "--sandbox=none"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const daemon = new Virtiofsd(child);
    await listens(socket);
    return daemon;
  }
}

/** DPDK's testpmd; undefined where it was not fetched. */
export const TESTPMD: string | undefined = unpacked("testpmd");

/** Why no test can run on it. */
export const withoutTestpmd: string | undefined = TESTPMD === undefined
  ? "there is no DPDK testpmd (deno task prepare fetches one)"
  : undefined;

/** What testpmd is to do. */
export interface TestpmdOptions {
  /** The path of its socket. */
  readonly socket: string;
  /** Whether it connects there, and the other side listens; false if left out. */
  readonly connects?: boolean;
  /** Pairs of queues; 1 if left out. */
  readonly pairs?: number;
  /** What it does with frames; `"io"`, which sends each back as it came, if left out. */
  readonly forward?: "io" | "macswap" | "rxonly" | "txonly";
  /** Processors of its two threads: of the one that waits, of the one that polls; any if left out. */
  readonly processors?: readonly [waits: string, polls: string];
  /** More arguments of the network device, each with a comma before it. */
  readonly device?: string;
  /** More arguments of testpmd itself. */
  readonly arguments?: readonly string[];
}

/** DPDK's testpmd as a network card: what it receives, and what it sends, are frames of the card's driver. */
export class Testpmd extends BackEndProgram {
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: Promise<string>;

  private constructor(child: Deno.ChildProcess) {
    super(child);
    this.#input = child.stdin.getWriter();
    this.#output = new Response(child.stdout).text();
  }

  /** Starts it, and waits until it forwards. It polls: one processor is busy from now on. */
  static async start(
    {
      socket,
      connects = false,
      pairs = 1,
      forward = "io",
      processors: [waits, polls] = ["0-1", "0-1"],
      device = "",
      arguments: more = [],
    }: TestpmdOptions,
  ): Promise<Testpmd> {
    if (!connects) forget(socket);
    const vdev = `net_vhost0,iface=${socket},queues=${pairs}${
      connects ? ",client=1" : ""
    }${device}`;
    const child = new Deno.Command(TESTPMD!, {
      args: [
        // No huge pages: the memory that is shared is that of the other side.
        ...["--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry"],
        ...["--lcores", `0@(${waits}),1@(${polls})`, "--vdev", vdev, "--"],
        ...["--interactive", "--auto-start", `--forward-mode=${forward}`],
        ...["--total-num-mbufs=4096", `--rxq=${pairs}`, `--txq=${pairs}`, ...more],
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const testpmd = new Testpmd(child);
    if (!connects) await listens(socket);
    return testpmd;
  }

  /** Ends it as its user does. Returns the frames that it has received and sent, which it only tells then. */
  async quit(): Promise<{ readonly received: number; readonly sent: number }> {
    await this.#input.write(new TextEncoder().encode("quit\n"));
    const text = await this.#output;
    const [, received, sent] =
      /statistics for port 0[\s\S]*?RX-packets: (\d+)[\s\S]*?TX-packets: (\d+)/.exec(text) ?? [];
    assert(received !== undefined && sent !== undefined, `no statistics: ${text}`);
    return { received: Number(received), sent: Number(sent) };
  }

  override async kill(): Promise<void> {
    await super.kill();
    await this.#output;
    await this.#input.close().catch(() => {}); // the pipe may have ended before
  }
}

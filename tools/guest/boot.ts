/**
 * Boots guests in QEMU and listens to them.
 *
 * @module
 */

import { type Accelerator, findAccelerator } from "./accelerator.ts";
import { appEntries } from "./app.ts";
import { cpio } from "./cpio.ts";
import { openImage } from "./image.ts";
import { lines } from "./lines.ts";
import { deviceArguments, DISK_BYTES, type GuestMachine } from "./machine.ts";
import { Qmp } from "./qmp.ts";
import { type Said, understand } from "./report.ts";

const MEMORY_MIB = 1024;
/**
 * Nothing that a test machine does not need. panic=-1 ends QEMU instead of spinning. What the kernel says would tear
 * lines of jobs apart, so init asks for it afterwards.
 */
const COMMAND_LINE = "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off audit=0 " +
  "no_timer_check cryptomgr.notests random.trust_cpu=on";

/** What the guests of a run have in common. */
export class GuestHost implements AsyncDisposable {
  readonly #folder: string;
  readonly #kernel: string;
  readonly #accelerator: Accelerator;

  private constructor(folder: string, kernel: string, accelerator: Accelerator) {
    this.#folder = folder;
    this.#kernel = kernel;
    this.#accelerator = accelerator;
  }

  /**
   * Puts this project as it is into the image, which is built if it is not there yet.
   *
   * @throws {Unavailable} If the image cannot be had here.
   */
  static async open(): Promise<GuestHost> {
    const { kernel, base } = await openImage();
    const accelerator = await findAccelerator();
    const folder = await Deno.makeTempDir({ prefix: "virtio-guest-" });
    const host = new GuestHost(folder, kernel, accelerator);
    await Deno.copyFile(base, host.#path("initrd"));
    const app = ReadableStream.from(cpio(appEntries()));
    await Deno.writeFile(host.#path("initrd"), app, { append: true });
    return host;
  }

  /**
   * Boots a guest that runs jobs, and yields its lines and what they say until it has turned itself off.
   *
   * @param jobs Programs, by their names in `tests/guest`.
   * @param milliseconds The guest is killed if it is not done then.
   */
  async *boot(
    machine: GuestMachine,
    jobs: readonly string[],
    milliseconds: number,
  ): AsyncGenerator<[line: string, said: Said]> {
    const qemu = this.#qemu(machine, jobs, { stdin: "null", stdout: "piped", stderr: "piped" });
    const lastWords = new Response(qemu.stderr).text();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      qemu.kill("SIGKILL");
    }, milliseconds);
    let monitor: Qmp | undefined;
    try {
      for await (const line of lines(qemu.stdout)) {
        const said = understand(line);
        if (said.kind === "monitor") {
          monitor ??= await Qmp.connect(this.#path("monitor"));
          await monitor.execute(said.command);
        }
        yield [line, said];
      }
      const { code } = await qemu.status;
      if (late) throw new Error(`The guest was not done within ${milliseconds / 1000} s`);
      if (code !== 0) throw new Error(`QEMU ended with status ${code}: ${await lastWords}`);
    } finally {
      clearTimeout(timer);
      monitor?.[Symbol.dispose]();
      try {
        qemu.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await qemu.status;
      await lastWords;
    }
  }

  /** Boots a guest with a shell for whoever sits before this terminal. */
  async shell(machine: GuestMachine): Promise<void> {
    const all = "inherit";
    await this.#qemu(machine, [], { stdin: all, stdout: all, stderr: all }).status;
  }

  /** Path of a disk's image, as the last guest left it. */
  disk(id: string): string {
    return this.#path(`${id}.img`);
  }

  /** Forgets everything but the image. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }

  #qemu(
    machine: GuestMachine,
    jobs: readonly string[],
    streams: Pick<Deno.CommandOptions, "stdin" | "stdout" | "stderr">,
  ): Deno.ChildProcess {
    for (const id of machine.disks) {
      Deno.writeFileSync(this.disk(id), new Uint8Array());
      Deno.truncateSync(this.disk(id), DISK_BYTES);
    }
    // setpriv, so that QEMU never outlives this program.
    const args = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...this.#arguments(machine, jobs)];
    return new Deno.Command("setpriv", { args, ...streams }).spawn();
  }

  #arguments(machine: GuestMachine, jobs: readonly string[]): string[] {
    const { name, iommu, disks } = machine;
    const kvm = this.#accelerator === "kvm";
    const command = [COMMAND_LINE, `machine=${name}`, `jobs=${jobs}`];
    if (iommu) command.push("intel_iommu=on");
    return [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-machine", kvm ? "q35,accel=kvm,kernel-irqchip=split" : "q35,accel=tcg"],
      // RDRAND: without it the first Deno waits a second for the kernel's entropy.
      ...["-cpu", kvm ? "host" : "Nehalem,+rdrand", "-smp", "2", "-m", `${MEMORY_MIB}`],
      ...(iommu ? ["-device", "intel-iommu"] : []),
      ...["-kernel", this.#kernel, "-initrd", this.#path("initrd"), "-append", command.join(" ")],
      ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
      ...["-qmp", `unix:${this.#path("monitor")},server=on,wait=off`],
      ...disks.flatMap((id) => [
        "-blockdev",
        `driver=file,filename=${this.disk(id)},node-name=${id}`,
      ]),
      ...deviceArguments(machine),
    ];
  }
}

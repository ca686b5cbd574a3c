/**
 * Boots guests in QEMU and listens to them.
 *
 * @module
 */

import { type Accelerator, findAccelerator } from "./accelerator.ts";
import { appEntries } from "./app.ts";
import { cpio } from "./cpio.ts";
import { Guest, type Patience } from "./guest.ts";
import { openImage } from "./image.ts";
import { deviceArguments, DISK_BYTES, type GuestMachine } from "./machine.ts";
import { type Said, understand } from "./report.ts";

const MEMORY_MIB = 1024;
/**
 * Nothing that a test machine does not need. panic=-1 ends QEMU instead of spinning. What the kernel says would tear
 * lines of jobs apart, so init asks for it afterwards.
 */
const COMMAND_LINE = "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off audit=0 " +
  "no_timer_check cryptomgr.notests random.trust_cpu=on";

/** How long a guest may be silent and a job may take, in seconds: many times what they take on an idle machine. */
const LIMITS: Readonly<Record<Accelerator, { readonly silence: number; readonly job: number }>> = {
  kvm: { silence: 40, job: 120 },
  tcg: { silence: 180, job: 300 },
};

/** Runs guests: what those of one run have in common. */
export class GuestRunner implements AsyncDisposable {
  readonly #folder: string;
  readonly #kernel: string;
  /** How it runs the guests that are booted next. */
  accelerator: Accelerator;

  private constructor(folder: string, kernel: string, accelerator: Accelerator) {
    this.#folder = folder;
    this.#kernel = kernel;
    this.accelerator = accelerator;
  }

  /**
   * Puts this project as it is into the image, which is built if it is not there yet.
   *
   * @throws {Unavailable} If the image cannot be had here.
   */
  static async open(): Promise<GuestRunner> {
    const { kernel, base } = await openImage();
    const accelerator = await findAccelerator();
    const folder = await Deno.makeTempDir({ prefix: "virtio-guest-" });
    const runner = new GuestRunner(folder, kernel, accelerator);
    await Deno.copyFile(base, runner.#path("initrd"));
    const app = ReadableStream.from(cpio(appEntries()));
    await Deno.writeFile(runner.#path("initrd"), app, { append: true });
    return runner;
  }

  /**
   * Boots a guest that runs jobs, and yields its lines and what they say until it has turned itself off.
   *
   * @param jobs Programs, by their names in `tests/guest`.
   * @throws {GuestLost} If it does not come that far.
   */
  async *boot(
    machine: GuestMachine,
    jobs: readonly string[],
  ): AsyncGenerator<[line: string, said: Said]> {
    this.#makeDisks(machine);
    const { silence, job } = LIMITS[this.accelerator];
    const patience: Patience = {
      silence: silence * 1000,
      life: (silence + jobs.length * (job + silence)) * 1000,
    };
    const command = this.#command(machine, jobs);
    await using guest = await Guest.start(command, this.#path("monitor"), patience);
    for await (const line of guest.lines()) {
      const said = understand(line);
      if (said.kind === "beat") continue;
      if (said.kind === "monitor") await guest.execute(said.command);
      yield [line, said];
    }
  }

  /** Boots a guest with a shell for the user of this terminal. */
  async shell(machine: GuestMachine): Promise<void> {
    const all = "inherit";
    this.#makeDisks(machine);
    const [program, ...args] = this.#command(machine, []);
    await new Deno.Command(program!, { args, stdin: all, stdout: all, stderr: all }).spawn().status;
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

  #makeDisks({ disks }: GuestMachine): void {
    for (const id of disks) {
      Deno.writeFileSync(this.disk(id), new Uint8Array());
      Deno.truncateSync(this.disk(id), DISK_BYTES);
    }
  }

  #command(machine: GuestMachine, jobs: readonly string[]): string[] {
    // setpriv, so that QEMU never outlives this program.
    return [
      "setpriv",
      "--pdeathsig",
      "KILL",
      "qemu-system-x86_64",
      ...this.#arguments(machine, jobs),
    ];
  }

  #arguments(machine: GuestMachine, jobs: readonly string[]): string[] {
    const { name, iommu, disks } = machine;
    const kvm = this.accelerator === "kvm";
    const command = [COMMAND_LINE, `machine=${name}`, `jobs=${jobs}`];
    command.push(`limit=${LIMITS[this.accelerator].job}`);
    if (iommu) command.push("intel_iommu=on");
    return [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-machine", kvm ? "q35,accel=kvm,kernel-irqchip=split" : "q35,accel=tcg"],
      // RDRAND: without it the first Deno waits a second for the kernel's entropy.
      ...["-cpu", kvm ? "host" : "Nehalem,+rdrand", "-smp", "2", "-m", `${MEMORY_MIB}`],
      ...(iommu ? ["-device", "intel-iommu"] : []),
      ...["-kernel", this.#kernel, "-initrd", this.#path("initrd"), "-append", command.join(" ")],
      ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
      ...disks.flatMap((id) => [
        "-blockdev",
        `driver=file,filename=${this.disk(id)},node-name=${id}`,
      ]),
      ...deviceArguments(machine),
    ];
  }
}

// The kernel: devices by address and class, attached and detached.

import * as argument from "../bus/arguments.ts";
import type { InterruptLoop, Loop } from "../irq/interrupt_loop.ts";
import { type PciIdentity, readIdentity } from "../pci/identity.ts";
import { NoSuchFunction } from "../platform/no_such_function.ts";
import type { FunctionFacts, PciFunction } from "../pci/function.ts";
import type { Machine, Platform } from "../platform/platform.ts";
import type { DeviceClass } from "../class/define.ts";
import { type Choice, choose } from "../plugin/choose.ts";
import { checkTunables, type Tunables, tunablesFor } from "../plugin/tunables.ts";
import { ApplicationLoop } from "./application_loop.ts";
import { Attachment } from "./attachment.ts";
import type { PluginSource } from "./plugin_source.ts";
import type { AnyDeviceOf, AttachedDevice, Classes, DeviceOf } from "./device.ts";
import { checkDriveOptions } from "./drive_options.ts";
import type { InterruptKind } from "../binding/interrupt_kind.ts";
import type { Trace } from "../trace/trace.ts";
import type { Isolation } from "./driver_host.ts";
import { PATIENCE, type Patience } from "./patience.ts";

/** What a kernel is made of. */
export interface KernelParts<C extends Classes<C> = Classes> {
  /** Its interrupt loop; started here. */
  readonly loop: InterruptLoop;
  /** Its machine. */
  readonly platform: Platform;
  /** The drivers that it may start, in order of preference. */
  readonly drivers: readonly PluginSource[];
  /** The classes of devices that it makes clients of. */
  readonly classes: C;
  /** How long it waits for devices and drivers; as ever if left out. */
  readonly patience?: Patience;
  /** Takes what happens; nothing is told if left out. */
  readonly trace?: Pick<Trace, "device"> | undefined;
  /** Whether drivers count the bytes of their queues; false if left out. */
  readonly counted?: boolean;
  /** Called before a device that is at work is stopped in order; its figures are still there. */
  readonly leaving?: () => Promise<void>;
  /** Closes what the kernel stands on, after all devices have come down. */
  readonly close?: () => Promise<void>;
}

/** How devices are driven. */
export interface DriveOptions {
  /** Where drivers run; `"process"` if left out. */
  readonly isolation?: Isolation;
  /** The best kind of interrupt to use; what a device does not have, or does not take, is passed over. */
  readonly interrupts?: InterruptKind;
  /** Whether to use the legacy registers of transitional devices; false if left out. */
  readonly legacy?: boolean;
  /** Features of ring and transport that stay unused, as a set; none if left out. */
  readonly without?: bigint;
  /**
   * What drivers let their users choose, by the names of driver and tunable, as in `{ "vtnet.csum_disable": true }`;
   * what is left out is as usual. Each driver's `plugin.json` lists its own.
   */
  readonly tunables?: Tunables;
  /**
   * Milliseconds that a request may take before its device counts as hung and is started anew, where the driver says
   * nothing else; 30 000 if left out, 0 for ever.
   */
  readonly requestDeadline?: number;
  /**
   * Milliseconds after which a driver looks at a device that should interrupt all the same, in case it did not; 100 if
   * left out.
   */
  readonly watch?: number;
  /** How often in a minute device and driver are started anew after a failure; 3 if left out. */
  readonly restarts?: number;
  /** Takes the few lines that people should see in any case: a driver that died, memory that is not safe. */
  readonly notice?: (line: string) => void;
  /** Takes the lines that drivers print, a bounded number of them; `log` does if it is left out. */
  readonly print?: (line: string) => void;
  /** Takes lines for people. What it throws is an `error` event of the program. */
  readonly log?: (line: string) => void;
}

/** A PCI function, what it is, and which driver was chosen for it and why. */
export interface Node extends Choice {
  /** The function. */
  readonly function: FunctionFacts;
  /** What it says that it is. */
  readonly identity: PciIdentity;
}

/** A node as the kernel has it: only the kernel takes functions. */
interface OwnNode extends Node {
  readonly function: PciFunction;
}

/** A kernel whatever classes it knows, for functions that take any: the types of clients are not known here. */
export interface AnyKernel extends AsyncDisposable {
  /** As {@linkcode Kernel.nodes}. */
  readonly nodes: readonly Node[];
  /** As {@linkcode Kernel.machine}. */
  readonly machine: Machine;
  /** As {@linkcode Kernel.loop}. */
  readonly loop: Loop;
  /** As {@linkcode Kernel.devices}. */
  readonly devices: readonly AttachedDevice[];
  /** As {@linkcode Kernel.refresh}. */
  refresh(): readonly Node[];
  /** As {@linkcode Kernel.attach}. */
  attach(address: string): Promise<AttachedDevice>;
  /** As {@linkcode Kernel.attachFirst}. */
  attachFirst(name: string): Promise<AttachedDevice>;
}

/**
 * The kernel: knows the functions of one machine and the drivers there are, puts them together, and watches over
 * them.
 */
export class Kernel<C extends Classes<C> = Classes> implements AnyKernel {
  #nodes: readonly OwnNode[] = [];
  readonly #parts: KernelParts<C>;
  readonly #options: DriveOptions;
  readonly #classes: ReadonlyMap<string, DeviceClass>;
  readonly #devices = new Map<string, Attachment>();
  readonly #stack = new AsyncDisposableStack();
  readonly #loop: ApplicationLoop;
  #closed = false;

  /**
   * Takes no device yet.
   *
   * @throws {TunableError} If a tunable is none of the drivers', or has a value that it cannot have.
   * @throws TypeError If an option is of the wrong kind.
   * @throws RangeError If a number among them cannot be.
   */
  constructor(parts: KernelParts<C>, options: DriveOptions = {}) {
    const { loop, platform, close } = parts;
    if (close) this.#stack.defer(close);
    this.#parts = parts;
    this.#classes = new Map(Object.entries(parts.classes));
    this.#options = checkDriveOptions(options, "openKernel");
    this.#loop = new ApplicationLoop(loop);
    checkTunables(options.tunables ?? {}, parts.drivers.map(({ manifest }) => manifest));
    this.#enumerate();
    const { end } = platform;
    if (end) {
      this.#stack.defer(() => loop.remove(end.fd));
      loop.add(end.fd, () => {
        loop.remove(end.fd);
        for (const device of this.#devices.values()) device.lose(end.reason());
      });
    }
    loop.start();
  }

  /** One for each PCI function, in the order of their addresses, as of the last refresh. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /**
   * Looks again which functions the machine has, where they can come and go; takes none.
   *
   * @returns The nodes.
   */
  refresh(): readonly Node[] {
    this.#parts.platform.refresh?.();
    this.#enumerate();
    return this.#nodes;
  }

  #enumerate(): void {
    const { platform, drivers } = this.#parts;
    const manifests = drivers.map(({ manifest }) => manifest);
    this.#nodes = platform.functions.map((pci) => {
      const identity = readIdentity(pci.config);
      return { function: pci, identity, ...choose(manifests, identity) };
    });
  }

  /** The machine. */
  get machine(): Machine {
    return this.#parts.platform;
  }

  /** What waits for the interrupts of its devices; it can wait for descriptors of the application's as well. */
  get loop(): Loop {
    return this.#loop;
  }

  /** Devices at work, and those that are on their way there. */
  get devices(): readonly AttachedDevice[] {
    return [...this.#devices.values()];
  }

  /**
   * Puts a device to work with the driver that was chosen for it.
   *
   * @param address Its PCI address, as {@linkcode FunctionFacts} has it.
   * @throws NoSuchFunction If there is none of that address.
   * @throws TypeError If it is refused, has no driver, or is at work already, or the kernel was disposed.
   */
  async attach(address: string): Promise<AnyDeviceOf<C>> {
    argument.text(address, "Kernel.attach", "address");
    if (this.#closed) throw new TypeError(`Cannot drive ${address}: the kernel was disposed`);
    const { loop, drivers, patience = PATIENCE, trace, counted = false, leaving } = this.#parts;
    const node = this.#nodes.find((candidate) => candidate.function.address === address);
    const refuse = (why: string) => new TypeError(`Cannot drive ${address}: ${why}`);
    if (!node) {
      throw new NoSuchFunction(`Cannot drive ${address}: this machine has no such function`);
    }
    const source = drivers.find(({ manifest }) => manifest === node.manifest);
    if (!source) throw refuse("no driver's rules fit it");
    if (node.function.refusal) throw refuse(node.function.refusal);
    if (this.#devices.has(address)) throw refuse("it is at work already");
    const {
      isolation = "process",
      interrupts = "msix",
      legacy = false,
      without = 0n,
      tunables = {},
      requestDeadline = 30_000,
      watch = 100,
      restarts = 3,
    } = this.#options;
    const device = new Attachment({
      loop,
      function: node.function,
      source,
      class: this.#classes.get(source.manifest.class),
      isolation,
      interrupts,
      legacy,
      without,
      tunables: tunablesFor(source.manifest, tunables),
      requestDeadline,
      watch,
      restarts,
      patience,
      counted,
      leaving: leaving ?? (() => Promise.resolve()),
      notice: this.#options.notice ?? this.#options.log ?? (() => {}),
      print: this.#options.print ?? this.#options.log ?? (() => {}),
      log: this.#options.log ?? (() => {}),
      trace: trace?.device(address, source.manifest.name),
    });
    this.#devices.set(address, device);
    device.gone.then(() => this.#devices.delete(address));
    await device.start();
    return device as AttachedDevice as AnyDeviceOf<C>;
  }

  /** Attaches the first device of a class that no other kernel or driver holds. */
  async attachFirst<Name extends keyof C & string>(name: Name): Promise<DeviceOf<C, Name>> {
    argument.word(name, "Kernel.attachFirst", "name", [...this.#classes.keys()]);
    const node = this.nodes.find((candidate) =>
      candidate.manifest?.class === name && !candidate.function.refusal &&
      !this.#devices.has(candidate.function.address)
    );
    if (!node) {
      throw new RangeError(
        `Cannot attach a device of class ${name}: this machine has none to take`,
      );
    }
    return await this.attach(node.function.address) as AttachedDevice as DeviceOf<C, Name>;
  }

  /** Stops all drivers, resets their devices, and gives them back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all(this.devices.map((device) => device[Symbol.asyncDispose]()));
    await this.#stack.disposeAsync();
  }
}

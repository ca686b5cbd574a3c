import type { FromDriver, WireOffer, WirePlan } from "../../bus/message.ts";
import { clearer, close, eventfd, signaller } from "../../linux/fd.ts";
import { COMMAND, COMMAND_BUS_MASTER, COMMAND_MEMORY, VENDOR_ID } from "../../pci/config_space.ts";
import { DeviceFault } from "../../pci/device_fault.ts";
import type { DmaMemory, OpenFunction } from "../../pci/function.ts";
import { type PciIdentity, readIdentity } from "../../pci/identity.ts";
import type {
  Accepted,
  Arena,
  Binding,
  BindingDescription,
  BindingOptions,
  GrantedRegisters,
  HostPart,
} from "../binding.ts";
import { makeGrant } from "../grant.ts";
import { checkPlan, PlanError } from "../plan.ts";
import { registerWindows } from "./windows.ts";

/** Where there is no function, reads give all ones. */
const NO_VENDOR = 0xffff;

/** How a function interrupts, and the eventfds that its driver hears. */
type Listening = readonly [how: BindingDescription["interrupts"], vectors: readonly number[]];

/**
 * A PCI device that is no VirtIO device. The core knows nothing of it but what all PCI functions have: it grants windows
 * of registers, memory and interrupts, and lets the device master the bus only from the grant on until it is made quiet,
 * but for the moment in which its configuration space is restored.
 */
export class PciBinding implements Binding {
  readonly device: OpenFunction;
  readonly forgives = [];
  readonly #identity: PciIdentity;
  readonly #registers: Readonly<Record<string, GrantedRegisters>>;
  readonly #options: BindingOptions;
  readonly #stack: DisposableStack;
  /** What the driver's host hears: message-signalled interrupts as they come, or the relay of the pin. */
  readonly #vectors: readonly number[];
  /** Tells the driver's host of the pin on behalf of the core. */
  readonly #relay = eventfd();
  readonly #interrupts: BindingDescription["interrupts"];
  #live = false;
  /** Whether the pin signals no more before the driver has answered it. */
  #masked = false;

  /**
   * Takes the function.
   *
   * @throws PlanError If it has no such registers as the manifest wants.
   */
  constructor(options: BindingOptions) {
    const { function: taken, manifest, interrupts } = options;
    const { registers, vectors } = manifest.pci!;
    this.#options = options;
    using stack = new DisposableStack();
    stack.defer(() => close(this.#relay));
    const device = this.device = stack.use(taken.open());
    this.#identity = readIdentity(device.config);
    this.#registers = registerWindows(device, registers);
    const wanted = interrupts === "shared" ? Math.min(vectors, 1) : vectors;
    const messages = interrupts === "msix" || interrupts === "shared";
    [this.#interrupts, this.#vectors] = wanted === 0 || interrupts === "polling"
      ? ["polling", []]
      : (messages && this.#listenToMessages(wanted)) || this.#listenToPin(stack);
    this.#stack = stack.move();
  }

  /** Message-signalled interrupts: by MSI-X as many as there are, or one by MSI. */
  #listenToMessages(wanted: number): Listening | undefined {
    const { device } = this;
    const given = device.vectors(wanted);
    // Where the machine's vectors are scarce, it may have fewer left than the device has.
    const count = given.length === 0 ? 0 : device.useVectors?.(given.length) ?? given.length;
    if (count > 0) return ["msix", given.slice(0, count)];
    const one = device.msi?.();
    return one === undefined ? undefined : ["msi", [one]];
  }

  /** The pin, or nothing. */
  #listenToPin(stack: DisposableStack): Listening {
    const { loop } = this.#options;
    const pin = this.device.intx?.();
    if (pin === undefined) return ["polling", []];
    const clear = clearer(pin);
    const pass = signaller(this.#relay);
    const { trace } = this.#options;
    loop.add(pin, () => {
      clear();
      trace?.tell({ kind: "interrupt", by: "core", source: "the pin" });
      this.#masked = true;
      if (this.#live) pass();
    });
    stack.defer(() => loop.remove(pin));
    return ["intx", [this.#relay]];
  }

  begin(): Promise<void> {
    this.device.restore?.();
    if (this.device.reset) {
      this.device.reset();
      this.device.restore?.();
    }
    this.#master(false);
    this.#checkThere();
    return Promise.resolve();
  }

  memory(bytes: number): DmaMemory {
    const { addressBits } = this.#options.manifest.pci!;
    const memory = this.device.dma(bytes, { addressBits });
    for (const { address, length } of memory.runs) {
      if (address + length <= 2 ** addressBits) continue;
      throw new PlanError(
        `Cannot use memory at 0x${
          address.toString(16)
        }: the driver's plugin.json says that its device has addresses of ` +
          `${addressBits} bits, and there is no memory so low here`,
      );
    }
    return memory;
  }

  host(): HostPart {
    return {
      doorbells: [],
      vectors: this.#vectors,
      registers: this.#registers,
    };
  }

  offer(): WireOffer {
    return { bus: "pci", identity: this.#identity, vectors: this.#vectors.length };
  }

  accept(wanted: WirePlan, { runs }: Arena): Promise<Accepted> {
    const none = { features: 0n, queues: [], resizable: false, kind: "split" } as const;
    const plan = checkPlan(wanted, none);
    const grant = {
      ...makeGrant(plan, { features: 0n, runs }),
      config: [],
      physical: plan.physical,
      polled: this.#interrupts === "polling",
      resettable: false,
      unmask: this.#interrupts === "intx",
    };
    // Many devices tell what they are only through memory, and a driver asks them while it starts.
    this.#master(true);
    return Promise.resolve({ plan, grant });
  }

  live(): void {
    this.#live = true;
    // It may have asserted its pin before.
    this.#masked = false;
    if (this.#interrupts === "intx") this.device.unmaskIntx?.();
  }

  answered(): boolean {
    if (!this.#masked || !this.#live) return false;
    this.#masked = false;
    this.device.unmaskIntx?.();
    return true;
  }

  hear(_: FromDriver): boolean {
    return false;
  }

  check(): void {
    this.#checkThere();
  }

  quiet(): Promise<void> {
    this.#live = false;
    this.device.restore?.();
    this.#master(false);
    this.#checkThere();
    if (this.device.config.read16(COMMAND) & COMMAND_BUS_MASTER) {
      throw new DeviceFault("D-24", "The device does not let go of the bus");
    }
    return Promise.resolve();
  }

  giveUp(): void {
    // There is nothing that all PCI devices understand.
  }

  describe(): BindingDescription {
    const command = this.#live ? this.device.config.read16(COMMAND) : 0;
    return {
      status: [
        ...(command & COMMAND_MEMORY ? ["memory"] : []),
        ...(command & COMMAND_BUS_MASTER ? ["bus master"] : []),
      ],
      features: { offered: "0x0", accepted: "0x0", list: [] },
      transport: "pci",
      interrupts: this.#interrupts,
      queues: [],
    };
  }

  #master(on: boolean): void {
    const { config } = this.device;
    const command = config.read16(COMMAND) & ~COMMAND_BUS_MASTER;
    config.write16(COMMAND, command | COMMAND_MEMORY | (on ? COMMAND_BUS_MASTER : 0));
  }

  #checkThere(): void {
    if (this.device.config.read16(VENDOR_ID) === NO_VENDOR) {
      throw new DeviceFault("D-16", "The device answers all ones: it is gone");
    }
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

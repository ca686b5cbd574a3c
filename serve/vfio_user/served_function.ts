import type { Registers, Width } from "../../core/pci/registers.ts";
import type { DeviceMemory } from "../../simulation/device_memory.ts";

/** A simulated PCI function, as far as a session uses it. */
export interface ServedFunction {
  /** What of its model is to be known. */
  readonly model: {
    /** How many interrupts it sends by MSI. */
    readonly msi?: number;
    /** Whether the first interrupt on each vector never ends. */
    readonly storms?: boolean;
  };
  /** Its configuration space. */
  readonly config: Registers;
  /** What it reaches of the guest's memory. */
  readonly memory: DeviceMemory;
  /** How many MSI-X vectors it has. */
  readonly vectors: number;
  /** What the driver has turned on to be interrupted. */
  readonly signals: "msix" | "msi" | "pin";
  /** Whether it asserts its interrupt pin. */
  readonly asserted: boolean;
  /** Its registers behind a BAR. */
  bar(index: number): Registers | undefined;
  /** The driver writes one of them; what is to be done then is done later. */
  ring(bar: number, offset: number, width: Width, value: number): void;
  /** Masks an MSI-X vector, or does so no more. */
  mask(vector: number, masked: boolean): void;
  /** Reset as a whole. */
  reset(): void;
}

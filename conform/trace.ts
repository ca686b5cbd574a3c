// What checks do to a device, told.

import { monotonicClock } from "../core/linux/clock.ts";
import type { Registers } from "../core/pci/registers.ts";
import type { Told } from "../core/trace/event.ts";
import { type DeviceTrace, Trace, type TraceSink } from "../core/trace/trace.ts";
import { tracedRegisters } from "../core/trace/traced_registers.ts";
import { registerMeanings } from "../core/virtio/register_meaning.ts";
import type { See } from "./rig.ts";

/** Tells what the checks of one device do. Disposing it ends the trace. */
export class CheckTrace implements Disposable {
  readonly #trace: Trace;
  readonly #device: DeviceTrace;
  readonly #meaningOf = registerMeanings(() => undefined, []);

  constructor(sink: TraceSink, address: string) {
    this.#trace = new Trace(sink, monotonicClock());
    this.#device = this.#trace.device(address, "conform");
  }

  /** Tells what happens now. */
  tell(what: Told): void {
    this.#device.tell(what);
  }

  /** Stands before the registers of a structure. */
  readonly see: See = (structure, registers): Registers =>
    tracedRegisters(registers, (access, offset, width, value) => {
      if (structure === "notify") {
        return this.tell({ kind: "doorbell", by: "driver", queue: `queue ${value}`, data: value });
      }
      this.tell({
        ...{ kind: "register", by: "driver", access, window: structure, offset, width, value },
        ...this.#meaningOf(structure, offset, { write: access === "write", value }),
      });
    });

  [Symbol.dispose](): void {
    this.#trace[Symbol.dispose]();
  }
}

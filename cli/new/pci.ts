import type { Parts } from "./files.ts";

/** A driver of a PCI device that doubles numbers. */
export function pciDriver(type: string): Parts {
  return {
    needs: {
      bus: "pci",
      match: [{ vendor: "1234", device: "0001" }],
      registers: { control: { bar: 0, bytes: 4096 } },
      vectors: 1,
    },
    next: [
      "the numbers in `match` of `plugin.json`: those that `lspci -nn` prints",
      "the registers: which BAR they are in, in `plugin.json`; their places, in `mod.ts` and `model.ts`",
      "memory that the device reads and writes: `address` and `buffers` of `PciDevice` in `@virtio/deno/plugin`",
    ],
    driver:
      `import { type DefinedPciPlugin, definePciPlugin, Status, Word } from "@virtio/deno/plugin";

// Registers: what is written to the first is doubled; then the cause is 1, and the device interrupts.
const NUMBER = 0x00, RESULT = 0x04, CAUSE = 0x08, ACKNOWLEDGE = 0x0c;

const driver: DefinedPciPlugin = definePciPlugin({
  // What it wants: a lane for requests, with room for four of them.
  plan: () => ({ lanes: { requests: { slots: 4, slotBytes: 4 } } }),

  // What it does with what it got.
  start({ registers, lanes: { requests } }) {
    const control = registers.control!;
    // A driver before this one may have left the device at work.
    control.write32(ACKNOWLEDGE, 1);
    let current = -1; // the request that the device works on
    let answers = 0;

    /** Begins a request. Returns false if there is no room for it now: it is asked again. */
    function begin(slot: number): boolean {
      if (current >= 0) return false;
      current = slot;
      control.write32(NUMBER, requests.word(slot, Word.first));
      return true;
    }

    return {
      // Something may have happened: an interrupt, or a new request. Take what is finished, begin what is new.
      rung() {
        if (current >= 0 && control.read32(CAUSE) === 1) {
          requests.setWord(current, Word.first, control.read32(RESULT));
          control.write32(ACKNOWLEDGE, 1);
          requests.complete(current, Status.ok, 0);
          current = -1;
          answers++;
        }
        requests.take(begin);
      },
      statistics: () => ({ answers }),
    };
  },
});

export default driver;
`,
    class: `import {
  argument,
  defineClass,
  demand,
  type DeviceClass,
  RequestError,
  Status,
  Word,
} from "@virtio/deno/class";

/** What a program holds of the device. */
export interface ${type} {
  /** Doubles a number of 31 bits. */
  double(number: number): Promise<number>;
}

const deviceClass: DeviceClass<${type}> = defineClass({
  lanes: ["requests"],

  open: ({ requests }) => ({
    client: {
      async double(number) {
        argument.integer(number, "${type}.double", "number", 0, 2 ** 31 - 1);
        const question = { operation: 0, words: { [Word.first]: number } };
        const { words } = await demand(requests, "Cannot double a number", question);
        // No device is trusted: what an answer means is checked here.
        if (words[Word.first] === 2 * number) return 2 * number;
        throw new RequestError("Cannot double a number", Status.invalid);
      },
    },
  }),

  // How a device is put to work to see whether all is well: by \`check\`, and by the tests of a driver.
  async check(client, { step }) {
    step("doubling");
    const numbers = Array.from({ length: 20 }, (_, i) => i);
    const doubled = await Promise.all(numbers.map((number) => client.double(number)));
    const passed = doubled.every((number, i) => number === 2 * i);
    const detail = \`\${doubled.length} numbers\`;
    return { findings: [{ name: "numbers", passed, detail }], figures: {}, summary: detail };
  },
});

export default deviceClass;
`,
    model: `import type { FunctionHandle, FunctionModel } from "@virtio/deno/simulation";

const NUMBER = 0x00, RESULT = 0x04, CAUSE = 0x08, ACKNOWLEDGE = 0x0c;

/** The device in software: it doubles what is written to it, and interrupts. */
export class ${type}Model implements FunctionModel {
  readonly vendor = 0x1234;
  readonly device = 0x0001;
  readonly bars: FunctionModel["bars"] = { 0: { bytes: 4096 } };
  readonly msi = 1;
  #handle: FunctionHandle | undefined;
  #result = 0;
  #cause = 0;

  attach(device: FunctionHandle): void {
    this.#handle = device;
  }

  read(_bar: number, offset: number): number {
    return offset === RESULT ? this.#result : offset === CAUSE ? this.#cause : 0;
  }

  write(_bar: number, offset: number, _width: number, value: number): void {
    if (offset === ACKNOWLEDGE) this.#cause = 0;
    if (offset !== NUMBER) return;
    this.#result = (2 * value) >>> 0;
    this.#cause = 1;
    this.#handle!.interrupt(0);
  }

  reset(): void {
    this.#result = this.#cause = 0;
  }
}
`,
    testImport: "type FunctionHandle",
    tests: `
Deno.test("the model doubles what is written to it", () => {
  const model = new ${type}Model();
  let interrupts = 0;
  model.attach({ interrupt: () => interrupts++ } as unknown as FunctionHandle);
  model.write(0, 0x00, 4, 21);
  const result = model.read(0, 0x04);
  if (result !== 42 || interrupts !== 1) throw new Error(\`it gave \${result}\`);
});
`,
  };
}

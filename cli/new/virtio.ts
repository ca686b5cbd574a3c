import type { Parts } from "./files.ts";

/** A driver of a VirtIO device that fills buffers. */
export function virtioDriver(type: string, own: boolean): Parts {
  return {
    needs: {
      match: own
        ? [{ vendor: "1af4", device: "107f" }]
        : [{ vendor: "1af4", device: "1044" }, { vendor: "1af4", device: "1005" }],
    },
    next: [
      ...(own
        ? [
          "the device's number: a VirtIO device of type n has the PCI id 1040 + n (hexadecimal), in `plugin.json`; the model has n",
        ]
        : []),
      "its queues, features (`plugin.json`) and configuration (`plugin.json`), from the chapter on it in the VirtIO specification",
    ],
    driver: `import { definePlugin, type Plugin, Status, Word } from "@virtio/deno/plugin";

const SLOTS = 8;
const SLOT_BYTES = 4096;

const driver: Plugin = definePlugin({
  // What it wants of the device that it is offered. No side effects: it may be asked again.
  plan: () => ({
    queues: { requests: { index: 0, size: SLOTS } },
    lanes: { requests: { slots: SLOTS, slotBytes: SLOT_BYTES } },
  }),

  // What it does with what it got: a virtqueue to the device, a lane to the client.
  start({ queues: { requests }, lanes: { requests: lane } }) {
    let answers = 0;

    /** Gives the room of a slot to the device. Returns false if the queue is full: it is asked again. */
    function begin(slot: number): boolean {
      requests.begin(slot);
      requests.writable(lane.offset(slot), Math.min(lane.word(slot, Word.length), SLOT_BYTES));
      return requests.commit();
    }

    /** Gives the slot back to the client. The core has checked what the device says that it wrote. */
    function end(slot: number, written: number): void {
      answers++;
      lane.complete(slot, Status.ok, written);
    }

    return {
      // Something may have happened. Take what is finished, begin what is new.
      rung() {
        requests.drain(end);
        lane.take(begin);
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
} from "@virtio/deno/class";

/** What a program holds of the device. */
export interface ${type} {
  /** Reads up to 256 bytes. */
  read(length: number): Promise<Uint8Array>;
}

const deviceClass: DeviceClass<${type}> = defineClass({
  lanes: ["requests"],

  open: ({ requests }) => ({
    client: {
      async read(length) {
        argument.integer(length, "${type}.read", "length", 1, 256);
        const { data } = await demand(requests, "Cannot read", { operation: 0, length });
        // No device is trusted: the core checks rings, and what an answer means is checked here.
        if (data.length === length && data.every((byte, i) => byte === i)) return data;
        throw new RequestError("Cannot read", Status.invalid);
      },
    },
  }),

  // How a device is put to work to see whether all is well: by \`check\`, and by the tests of a driver.
  async check(client, { step }) {
    step("reading");
    const READS = 20, BYTES = 100;
    const reads = await Promise.all(Array.from({ length: READS }, () => client.read(BYTES)));
    const passed = reads.every(({ length }) => length === BYTES);
    const detail = \`\${READS} reads of \${BYTES} bytes\`;
    return { findings: [{ name: "reads", passed, detail }], figures: {}, summary: detail };
  },
});

export default deviceClass;
`,
    model: `import type { DeviceModel, Request } from "@virtio/deno/simulation";

/** The device in software: it fills what it is given with ${
      own ? "the bytes 0, 1, 2 and so on" : "random bytes"
    }. */
export class ${type}Model implements DeviceModel {
  /** The type of the device (virtio 1.4, 5). */
  readonly id = ${own ? 63 : 4};
  /** The most entries of each of its queues. */
  readonly queues: readonly number[] = [64];

  /** A request came: answers it, and returns how many bytes it wrote. */
  handle(_queue: number, request: Request): number {
    ${
      own
        ? "request.write(Uint8Array.from({ length: request.writable }, (_, i) => i));"
        : "request.write(crypto.getRandomValues(new Uint8Array(Math.min(request.writable, 65536))));"
    }
    return request.written;
  }
}
`,
    testImport: "ask",
    tests: `
Deno.test("the model fills what it is given", () => {
  const answer = ask(new ${type}Model(), new Uint8Array(), 100);
  if (answer?.written !== 100) throw new Error(\`it wrote \${answer?.written} bytes\`);
});
`,
  };
}

import { argument, RequestError, type Settings, Status } from "../../core/class/mod.ts";
import { NetOperation, type NetProperties } from "./protocol.ts";
import { answeredNumbers, numbers } from "./numbers.ts";

/** When a device interrupts: after so many frames, or so long after the first of them. Zeroes: always. */
export interface Coalescing {
  /** Frames. */
  readonly frames: number;
  /** Microseconds. */
  readonly microseconds: number;
}

/** The greatest number in a word of a record. */
const MOST = 2 ** 32 - 1;
const KINDS = ["receive", "transmit"] as const;

/** When a card interrupts. It stays so when the device is started anew. */
export class NetCoalescing {
  readonly #settings: Settings;
  readonly #properties: NetProperties;

  /** Made by the client of the card. */
  constructor(settings: Settings, properties: NetProperties) {
    this.#settings = settings;
    this.#properties = properties;
  }

  /** Sets when the device interrupts, for all queues of a kind. */
  async set(
    wanted: { readonly receive?: Coalescing; readonly transmit?: Coalescing },
  ): Promise<void> {
    const where = "NetCoalescing.set";
    const { ...both } = argument.record(wanted, where, "wanted");
    const orders = KINDS.flatMap((kind) =>
      both[kind] === undefined
        ? []
        : [{ kind, limits: coalescingNumbers(both[kind], where, `wanted.${kind}`) }]
    );
    for (const { kind, limits } of orders) {
      await this.#settings.apply({
        what: `set when frames that were ${kind === "receive" ? "received" : "sent"} interrupt`,
        operation: NetOperation[`${kind}Coalescing`],
        words: numbers(...limits),
        key: `${kind}Coalescing`,
      });
    }
  }

  /** Sets when one queue interrupts. */
  async setQueue(
    pair: number,
    kind: "receive" | "transmit",
    coalescing: Coalescing,
  ): Promise<void> {
    const where = "NetCoalescing.setQueue";
    argument.integer(pair, where, "pair", 0, this.#properties.pairs - 1);
    argument.word(kind, where, "kind", KINDS);
    const limits = coalescingNumbers(coalescing, where, "coalescing");
    await this.#settings.apply({
      what: `set when the ${kind} queue ${pair} interrupts`,
      operation: NetOperation.queueCoalescing,
      words: numbers(...limits, pair, Number(kind === "transmit")),
      key: `coalescing ${kind} ${pair}`,
    });
  }

  /** When one queue interrupts, as the device says. */
  async queue(pair: number, kind: "receive" | "transmit"): Promise<Coalescing> {
    argument.integer(pair, "NetCoalescing.queue", "pair", 0, this.#properties.pairs - 1);
    argument.word(kind, "NetCoalescing.queue", "kind", KINDS);
    const what = `ask when the ${kind} queue ${pair} interrupts`;
    const { data } = await this.#settings.apply({
      what,
      operation: NetOperation.getQueueCoalescing,
      words: numbers(pair, Number(kind === "transmit")),
    });
    const [frames, microseconds] = answeredNumbers(data);
    if (frames !== undefined && microseconds !== undefined) return { frames, microseconds };
    throw new RequestError(`Cannot ${what}`, Status.invalid);
  }
}

function coalescingNumbers(given: Coalescing, where: string, name: string): number[] {
  const { frames, microseconds } = argument.record(given, where, name);
  return [
    argument.integer(frames, where, `${name}.frames`, 0, MOST),
    argument.integer(microseconds, where, `${name}.microseconds`, 0, MOST),
  ];
}

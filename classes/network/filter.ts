import { argument, type Settings } from "../../core/class/mod.ts";
import { MAC_BYTES, NetOperation } from "./protocol.ts";
import { numbers } from "./numbers.ts";

/** Which frames come besides one's own; what is left out stays as it is. */
export interface ReceiveMode {
  /** All of one station. */
  readonly allUnicast?: boolean;
  /** None of several stations. */
  readonly noMulticast?: boolean;
  /** None of one station. */
  readonly noUnicast?: boolean;
  /** None for all stations. */
  readonly noBroadcast?: boolean;
}

type Mode = "promiscuous" | "allMulticast";

/** More addresses than this are not filtered but all let in, as FreeBSD does it. */
const MOST_ADDRESSES = 128;
const RECEIVE_MODES = ["allUnicast", "noMulticast", "noUnicast", "noBroadcast"] as const;

/** Which frames a card lets in: its own and broadcast at first. It stays so when the device is started anew. */
export class NetFilter {
  readonly #settings: Settings;
  /** What is let in because the application wants it, and because there are too many addresses to filter. */
  readonly #wanted = { promiscuous: false, allMulticast: false };
  readonly #overflow = { promiscuous: false, allMulticast: false };

  /** Made by the client of the card. */
  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Receives everything that passes, or not. */
  async setPromiscuous(on: boolean): Promise<void> {
    argument.flag(on, "NetFilter.setPromiscuous", "on");
    this.#wanted.promiscuous = on;
    await this.#letIn("promiscuous", "receive everything");
  }

  /** Receives all multicast, or not. */
  async setAllMulticast(on: boolean): Promise<void> {
    argument.flag(on, "NetFilter.setAllMulticast", "on");
    this.#wanted.allMulticast = on;
    await this.#letIn("allMulticast", "receive all multicast");
  }

  /** Receives more or less than usual. */
  async setReceiveMode(mode: ReceiveMode): Promise<void> {
    const where = "NetFilter.setReceiveMode";
    const { ...wanted } = argument.record(mode, where, "mode");
    const names = RECEIVE_MODES.filter((name) => wanted[name] !== undefined);
    for (const name of names) argument.flag(wanted[name], where, `mode.${name}`);
    for (const name of names) await this.#switch(name, wanted[name]!, `set ${name}`);
  }

  /**
   * Receives these addresses besides its own and broadcast, and no others that were set before. Where there are too many
   * for the device, it receives everything of their kind.
   */
  async setMacTable(addresses: readonly Uint8Array[]): Promise<void> {
    const where = "NetFilter.setMacTable";
    const all = argument.list(addresses, where, "addresses").map((address, i) =>
      argument.copied(address, where, `addresses[${i}]`, MAC_BYTES, MAC_BYTES)
    );
    const isMulticast = (address: Uint8Array) => (address[0]! & 1) === 1;
    const unicast = all.filter((address) => !isMulticast(address));
    const multicast = all.filter(isMulticast);
    const what = `receive ${all.length} addresses`;
    await this.#overflows("promiscuous", unicast.length > MOST_ADDRESSES, what);
    await this.#overflows("allMulticast", multicast.length > MOST_ADDRESSES, what);
    const data = Uint8Array.from(
      [unicast, multicast].filter(({ length }) => length <= MOST_ADDRESSES).flat()
        .flatMap((address) => [...address]),
    );
    await this.#settings.apply({
      what,
      operation: NetOperation.macTable,
      data,
      key: "macTable",
    });
  }

  /** Receives frames of a VLAN. */
  async addVlan(id: number): Promise<void> {
    argument.integer(id, "NetFilter.addVlan", "id", 0, 4095);
    const what = `receive VLAN ${id}`;
    await this.#vlan(NetOperation.addVlan, what, id);
  }

  /** Receives frames of a VLAN no more. */
  async removeVlan(id: number): Promise<void> {
    argument.integer(id, "NetFilter.removeVlan", "id", 0, 4095);
    await this.#vlan(NetOperation.removeVlan, `leave VLAN ${id}`, id);
  }

  async #vlan(operation: number, what: string, id: number): Promise<void> {
    const undoes = operation === NetOperation.removeVlan;
    const words = numbers(id);
    await this.#settings.apply({ what, operation, words, key: `vlan ${id}`, undoes });
  }

  async #overflows(mode: Mode, on: boolean, what: string): Promise<void> {
    if (this.#overflow[mode] === on) return;
    this.#overflow[mode] = on;
    await this.#letIn(mode, what);
  }

  #letIn(mode: Mode, what: string): Promise<void> {
    return this.#switch(mode, this.#wanted[mode] || this.#overflow[mode], what);
  }

  async #switch(
    name: Mode | keyof ReceiveMode,
    on: boolean,
    what: string,
  ): Promise<void> {
    const words = numbers(Number(on));
    await this.#settings.apply({ what, operation: NetOperation[name], words, key: name });
  }
}

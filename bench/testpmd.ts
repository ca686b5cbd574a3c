/**
 * DPDK's testpmd: as a network device by vhost-user, and as a driver of one.
 *
 * @module
 */

import { unpacked } from "../tools/unpacked.ts";
import { Service } from "./programs.ts";

/** What it does with frames: sends, receives, or sends back what comes. */
export type Forward = "txonly" | "rxonly" | "io";

/** Frames so far. */
export interface Frames {
  readonly received: number;
  readonly sent: number;
}

/** One at work; its threads are all on one processor. */
export class Testpmd implements AsyncDisposable {
  readonly #service: Service;

  private constructor(service: Service) {
    this.#service = service;
  }

  /**
   * Starts it.
   *
   * @param device What DPDK calls the device: `--vdev`.
   * @throws {Error} If it is not here or does not start.
   */
  static async start(processor: number, device: string, forward: Forward): Promise<Testpmd> {
    const program = unpacked("testpmd");
    if (program === undefined) throw new Error("there is no testpmd: deno task prepare fetches it");
    const service = new Service(processor, [
      // What it says of a command would come with the end of the program else.
      ...["stdbuf", "-oL", program],
      ...["--lcores", `0@${processor},1@${processor}`, "--no-huge", "-m", "64", "--no-pci"],
      ...["--no-telemetry", "--file-prefix", `bench-${crypto.randomUUID()}`, "--vdev", device],
      ...["--", "-i", `--forward-mode=${forward}`, "--total-num-mbufs=8192"],
      ...["--port-topology=loop"],
    ]);
    const testpmd = new Testpmd(service);
    try {
      await service.until("prompt", () => service.said.includes("testpmd> "));
      return testpmd;
    } catch (error) {
      await service[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Types a command, and waits until it says so. Returns what it said besides. */
  async #command(line: string, end: string): Promise<string> {
    const from = this.#service.said.length;
    await this.#service.tell(line);
    await this.#service.until(end, () => this.#service.said.includes(end, from));
    return this.#service.said.slice(from);
  }

  /**
   * Begins.
   *
   * @param first Frames to send before anything has come.
   */
  async begin(first = 0): Promise<void> {
    const burst = 32;
    const line = first > 0 ? `start tx_first ${first / burst}` : "start";
    await this.#command(line, "packet forwarding packets/burst");
  }

  /** Stops. Returns what was forwarded since the beginning. */
  async end(): Promise<Frames> {
    const said = await this.#command("stop", "Done.");
    const [, received, sent] = /RX-packets: (\d+)[^]*?TX-packets: (\d+)/.exec(said) ?? [];
    return { received: Number(received), sent: Number(sent) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#service[Symbol.asyncDispose]();
  }
}

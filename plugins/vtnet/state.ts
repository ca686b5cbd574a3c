import type { Config } from "@virtio/deno/plugin";
import { linkOf, speedOf } from "./plan.ts";
import * as wire from "./wire.ts";

/** What the configuration says of the link, and what of that the client does not know yet. */
export class State {
  /** Whether the link is up. */
  link = false;
  /** Megabits per second, all ones if that is not known. */
  speed = 0;
  /** 0 half duplex, 1 full, anything else unknown. */
  duplex = 0;
  /** Whether the client is to be told to announce itself. */
  announce = false;
  /** Whether it was told so, and the device does not know yet: until then it goes on asking. */
  #announcing = false;
  #isNews = false;
  readonly #features: bigint;

  /** At the start, all is news. */
  constructor(features: bigint, config: Config) {
    this.#features = features;
    this.update(config);
    this.#isNews = true;
  }

  /** Looks at the configuration, which may have changed. However often it does: what is told is the latest. */
  update(config: Config): void {
    const link = linkOf(this.#features, config);
    const { speed, duplex } = speedOf(this.#features, config);
    if (link !== this.link || speed !== this.speed || duplex !== this.duplex) this.#isNews = true;
    this.link = link;
    this.speed = speed;
    this.duplex = duplex;
    const asks = (this.#features & wire.F_GUEST_ANNOUNCE) !== 0n &&
      (config.u16(wire.CONFIG_STATUS) & wire.S_ANNOUNCE) !== 0;
    if (!asks || this.#announcing) return;
    this.announce = this.#announcing = this.#isNews = true;
  }

  /** Takes the news, if there are any. */
  take(): boolean {
    const isNews = this.#isNews;
    this.#isNews = this.announce = false;
    return isNews;
  }

  /** The device knows that the announcement was made. */
  announced(): void {
    this.#announcing = false;
  }
}

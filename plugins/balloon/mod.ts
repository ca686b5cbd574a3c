/**
 * Driver for the VirtIO memory balloon (virtio 1.4, 5.5): moves pages of an arena of its own into the balloon and out
 * of it, as many as its client says.
 *
 * Pages are given from the end of the arena and come back in the opposite order, so that one number says it all: those
 * from `free` on are in the balloon, those before are free. They may be hinted and reported, from the beginning on.
 *
 * @module
 */

import {
  type Config,
  definePlugin,
  type Offer,
  type Plugin,
  type QueuePlan,
  Status,
  Word,
} from "@virtio/deno/plugin";
import { BalloonOperation, BalloonWord, STATISTICS_BYTES } from "@virtio/deno/classes/balloon";
import { hints } from "./hints.ts";
import { REPORT_BUFFERS, reports } from "./reports.ts";
import { stretch, words } from "./stretch.ts";
import * as wire from "./wire.ts";

const MIB = 2 ** 20;
const QUEUE_SIZE = 128;

const WANTED = wire.F_MUST_TELL_HOST | wire.F_STATS_VQ | wire.F_DEFLATE_ON_OOM |
  wire.F_FREE_PAGE_HINT | wire.F_PAGE_POISON | wire.F_PAGE_REPORTING;

/** The queues that a feature brings, in the order of their places. */
const OPTIONAL_QUEUES = [
  { name: "statistics", feature: wire.F_STATS_VQ, index: wire.QUEUE_STATS },
  { name: "hints", feature: wire.F_FREE_PAGE_HINT, index: wire.QUEUE_FREE_PAGE },
  { name: "reports", feature: wire.F_PAGE_REPORTING, index: wire.QUEUE_REPORTING },
] as const;

/** The driver. */
const balloon: Plugin = definePlugin({
  plan(offer) {
    if (offer.config.length < wire.CONFIG_ACTUAL + 4) {
      return { decline: `its configuration of ${offer.config.length} bytes does not hold a size` };
    }
    const { features, queues } = findQueues(offer, wanted(offer));
    const bytes = Number(offer.tunables.arena_mib) * MIB;
    return {
      features,
      queues,
      lanes: {
        control: { slots: 4, slotBytes: 4, deadline: 5000 },
        events: { slots: 2, slotBytes: 4, deadline: 0 },
        statistics: { slots: 1, slotBytes: STATISTICS_BYTES, deadline: 0 },
      },
      buffers: {
        pages: bytes,
        batch: wire.BATCH_PAGES * 4,
        commands: 2 * 4,
      },
      properties: {
        pages: bytes / wire.PAGE_BYTES,
        requested: offer.config.u32(wire.CONFIG_NUM_PAGES),
        deflateOnOom: (features & wire.F_DEFLATE_ON_OOM) !== 0n,
        statistics: (features & wire.F_STATS_VQ) !== 0n,
        hinting: (features & wire.F_FREE_PAGE_HINT) !== 0n,
        reporting: (features & wire.F_PAGE_REPORTING) !== 0n,
      },
      physical: true,
    };
  },

  start({ features, queues, lanes, buffers, config, tunables, frame, writeConfig }) {
    const inflate = queues.inflate!;
    const deflate = queues.deflate!;
    const { control, events, statistics: figures } = lanes;
    const arena = stretch(buffers.pages, frame);
    const batch = words(buffers.batch);
    const poison = features & wire.F_PAGE_POISON ? Number(tunables.poison_val) : undefined;
    const hinting = queues.hints && hints(queues.hints, arena, buffers.commands);
    const reporting = queues.reports && reports(queues.reports, arena, poison);

    let requested = config.u32(wire.CONFIG_NUM_PAGES);
    /** Pages that are to be free, and that are. */
    let wanted = arena.pages;
    let free = arena.pages;
    /** Pages that are with the device, on their way out of the free ones or, if negative, to them. */
    let moving = 0;
    /** The order that is carried out; −1 if there is none. */
    let order = -1;
    /** A slot of `events` that waits for news, and whether there are some; −1 if there is none. */
    let listener = -1;
    let news = true;
    let inflated = 0;
    let deflated = 0;
    let asked = 0;

    // The driver before this one took the balloon along (5.5.6).
    writeConfig("actual", 0);
    if (poison !== undefined) writeConfig("poison_val", poison);

    function resize(): void {
      // No other request may hold pages that go into the balloon: what was hinted or reported comes back soon.
      if (moving !== 0 || hinting?.busy || reporting?.busy) return;
      if (free > wanted) move(Math.min(free - wanted, wire.BATCH_PAGES));
      else if (free < wanted) move(-Math.min(wanted - free, wire.BATCH_PAGES));
    }

    /** Tells the device of the next pages: into the balloon, or out of it if there are fewer than none. */
    function move(pages: number): void {
      const queue = pages > 0 ? inflate : deflate;
      const first = pages > 0 ? free - pages : free;
      const count = Math.abs(pages);
      for (let i = 0; i < count; i++) batch[i] = arena.frames[first + i]!;
      queue.begin(0);
      queue.readable(buffers.batch.offset, count * 4);
      if (queue.commit()) moving = pages;
    }

    function moved(): void {
      free -= moving;
      if (moving > 0) inflated += moving;
      else deflated -= moving;
      moving = 0;
      writeConfig("actual", arena.pages - free);
      news = true;
    }

    function take(slot: number): boolean {
      if (control.word(slot, Word.operation) !== BalloonOperation.resize) {
        control.complete(slot, Status.unsupported, 0);
        return true;
      }
      if (order >= 0) finish();
      order = slot;
      wanted = arena.pages - Math.min(control.word(slot, BalloonWord.pages), arena.pages);
      return true;
    }

    function finish(): void {
      control.setWord(order, BalloonWord.actual, arena.pages - free);
      control.complete(order, Status.ok, 0);
      order = -1;
    }

    function listen(slot: number): boolean {
      if (listener >= 0) return false;
      listener = slot;
      return true;
    }

    function tell(): void {
      events.setWord(listener, BalloonWord.pages, requested);
      events.setWord(listener, BalloonWord.actual, arena.pages - free);
      events.complete(listener, Status.ok, 0);
      listener = -1;
      news = false;
    }

    function give(slot: number): boolean {
      if (!queues.statistics) {
        figures.complete(slot, Status.unsupported, 0);
        return true;
      }
      const length = Math.min(figures.word(slot, Word.length), figures.slotBytes);
      queues.statistics.begin(slot);
      queues.statistics.readable(figures.offset(slot), length);
      return queues.statistics.commit();
    }

    /** The device gives the figures back: it wants newer ones (5.5.6.3). */
    function taken(slot: number): void {
      asked++;
      figures.complete(slot, Status.ok, 0);
    }

    function configure(config: Config): void {
      news ||= requested !== config.u32(wire.CONFIG_NUM_PAGES);
      requested = config.u32(wire.CONFIG_NUM_PAGES);
      hinting?.command(config.u32(wire.CONFIG_FREE_PAGE_HINT_CMD_ID));
    }
    configure(config);

    return {
      rung() {
        inflate.drain(moved);
        deflate.drain(moved);
        queues.statistics?.drain(taken);
        hinting?.drain();
        reporting?.drain();
        control.take(take);
        figures.take(give);
        events.take(listen);
        resize();
        if (order >= 0 && moving === 0 && free === wanted) finish();
        if (moving === 0) {
          hinting?.advance(free);
          if (!hinting?.holding) reporting?.advance(free);
        }
        if (news && listener >= 0) tell();
      },

      configured(config) {
        configure(config);
        return undefined;
      },

      queueReset(name, cookies) {
        if (name === "statistics") cookies.forEach(give);
        else if (name === "hints") hinting?.restart();
        else if (name === "reports") reporting?.restart();
        // Whether the device took a batch is not known: it is told again.
        else if (moving !== 0 && name === (moving > 0 ? "inflate" : "deflate")) move(moving);
      },

      statistics: () => ({
        desired: requested,
        current: arena.pages - free,
        balloon_inflate: inflated,
        balloon_deflate: deflated,
        ...(queues.statistics && { stats_requests: asked }),
        ...hinting?.counters,
        ...reporting?.counters,
      }),
    };
  },
});

/** The features to take: those whose fields are there. */
function wanted({ features, config }: Offer): bigint {
  const hint = config.length < wire.CONFIG_FREE_PAGE_HINT_CMD_ID + 4 ? wire.F_FREE_PAGE_HINT : 0n;
  const poison = config.length < wire.CONFIG_POISON_VAL + 4 ? wire.F_PAGE_POISON : 0n;
  return features & WANTED & ~hint & ~poison;
}

/**
 * Finds the queues. The specification gives each its place (5.5.2); some devices leave no gaps (QEMU does not, and Linux
 * expects that), which shows where a queue is not in its place. A feature without a queue is left alone.
 */
function findQueues(
  offer: Offer,
  wanted: bigint,
): { features: bigint; queues: Record<string, QueuePlan> } {
  const brought = OPTIONAL_QUEUES.filter(({ feature }) => offer.features & feature);
  const there = (index: number) => (offer.queues[index] ?? 0) > 0;
  const { queue_indexing: indexing } = offer.tunables;
  const inPlace = indexing === "auto"
    ? brought.every(({ index }) => there(index))
    : indexing === "spec";
  let features = wanted;
  const queues: Record<string, QueuePlan> = {
    inflate: { index: wire.QUEUE_INFLATE, size: QUEUE_SIZE },
    deflate: { index: wire.QUEUE_DEFLATE, size: QUEUE_SIZE },
  };
  for (const [i, { name, feature, index }] of brought.entries()) {
    const place = inPlace ? index : wire.QUEUE_STATS + i;
    if (!there(place)) features &= ~feature;
    if (features & feature) {
      queues[name] = { index: place, size: QUEUE_SIZE, buffers: REPORT_BUFFERS };
    }
  }
  return { features, queues };
}

export default balloon;

/**
 * Traces for Perfetto and Chrome, read by the engine that Chrome's own tools read them with.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { DRIVERS } from "../drivers.ts";
import { openKernel, type TraceEvent, traceFile } from "../mod.ts";
import "./support/libc.ts";
import { testWith } from "./support/needs.ts";

/** Chrome's engine, as far as it is used here. */
interface Engine {
  readonly Helpers: {
    readonly Trace: {
      createMatchedSortedSyntheticEvents(events: readonly object[]): readonly {
        readonly name: string;
        readonly cat: string;
        readonly dur: number;
        readonly ts: number;
        readonly args: { readonly data: { readonly beginEvent: { args: { number?: number } } } };
      }[];
    };
  };
  readonly TraceModel: {
    readonly Model: { createWithAllHandlers(): Model };
  };
}

interface Model {
  parse(events: readonly object[], config: object): Promise<void>;
  parsedTrace(): { readonly data: { readonly Meta: Meta } } | null;
}

interface Meta {
  readonly processNames: ReadonlyMap<number, { readonly args: { readonly name: string } }>;
  readonly threadsInProcess: ReadonlyMap<number, ReadonlyMap<number, unknown>>;
  readonly traceBounds: { readonly range: number };
}

// It is fetched by hand: it is large, and nothing but this test is to wait for it.
const ENGINE = "npm:@paulirish/trace_engine@0.0.65/models/trace/trace.js";
// Browsers have it, and the engine wants to extend it.
(globalThis as { DOMRect?: unknown }).DOMRect ??= class {};
let engine: Engine | undefined;
let obstacle: string | undefined;
try {
  engine = await import(ENGINE);
} catch (error) {
  obstacle = `Chrome's trace engine cannot be had: ${(error as Error).message.split("\n")[0]}`;
}

testWith(
  obstacle,
  "trace: Chrome's own engine finds in a trace the devices, each request with its end, and spans that fit into each other #cli:trace_perfetto",
  async () => {
    const folder = Deno.makeTempDirSync({ prefix: "perfetto-" });
    const said: unknown[] = [];
    const { error } = console;
    console.error = (...words) => said.push(words);
    try {
      const file = `${folder}/trace.json`;
      const sink = traceFile(file);
      const events: TraceEvent[] = [];
      {
        await using kernel = await openKernel({
          ...{ machine: "simulated", drivers: DRIVERS },
          trace: {
            event(event) {
              events.push(event);
              sink.event(event);
            },
            end: () => sink.end!(),
          },
        });
        const disk = await kernel.attachFirst("block");
        const source = await kernel.attachFirst("entropy");
        await Promise.all([0, 512, 1024].map((at) => disk.client.read(at, 512)));
        // One that is started anew goes on.
        Deno.kill(source.pid!, "SIGKILL");
        await source.client.read(64);
      }
      const entries = JSON.parse(Deno.readTextFileSync(file));
      const { Helpers, TraceModel } = engine!;
      const model = TraceModel.Model.createWithAllHandlers();
      await model.parse(entries, {});
      const { Meta } = model.parsedTrace()!.data;
      const names = [...Meta.processNames.values()].map(({ args }) => args.name);
      assertEquals(
        names.sort(),
        [...new Set(events.map((each) => `${each.driver} ${each.device}`))]
          .sort(),
      );
      assert(Meta.traceBounds.range > 0);
      for (const threads of Meta.threadsInProcess.values()) assert(threads.size >= 5);
      // It complains of what begins and does not end, or ends and did not begin.
      assertEquals(said, []);

      const spans = Helpers.Trace.createMatchedSortedSyntheticEvents(
        entries.filter(({ ph }: { ph: string }) => ph === "b" || ph === "e"),
      ).filter(({ cat }) => cat === "request");
      const used = events.filter(({ kind }) => kind === "used");
      assertEquals(spans.length, used.length);
      for (const { dur } of spans) assert(dur > 0, `${dur}`);
    } finally {
      console.error = error;
      Deno.removeSync(folder, { recursive: true });
    }
  },
);

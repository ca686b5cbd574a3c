import { assertEquals, assertRejects } from "@std/assert";
import { Pair } from "../../core/bus/fake_test.ts";
import { Status } from "../../core/bus/lane.ts";
import type { OpenClient } from "../../core/class/mod.ts";
import { type ScsiProperties, ScsiResponse, ScsiTail, ScsiWord } from "./protocol.ts";
import { ScsiClient } from "./client.ts";
import { ScsiOperation } from "./cdb.ts";
import { ScsiError } from "./error.ts";

const PROPERTIES: ScsiProperties = {
  maxTarget: 0,
  maxLun: 0,
  bidirectional: false,
  protection: false,
  hotplug: false,
  busReset: true,
};
const UNIT = { target: 0, lun: 0 };
/** Blocks of the disk. */
const BLOCKS = 64;

/** An adapter with one disk, whose driver calls a read of data as short as it is told, and its residual 0. */
function adapter(moved: (inBytes: number) => number): OpenClient<ScsiClient> {
  const answers: Record<number, (data: Uint8Array) => number> = {
    [ScsiOperation.inquiry]: (data) => data.fill(0, 0, 36).length && 36,
    [ScsiOperation.modeSense6]: (data) => data.fill(0, 0, 4).length && 4,
    [ScsiOperation.serviceActionIn16]: (data) => {
      data.fill(0, 0, 32).set([0, 0, 0, 0, 0, 0, 0, BLOCKS - 1, 0, 0, 2, 0]);
      return 32;
    },
  };
  const requests: Pair = new Pair({
    slots: 4,
    slotBytes: 8192 + ScsiTail.bytes,
    ring: ({ driver }) => {
      for (const slot of requests.take()) {
        const data = requests.data(slot);
        const inBytes = driver.word(slot, ScsiWord.inBytes);
        const answer = answers[data[data.length - ScsiTail.bytes]!];
        driver.setWord(slot, ScsiWord.outcome, ScsiResponse.ok);
        driver.setWord(slot, ScsiWord.residual, 0);
        requests.complete([slot], Status.ok, answer ? answer(data) : moved(inBytes));
      }
      queueMicrotask(() => requests.client.drain());
    },
  });
  const lane = () => new Pair({ slots: 2 }).client;
  const lanes = { requests: requests.client, control: lane(), events: lane() };
  return ScsiClient.open(lanes, PROPERTIES);
}

Deno.test("a SCSI read that the lane calls short is short, whatever its residual says #core:short", async () => {
  const read = Uint8Array.of(ScsiOperation.read10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
  const { client, gone } = adapter(() => 100);
  const answer = await client.execute(UNIT, read, { inBytes: 512 });
  assertEquals([answer.data.length, answer.residual], [100, 412]);
  const into = new Uint8Array(512);
  assertEquals((await client.execute(UNIT, read, { into })).residual, 412);
  const disk = await client.disk(UNIT);
  assertEquals(disk.capacity, BLOCKS * 512);
  for (const offset of [0, 512]) {
    const error = await assertRejects(() => disk.read(offset, 1024), ScsiError);
    assertEquals(error.status, Status.invalid);
  }
  gone!();
});

Deno.test("a SCSI read that is as long as it must be has no residual", async () => {
  const { client, gone } = adapter((inBytes) => inBytes);
  const disk = await client.disk(UNIT);
  assertEquals((await disk.read(0, 1024)).length, 1024);
  gone!();
});

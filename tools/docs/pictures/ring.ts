import type { TraceEvent } from "../../../mod.ts";
import { only } from "./run.ts";
import { arrow, box, COLOURS, picture, text } from "./svg.ts";

/** What the three descriptors of a disk's request are (virtio 1.4, 5.2.6). */
const PARTS = ["the request: type, sector", "the data", "the answer: a status"];

/** A split ring with a request in it: a write of 4096 bytes. */
export function ring(events: readonly TraceEvent[]): string {
  const [request] = only(events, "request");
  const [used] = only(events, "used");
  if (!request || !used) throw new Error("Nothing was traced of a request");
  const grant = only(events, "message").find(({ type }) => type === "grant");
  const [queue] = (grant?.body.grant as { queues: { layout: { size: number } }[] }).queues;
  const { size } = queue!.layout;
  const { id, descriptors, indirect } = request;
  const parts = [
    text(20, 28, `A split ring of ${size} entries, with one request in it`, { weight: 600 }),
    box(20, 50, 180, 118, [
      "available ring",
      "the driver writes it",
      `index: ${request.number}`,
      `entry ${request.number - 1}: head ${id}`,
    ], COLOURS.driver),
    box(20, 218, 180, 118, [
      "used ring",
      "the device writes it",
      `index: ${used.number}`,
      `entry ${used.number - 1}: head ${id},`,
      `${used.written} byte${used.written === 1 ? "" : "s"} written`,
    ], COLOURS.device),
    text(20, 370, `The data goes from the driver to the device: it writes`, { fill: COLOURS.soft }),
    text(20, 388, `its answer, ${used.written} byte, and nothing else.`, { fill: COLOURS.soft }),
  ];
  const left = indirect ? 430 : 280;
  if (indirect) {
    parts.push(
      box(260, 50, 130, 84, [
        "table",
        `${id}: a list of`,
        `${descriptors.length} descriptors`,
      ], COLOURS.driver),
      arrow([200, 112], [260, 92]),
      arrow([390, 92], [left, 92]),
    );
  } else parts.push(arrow([200, 112], [left, 92]));
  descriptors.forEach(({ address, bytes, write }, i) => {
    const y = 50 + 100 * i;
    parts.push(
      box(left, y, 190, 84, [
        `descriptor ${i}`,
        `address ${address}`,
        `${bytes} byte${bytes === 1 ? "" : "s"}`,
        write ? "the device writes there" : "the device reads there",
      ], COLOURS.driver),
      arrow([left + 190, y + 42], [left + 240, y + 42]),
      box(
        left + 240,
        y + 14,
        210,
        56,
        [PARTS[i] ?? "a buffer", "memory of the arena"],
        write ? COLOURS.device : COLOURS.client,
      ),
    );
    if (i > 0) parts.push(arrow([left + 95, y - 16], [left + 95, y]));
  });
  return picture(
    900,
    410,
    `A split ring with a request of ${descriptors.length} descriptors`,
    parts,
  );
}

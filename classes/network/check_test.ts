import { assertEquals } from "@std/assert";
import { RequestError } from "../../core/bus/request_error.ts";
import { Status } from "../../core/bus/lane.ts";
import { type Card, checkNetwork } from "./check.ts";

function card(changes: Partial<Card> = {}): Card & { readonly sent: Uint8Array[] } {
  const sent: Uint8Array[] = [];
  return {
    sent,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    linkUp: true,
    mtu: 1500,
    speed: 1000,
    duplex: "full",
    offloads: { transmit: {}, receive: {} } as Card["offloads"],
    send: (frame) => Promise.resolve(void sent.push(frame)),
    filter: { setPromiscuous: () => Promise.resolve() },
    steering: { queuePairs: 1 },
    ...changes,
  };
}

/** The names of the findings that failed. */
async function failures(changes: Partial<Card>): Promise<string[]> {
  const { findings } = await checkNetwork(card(changes), { write: true });
  return findings.filter(({ passed }) => !passed).map(({ name }) => name);
}

Deno.test("checkNetwork sends only if it may, and only to the card itself", async () => {
  const quiet = card();
  const { figures } = await checkNetwork(quiet, { write: false });
  assertEquals([quiet.sent.length, figures.framesSent], [0, 0]);
  const loud = card();
  await checkNetwork(loud, { write: true });
  assertEquals(loud.sent.length, 256);
  for (const frame of loud.sent) {
    assertEquals([...frame.subarray(0, 14)], [...loud.mac, ...loud.mac, 0x88, 0xb5]);
  }
});

Deno.test("checkNetwork finds what is wrong with a card, and bears one without a control queue", async () => {
  const rejects = (status: number) => () => Promise.reject(new RequestError("Cannot", status));
  assertEquals(await failures({}), []);
  assertEquals(await failures({ mac: new Uint8Array(6), mtu: 5 }), ["address", "mtu"]);
  assertEquals(await failures({ filter: { setPromiscuous: rejects(Status.unsupported) } }), []);
  assertEquals(await failures({ filter: { setPromiscuous: rejects(Status.failed) } }), ["control"]);
  assertEquals(await failures({ send: rejects(Status.gone) }), ["send"]);
});

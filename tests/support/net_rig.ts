/**
 * A network card of a QEMU, its kernel, and the other end of its wire.
 *
 * @module
 */

import type { NetClient } from "../../classes/network/client.ts";
import type { Device, Kernel, OpenOptions } from "../../mod.ts";
import { CARD, StreamPeer } from "./net.ts";
import { openQemuKernel } from "./qemu.ts";

/** All of it. */
export interface Rig extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly device: Device<"network">;
  readonly client: NetClient;
  readonly peer: StreamPeer;
}

/**
 * Opens it.
 *
 * @param card Options of QEMU's `virtio-net-pci`, which is called `card`; begins with a comma, unless empty.
 */
export async function rig(card = "", options: OpenOptions = {}): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const peer = stack.use(new StreamPeer());
  const accepting = peer.accept();
  const kernel = stack.use(
    await openQemuKernel([
      ...peer.netdev,
      ...["-device", `virtio-net-pci,id=card,netdev=wire,mac=${CARD},romfile=${card}`],
    ], options),
  );
  await accepting;
  const device = await kernel.attachFirst("network");
  const kept = stack.move();
  return {
    kernel,
    device,
    client: device.client,
    peer,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/**
 * Random reads of 4 KiB by fio from NBD servers.
 *
 * @module
 */

import { findProgram } from "../../core/linux/file.ts";
import type { Isolation } from "../../mod.ts";
import { NbdServer, nbdUri } from "../../nbd/mod.ts";
import { unpacked, unpackedRoot } from "../../tools/unpacked.ts";
import { contend } from "../contend.ts";
import {
  applicationOf,
  deno,
  DEVICE,
  DRIVER,
  NULL_DISK,
  nullDisk,
  pinned,
  Service,
} from "../programs.ts";
import { attachPinned, openPinned } from "../rig.ts";
import type { Contender, Suite } from "../suite.ts";

/** fio counts in whole milliseconds from its own start. */
const ROUND = "400ms";

/** Ours on a disk by vhost-user, beside QEMU's server of such a disk, and nbdkit's on the same by vhost-user. */
export const nbd: Suite = {
  name: "nbd",
  what: "fio's random reads of 4 KiB from our NBD server, beside qemu-nbd and nbdkit with libblkio",
  async *subjects(folder, missing) {
    if (findProgram("fio") === undefined) return missing("there is no fio");
    const contender = (name: string, who: string, processor: number): Contender => ({
      name,
      command: pinned(processor, deno([import.meta.filename!, who, `${folder}/nbd-${who}`])),
    });
    const peers: Contender[] = [];
    if (findProgram("qemu-nbd") === undefined) missing("there is no qemu-nbd");
    else peers.push(contender("qemu-nbd", "qemu-nbd", DRIVER));
    if (unpacked("nbdkit") === undefined) {
      missing("there is no nbdkit with libblkio: deno task prepare fetches it");
    } else peers.push(contender("nbdkit, libblkio", "nbdkit", DRIVER));
    yield {
      subject: "a disk without content",
      axis: "depth",
      points: [1, 32],
      unit: "thousand reads a second",
      better: "more",
      ...peers.length > 0 ? { yardstick: peers[0]!.name } : {},
      contenders: [
        ...peers,
        ...(["inline", "process"] as const).map((isolation) =>
          contender(isolation, isolation, applicationOf(isolation))
        ),
      ],
    };
  },
};

/** Starts a server at a socket. */
async function serve(who: string, socket: string, stack: AsyncDisposableStack): Promise<void> {
  const disk = `${socket}.disk`;
  if (who === "qemu-nbd") {
    const image = NULL_DISK.replace(/,node-name=.*/, "");
    const command = ["qemu-nbd", "-k", socket, "-t", "-r", "-e", "8", "--image-opts", image];
    stack.use(await new Service(DRIVER, command).listening(socket));
    return;
  }
  stack.use(await nullDisk(disk));
  if (who === "nbdkit") {
    const plugins = `${unpackedRoot("nbdkit")}/usr/lib/x86_64-linux-gnu/nbdkit/plugins`;
    const command = [
      ...[unpacked("nbdkit")!, "-f", "-r", "-U", socket, `${plugins}/nbdkit-blkio-plugin.so`],
      ...["virtio-blk-vhost-user", `path=${disk}`],
    ];
    stack.use(await new Service(DRIVER, command).listening(socket));
    return;
  }
  const kernel = stack.use(
    await openPinned({
      machine: "vhost-user",
      vhostUser: [{ kind: "blk", socket: disk, queueSize: 1024 }],
      isolation: who as Isolation,
    }),
  );
  const { client } = await attachPinned(kernel, "block");
  stack.use(new NbdServer(client, { socket, loop: kernel.loop, readOnly: true }));
}

/** What fio makes of it: thousand reads a second. */
async function fio(socket: string, depth: number): Promise<number> {
  const [program, ...args] = pinned(DEVICE, [
    ...["fio", "--name=job", "--ioengine=nbd", `--uri=${nbdUri("", socket)}`],
    ...["--rw=randread", "--bs=4k", "--size=1g", "--time_based", `--runtime=${ROUND}`],
    ...[`--iodepth=${depth}`, "--output-format=json"],
  ]);
  const { success, stdout, stderr } = await new Deno.Command(program!, { args }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`fio: ${text(stderr).trim().split("\n")[0]}`);
  const said = text(stdout);
  // Its engine speaks first.
  const { error, read } = JSON.parse(said.slice(said.indexOf("{"))).jobs[0];
  if (error !== 0) throw new Error(`fio: error ${error}`);
  return read.iops / 1000;
}

if (import.meta.main) {
  const [who, socket] = Deno.args as [string, string];
  await using stack = new AsyncDisposableStack();
  await serve(who, socket, stack);
  await contend((depth) => fio(socket, depth));
}

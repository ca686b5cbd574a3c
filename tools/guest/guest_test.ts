import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { testWith } from "../../tests/support/needs.ts";
import { withoutQemu } from "../../tests/support/machine.ts";
import { findAccelerator, firmwareFile, runsFirmware } from "./accelerator.ts";
import { Guest, GuestLost } from "./guest.ts";

/** Where a processor begins. */
const START = 0xfff0;
/** cli; hlt; jmp back */
const SILENT = [0xfa, 0xf4, 0xeb, 0xfc];
/** lidt of what is nothing; int3: a processor that cannot even say why it gives up is reset. */
const DYING = [0x2e, 0x0f, 0x01, 0x1e, 0x00, 0x00, 0xcc];
/** mov dx, 0x3f8; mov al, 10; out dx, al; jmp back: a line that ends, again and again. */
const TALKING = [0xba, 0xf8, 0x03, 0xb0, 0x0a, 0xee, 0xeb, 0xfd];
const PATIENT = { silence: 60_000, life: 60_000 };

/** Runs a guest that is this firmware, until it ends. */
async function live(
  firmware: readonly number[],
  patience: { readonly silence: number; readonly life: number },
  act: (guest: Guest) => Promise<void> = () => Promise.resolve(),
  program: readonly string[] = ["qemu-system-x86_64"],
): Promise<number> {
  const bios = await firmwareFile([[START, firmware]]);
  const folder = await Deno.makeTempDir({ prefix: "virtio-guest-" });
  try {
    await using guest = await Guest.start(
      [
        ...program,
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        ...["-machine", "q35,accel=tcg", "-bios", bios],
        ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
      ],
      `${folder}/monitor`,
      patience,
    );
    let lines = 0;
    const acting = act(guest);
    try {
      for await (const _line of guest.lines()) lines++;
    } finally {
      await acting;
    }
    return lines;
  } finally {
    await Deno.remove(bios);
    await Deno.remove(folder, { recursive: true });
  }
}

function lost(work: Promise<unknown>, why: RegExp): Promise<GuestLost> {
  return assertRejects(() => work, GuestLost).then((error) => {
    assertMatch(error.message, why);
    return error;
  });
}

testWith(withoutQemu, "a guest that QEMU stops is lost at once #core:guest_watch", async () => {
  await lost(
    live(SILENT, PATIENT, (guest) => guest.execute({ execute: "stop" })),
    /^The guest is lost: QEMU stopped it: paused$/,
  );
});

testWith(withoutQemu, "a guest that is silent is lost #core:guest_watch", async () => {
  await lost(live(SILENT, { ...PATIENT, silence: 500 }), /it was silent for 0.5 s/);
});

testWith(withoutQemu, "a guest that talks and does not end is lost #core:guest_watch", async () => {
  await lost(live(TALKING, { silence: 20_000, life: 3000 }), /it was not done within 3 s/);
});

testWith(
  withoutQemu,
  "a guest that is reset is lost, by its own fault #core:guest_watch",
  async () => {
    assertEquals((await lost(live(DYING, PATIENT), /it was reset/)).reset, true);
  },
);

testWith(
  withoutQemu,
  "a guest whose QEMU is killed is lost, and says how #core:guest_watch",
  async () => {
    const kill = (guest: Guest) => Promise.resolve(Deno.kill(guest.pid, "SIGKILL"));
    await lost(live(SILENT, PATIENT, kill), /QEMU ended with SIGKILL/);
  },
);

testWith(withoutQemu, "a guest that QEMU refuses to start is lost, in QEMU's words", async () => {
  const program = ["qemu-system-x86_64", "-device", "no-such-device"];
  await lost(live(SILENT, PATIENT, undefined, program), /status 1\n.*no-such-device/s);
});

/** A QEMU that says that its guest runs; at the second question it does something else. */
const fake = (otherwise: string) => `
  const path = Deno.args.at(-1).replace("unix:", "");
  const connection = await Deno.connect({ transport: "unix", path });
  let asked = 0;
  for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
    for (const line of text.trim().split("\\n")) {
      const { id, execute } = JSON.parse(line);
      let status = "running";
      if (execute === "query-status" && ++asked > 1) ${otherwise};
      const bytes = new TextEncoder().encode(JSON.stringify({ id, return: { status } }) + "\\n");
      await connection.write(bytes);
    }
  }`;

Deno.test("a guest with which KVM cannot go on is lost, event or not #core:guest_watch", async () => {
  const program = [Deno.execPath(), "eval", fake('status = "internal-error"'), "--"];
  await lost(live(SILENT, PATIENT, undefined, program), /QEMU stopped it: internal-error$/);
});

Deno.test("a guest that ends while QEMU is asked for it is not lost #core:guest_watch", async () => {
  const program = [Deno.execPath(), "eval", fake("Deno.exit(0)"), "--"];
  assertEquals(await live(SILENT, PATIENT, undefined, program), 0);
});

testWith(withoutQemu, "a guest that turns itself off is not lost #core:guest_watch", async () => {
  // Only then QEMU ends with 0.
  assertEquals(await live(SILENT, PATIENT, (guest) => guest.execute({ execute: "quit" })), 0);
});

testWith(
  withoutQemu,
  "the probe for an accelerator takes one that comes to protected mode",
  async () => {
    assertEquals(await runsFirmware("tcg", "Nehalem"), true);
  },
);

testWith(
  withoutQemu,
  "the probe for an accelerator refuses one that hangs or is reset",
  async () => {
    for (const firmware of [SILENT, DYING]) {
      assertEquals(await runsFirmware("tcg", "Nehalem", [[START, firmware]], 1500), false);
    }
    assertEquals(await runsFirmware("no-such-accelerator", "Nehalem"), false);
  },
);

Deno.test("VIRTIO_GUEST_ACCEL has the last word, if it is one", async () => {
  const before = Deno.env.get("VIRTIO_GUEST_ACCEL");
  try {
    for (const name of ["kvm", "tcg"] as const) {
      Deno.env.set("VIRTIO_GUEST_ACCEL", name);
      assertEquals(await findAccelerator(), name);
    }
    Deno.env.set("VIRTIO_GUEST_ACCEL", "hvf");
    await assertRejects(findAccelerator, Error, 'VIRTIO_GUEST_ACCEL is "hvf", not kvm or tcg');
  } finally {
    if (before === undefined) Deno.env.delete("VIRTIO_GUEST_ACCEL");
    else Deno.env.set("VIRTIO_GUEST_ACCEL", before);
  }
});

/**
 * VirtIO devices that the project does not know, brought by third parties: driver, class and model in a folder outside,
 * with nothing of the project but its public exports.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { deadline } from "@std/async";
import { defineClass, type DeviceClass } from "../core/class/mod.ts";
import { type Kernel, openKernel, type OpenOptions } from "../mod.ts";
import "./support/libc.ts";
import { soon } from "./support/leaks.ts";
import { pattern, qemuProgram, qemuTest } from "./support/machine.ts";
import { patience } from "./support/patience.ts";
import { run } from "./support/program.ts";
import { qmpOf } from "./support/qemu.ts";
import { copied, type Copy } from "./support/third_party.ts";
import type { Crypto } from "./third_party/crypto/class.ts";
import type { CryptoModel } from "./third_party/crypto/model.ts";
import type { Keyboard, KeyEvent } from "./third_party/keyboard/class.ts";
import type { KeyboardModel } from "./third_party/keyboard/model.ts";

const WAIT_MS = 30_000;
const QEMU = {
  keyboard: ["-device", "virtio-keyboard-pci"],
  crypto: ["-object", "cryptodev-backend-builtin,id=c", "-device", "virtio-crypto-pci,cryptodev=c"],
} as const;

/** A kernel on a machine with one device, which the third party's folder drives. */
async function opened<Client, Model>(
  name: "keyboard" | "crypto",
  brought: Copy,
  simulated: boolean,
  options: Pick<OpenOptions, "isolation"> = {},
): Promise<{ kernel: Kernel<Record<string, DeviceClass<Client>>>; model: Model }> {
  const { [name]: known } = await brought.load<Record<string, DeviceClass<Client>>>("class.ts");
  const { default: make } = await brought.load<{ default: () => never }>("model.ts");
  const model = make();
  const machine = simulated
    ? { machine: "simulated", devices: [model] } as const
    : { machine: "qemu", qemu: { program: qemuProgram(), arguments: QEMU[name] } } as const;
  const kernel = await openKernel({
    ...machine,
    ...options,
    classes: { [name]: known! },
    drivers: [await brought.source()],
  });
  return { kernel, model };
}

for (const name of ["keyboard", "crypto"] as const) {
  Deno.test(`the folder of the ${name} stands on the public exports alone, and is small #core:third_party`, async () => {
    using brought = copied(name);
    const files = [...Deno.readDirSync(brought.folder)].map((file) => file.name)
      .filter((file) => file.endsWith(".ts"));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", "deno.json", ...files],
      cwd: brought.folder,
      env: { NO_COLOR: "1" },
      signal: patience(),
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    const texts = files.map((file) => Deno.readTextFileSync(`${brought.folder}/${file}`));
    const lines = files.map((file, i) => [file, texts[i]!.trimEnd().split("\n").length] as const);
    const sum = lines.reduce((sum, [file, count]) => file === "model.ts" ? sum : sum + count, 0);
    assert(sum <= 150, JSON.stringify(lines));
    for (const text of texts) {
      for (const [, from] of text.matchAll(/from "(.*)"/g)) {
        assertMatch(from!, /^(@virtio\/deno\/(class|plugin|simulation)|\.\/[a-z]+\.ts)$/);
      }
    }
  });
}

/** Presses keys, each down and up, on the machine that the kernel has. */
async function press(
  { kernel, model }: {
    kernel: Kernel<Record<string, DeviceClass<Keyboard>>>;
    model: KeyboardModel;
  },
  codes: readonly (keyof typeof QCODES)[],
): Promise<void> {
  for (const code of codes) {
    for (const down of [true, false]) {
      if (kernel.machine.kind === "simulated") {
        assert(await soon(() => model.press(code, down)), "the driver lends no room for events");
      } else {
        const key = { type: "qcode", data: QCODES[code] };
        qmpOf(kernel).execute("input-send-event", {
          events: [{ type: "key", data: { down, key } }],
        });
      }
    }
  }
}

/** Codes of some keys, and QEMU's words for them. */
const QCODES = { 30: "a", 48: "b", 46: "c", 32: "d" } as const;
const CODES = [30, 48, 46, 32] as const;

/** What a keyboard tells of keys that are pressed, each down and up. */
function told(codes: readonly number[]): KeyEvent[] {
  return codes.flatMap((code) => [{ code, value: 1 }, { code, value: 0 }]);
}

async function take(events: AsyncIterator<KeyEvent>, count: number): Promise<KeyEvent[]> {
  const taken: KeyEvent[] = [];
  while (taken.length < count) {
    const { value, done } = await deadline(events.next(), WAIT_MS);
    assert(!done, "nothing comes any more");
    taken.push(value);
  }
  return taken;
}

/** Declares a test for each way to run a driver, on a simulated machine and on QEMU. */
function everywhere(
  name: string,
  test: (simulated: boolean, isolation: "process" | "inline") => Promise<void>,
): void {
  for (const isolation of ["process", "inline"] as const) {
    Deno.test(`${name} (simulated, ${isolation})`, () => test(true, isolation));
    qemuTest(`${name} (QEMU, ${isolation})`, () => test(false, isolation));
  }
}

everywhere(
  "a third party's keyboard tells of each key, from the first on #core:third_party #core:speaks_first",
  async (simulated, isolation) => {
    using brought = copied("keyboard");
    const machine = await opened<Keyboard, KeyboardModel>("keyboard", brought, simulated, {
      isolation,
    });
    await using kernel = machine.kernel;
    const { client, check } = await kernel.attachFirst("keyboard");
    const events = client.events();
    await press(machine, CODES);
    assertEquals(await take(events, 8), told(CODES));

    // More than the queue has room for at once.
    const many = Array.from({ length: 100 }, (_, i) => CODES[i % 4]!);
    for (let at = 0; at < many.length; at += 10) {
      await press(machine, many.slice(at, at + 10));
      assertEquals(await take(events, 20), told(many.slice(at, at + 10)));
    }

    const { name, keys } = await deadline(client.about(), WAIT_MS);
    assertEquals(name, simulated ? "Simulated Keyboard" : "QEMU Virtio Keyboard");
    assertEquals(CODES.every((code) => keys.includes(code)) && !keys.includes(0), true);
    await client.setLed(1, true);
    if (simulated) assertEquals([...machine.model.lit], [1]);
    await assertRejects(() => client.setLed(16, true), RangeError, "0 to 15");
    const { findings } = await check!({ write: false });
    assertEquals(findings.map(({ passed }) => passed), [true]);
  },
);

everywhere(
  "a third party's crypto device encrypts and decrypts as Web Crypto does #core:third_party",
  async (simulated, isolation) => {
    using brought = copied("crypto");
    const machine = await opened<Crypto, CryptoModel>("crypto", brought, simulated, { isolation });
    await using kernel = machine.kernel;
    const { client } = await kernel.attachFirst("crypto");
    await Promise.all(
      [16, 32, 1024, 4080, 4096].flatMap((bytes) =>
        [16, 24, 32].map((keyBytes) => thereAndBack(client, keyBytes, bytes))
      ),
    );
    const [key, vector, bytes] = [pattern(16, 1), pattern(16, 2), pattern(64, 3)];
    for (
      const wrong of [
        () => client.encrypt(key, vector, pattern(4112, 4)),
        () => client.encrypt(key, vector.subarray(1), bytes),
        () => client.decrypt(pattern(33, 5), vector, bytes),
      ]
    ) {
      await assertRejects(wrong, RangeError, "a whole number");
    }
    const odd = () => client.encrypt(pattern(17, 5), vector, bytes);
    await assertRejects(odd, Error, "Cannot encrypt 64 bytes: the device reported an error");
    await thereAndBack(client, 16, 64);
    if (simulated) assertEquals(machine.model.sessions.size, 0);
  },
);

/** What Web Crypto makes of it, without the block that it puts behind. */
async function encrypted(
  key: Uint8Array<ArrayBuffer>,
  iv: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  const { subtle } = globalThis.crypto;
  const own = await subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
  const padded = await subtle.encrypt({ name: "AES-CBC", iv }, own, bytes);
  return new Uint8Array(padded, 0, bytes.length);
}

async function thereAndBack(client: Crypto, keyBytes: number, bytes: number, seed = bytes) {
  const key = pattern(keyBytes, seed).slice(), vector = pattern(16, seed + 1).slice();
  const plain = pattern(bytes, seed + 2).slice();
  const secret = await client.encrypt(key, vector, plain);
  assertEquals(secret.toHex(), (await encrypted(key, vector, plain)).toHex());
  assertEquals((await client.decrypt(key, vector, secret)).toHex(), plain.toHex());
}

for (const simulated of [true, false]) {
  const declare = simulated ? Deno.test : qemuTest;
  const where = simulated ? "simulated" : "QEMU";

  declare(
    `a third party's crypto driver that is killed under load answers each request once (${where}) #core:third_party_killed`,
    async () => {
      using brought = copied("crypto");
      const machine = await opened<Crypto, CryptoModel>("crypto", brought, simulated);
      await using kernel = machine.kernel;
      const device = await kernel.attachFirst("crypto");
      let answers = 0;
      const all = Array.from({ length: 300 }, async (_, seed) => {
        await thereAndBack(device.client, 32, 2048, seed);
        answers++;
      });
      for (let kill = 0; kill < 2; kill++) {
        const before = device.pid!;
        const answered = answers;
        assert(await soon(() => answers > answered, WAIT_MS), "nothing is answered any more");
        Deno.kill(before, "SIGKILL");
        assert(await soon(() => device.pid !== before, WAIT_MS), "no new process came");
      }
      await deadline(Promise.all(all), 2 * WAIT_MS);
      assertEquals(answers, 300);
      assertEquals((await device.describe()).restarts, 2);
      if (simulated) assertEquals(machine.model.sessions.size, 0);
    },
  );

  declare(
    `a third party's keyboard driver that is killed loses no key unsaid (${where}) #core:third_party_killed`,
    async () => {
      using brought = copied("keyboard");
      const machine = await opened<Keyboard, KeyboardModel>("keyboard", brought, simulated);
      await using kernel = machine.kernel;
      const device = await kernel.attachFirst("keyboard");
      const events = device.client.events();
      await device.client.setLed(2, true);
      for (let kill = 0; kill < 2; kill++) {
        await press(machine, CODES);
        assertEquals(await take(events, 8), told(CODES));
        const before = device.pid!;
        Deno.kill(before, "SIGKILL");
        assertEquals(await take(events, 1), ["gap"]);
        assert(device.pid !== before);
        // What was lit is lit again.
        if (simulated) assert(await soon(() => machine.model.lit.has(2)), "the light stays off");
      }
      // From the gap on nothing is lost.
      await press(machine, CODES);
      assertEquals(await take(events, 8), told(CODES));
    },
  );
}

Deno.test("what a third party's driver tells wrongly, or does not have, is one sentence #core:third_party", async () => {
  const plan = "plan: () => ({";
  using wrong = copied("keyboard", { [plan]: `${plan} properties: { name: 5 },` });
  const { kernel: first } = await opened<Keyboard, KeyboardModel>("keyboard", wrong, true);
  await using _first = first;
  await assertRejects(
    () => first.attachFirst("keyboard"),
    TypeError,
    "Cannot use the property name of the driver keyboard: it is 5, wanted a text",
  );
  assertEquals(first.devices, []);

  using brought = copied("keyboard");
  const fussy = defineClass({ lanes: ["dreams"], open: ({ dreams }) => ({ client: dreams }) });
  const { default: make } = await brought.load<{ default: () => never }>("model.ts");
  await using second = await openKernel({
    machine: "simulated",
    devices: [make()],
    classes: { keyboard: fussy },
    plugins: [brought.folder],
  });
  await assertRejects(
    () => second.attachFirst("keyboard"),
    TypeError,
    "no lane named dreams, which its class needs; it has events, leds",
  );
});

/** Runs the program with leave to read a third party's folder. */
async function check(folder: string, ...options: readonly string[]) {
  const root = new URL("../", import.meta.url).pathname;
  const start = ["run", "--no-prompt", "--allow-ffi", `--allow-read=${folder}`, `${root}main.ts`];
  const line = ["check", "--plugins", folder, ...options];
  return await run(Deno.execPath(), ...start, ...line);
}

for (
  const [name, says] of [
    ["keyboard", "passed: Simulated Keyboard, 127 keys"],
    ["crypto", "passed: AES-256-CBC, 4096 bytes there and back"],
  ] as const
) {
  Deno.test(`main.ts check puts a third party's ${name} to work by its class's own check #cli:class_module`, async () => {
    using brought = copied(name);
    const { folder } = brought;
    const simulated = ["--machine", "simulated", "--model", `${folder}/model.ts`];
    const known = await check(folder, "--class", `${folder}/class.ts`, ...simulated);
    assertEquals(known.code, 0, known.err);
    assertStringIncludes(known.text, says);

    const unknown = await check(folder, ...simulated);
    assertEquals(unknown.code, 1, unknown.err);
    assertStringIncludes(
      unknown.text,
      `at work with 2 queues; nothing here knows how to use its class, ${name}`,
    );
  });

  qemuTest(`main.ts check does so with QEMU's ${name} #cli:class_module`, async () => {
    using brought = copied(name);
    const { folder } = brought;
    const qemu = ["--machine", "qemu", "--qemu", qemuProgram(), "--", ...QEMU[name]];
    const { code, text, err } = await check(folder, "--class", `${folder}/class.ts`, ...qemu);
    assertEquals(code, 0, err);
    assertMatch(text, new RegExp(`${name} +passed`));
  });
}

Deno.test("main.ts says in one sentence what is wrong with a class, and what leave it needs #cli:class_module", async () => {
  using brought = copied("keyboard");
  const { folder } = brought;
  const simulated = ["--machine", "simulated", "--model", `${folder}/model.ts`];
  const fussy = `
    import { defineClass } from "@virtio/deno/class";
    export const keyboard = defineClass({ lanes: ["dreams"], open: () => ({ client: {} }) });`;
  Deno.writeTextFileSync(`${folder}/fussy.ts`, fussy);
  Deno.writeTextFileSync(`${folder}/broken.ts`, "export const = 3;");
  for (
    const [module, code, says] of [
      [`${folder}/fussy.ts`, 1, "no lane named dreams, which its class needs; it has events, leds"],
      [
        `${folder}/protocol.ts`,
        2,
        "exports no device class, as defineClass makes one, but EVENT_BYTES",
      ],
      [`${folder}/nowhere.ts`, 2, "Module not found"],
      [`${folder}/broken.ts`, 2, "Cannot use --class"],
      ["/etc/hostname", 5, "--allow-read=/etc"],
    ] as const
  ) {
    const said = await check(folder, "--class", module, ...simulated);
    assertEquals(said.code, code, said.err);
    assertStringIncludes(said.text + said.err, says);
  }
});

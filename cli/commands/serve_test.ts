import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import "../../tests/support/libc.ts";
import { runFake } from "../fake_test.ts";

const CASES: readonly (readonly [line: string, exit: number, sentence: string])[] = [
  ["serve blk", 2, "Cannot serve without --vhost-user"],
  ["serve --vhost-user /tmp/x", 2, "Cannot run serve with 0 arguments: it takes <model...>"],
  ["serve disk --vhost-user /tmp/x", 2, 'Unknown model "disk". There are blk, scsi, net,'],
  ["serve randon --vhost-user /tmp/x", 2, 'Did you mean "random"?'],
  ["serve constructor --vhost-user /tmp/x", 2, "Unknown model"],
  ["serve blk net --vhost-user /tmp/x", 2, "Cannot serve more than 1 devices by --vhost-user"],
  ["serve net --disk x --vhost-user /tmp/x", 2, "Cannot use --disk with net: it is for blk"],
  ["serve net --queues 2 --vhost-user /tmp/x", 2, "Cannot use --queues with net: it is for blk"],
  ["serve blk --queues 0 --vhost-user /tmp/x", 2, "wanted a whole number from 1 to 64"],
  ["serve blk --lie D-999 --vhost-user /tmp/x", 2, "Cannot lie as D-999: the catalogue has D-01"],
  ["serve blk --lie D-01 --vhost-user /tmp/x", 2, "Cannot lie as D-01 by vhost-user"],
  ["serve blk --disk /does/not/exist --vhost-user /tmp/x", 1, "Cannot open /does/not/exist"],
  ["serve blk --vhost-user /does/not/exist/x", 1, "Cannot listen at /does/not/exist/x: ENOENT"],
  ["serve blk --vhost-user /etc/passwd", 1, "it is a file, which is left alone"],
  ["serve nvme --vhost-user /tmp/x", 2, "Cannot serve nvme by vhost-user: it is no VirtIO device"],
  [
    "serve nvme --lie D-41 --vfio-user /tmp",
    2,
    "Cannot lie as D-41: the catalogue is about VirtIO",
  ],
  ["serve nosuch --vfio-user /tmp", 2, 'Unknown model "nosuch"'],
  ["serve blk blk --vfio-user /tmp --disk x", 2, "it is for one model, and fits 2"],
  ["serve net --vfio-user /tmp --queues 2", 2, "it is for one model, and fits none"],
  ["serve blk --vfio-user /tmp --once", 2, "Cannot use --once with --vfio-user"],
  ["serve blk --vfio-user /tmp --lie D-999", 2, "Cannot lie as D-999: the catalogue has D-01"],
  ["serve blk --vfio-user /does/not/exist", 1, "/does/not/exist/blk.sock: ENOENT"],
];

for (const [line, exit, sentence] of CASES) {
  Deno.test(`${line}: is refused by a sentence #cli:serve_options`, async () => {
    const ran = await runFake(line);
    assertEquals([ran.exit, ran.out], [exit, ""]);
    assertStringIncludes(ran.err, sentence);
    assertMatch(ran.err, /^error: [^\n]+\n?$/);
  });
}

Deno.test("serve prints what QEMU needs, and ends when it is told to #cli:serve_options", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-serve-" });
  for (const model of ["blk", "scsi", "net", "random", "console", "balloon"]) {
    const end = new AbortController();
    const line = `serve ${model} --vhost-user ${folder}/socket`;
    const running = runFake(line, { signal: end.signal });
    while (!existsSync(`${folder}/socket`)) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const { CliError, EXIT } = await import("../exit.ts");
    end.abort(new CliError(EXIT.interrupted, "interrupted"));
    const ran = await running;
    assertStringIncludes(ran.out, `path=${folder}/socket`);
    assertStringIncludes(ran.out, "memory-backend-memfd,id=memory,size=1G,share=on");
    assertEquals([...Deno.readDirSync(folder)], []);
  }
  Deno.removeSync(folder);
});

Deno.test("serve prints what QEMU needs of whole PCI functions, and ends when it is told to #cli:serve_vfio_user", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "virtio-serve-" });
  const end = new AbortController();
  const line = `serve blk net blk --lie D-01,D-41 --vfio-user ${folder}`;
  const running = runFake(line, { signal: end.signal });
  while (!existsSync(`${folder}/blk-3.sock`)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  const { CliError, EXIT } = await import("../exit.ts");
  end.abort(new CliError(EXIT.interrupted, "interrupted"));
  const { out } = await running;
  assertStringIncludes(out, "memory-backend-memfd,id=memory,size=1G,share=on");
  for (const name of ["blk", "net", "blk-3"]) {
    const device = { driver: "vfio-user-pci", id: name };
    assertStringIncludes(out, JSON.stringify(device).slice(0, -1));
    assertStringIncludes(out, `"path":"${folder}/${name}.sock"`);
  }
  assertEquals([...Deno.readDirSync(folder)], []);
  Deno.removeSync(folder);
});

function existsSync(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

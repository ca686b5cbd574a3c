import { assertEquals, assertThrows } from "@std/assert";
import type { Lines } from "./lines.ts";
import { QemuGone } from "./process.ts";
import { barRegisters, openQtest, outCommand, writeCommand } from "./qtest.ts";

/** A QEMU of one scripted conversation: `answers` come in order, whatever was sent. */
function scripted(answers: readonly string[]) {
  const sent: string[] = [];
  const left = [...answers];
  const lines: Lines = {
    send: (bytes) => void sent.push(new TextDecoder().decode(bytes)),
    next: () => left.shift() ?? "OK 0x0000000000000000",
    nextWithin: () => left.shift(),
    nextReceived: () => left.shift(),
  };
  const qemu = { fail: (what: string) => new QemuGone(what, 1, undefined, "") };
  return { qtest: openQtest(lines, qemu), sent, left };
}

Deno.test("Qtest.read() takes the one answer with a value, whatever comes before it", () => {
  const { qtest, sent, left } = scripted([
    "OK",
    "IRQ raise 10",
    "OK",
    "IRQ raise 11",
    "IRQ lower 10",
    "OK 0x00000000fffffffe",
    "OK",
  ]);
  assertEquals(qtest.read(4, 0x10_0000_0000), 0xfffffffe);
  assertEquals(sent, ["readl 0x1000000000\n"]);
  assertEquals(left, ["OK"]);
  assertEquals([10, 11].map(qtest.raised), [false, true]);
});

Deno.test("Qtest.write() does not wait, but never leaves more than 64 writes unanswered", () => {
  const { qtest, sent } = scripted([]);
  for (let i = 0; i < 63; i++) qtest.write(2, 0x1000, i);
  assertEquals(sent.length, 63);
  qtest.out(1, 0x80, 1);
  assertEquals(sent.slice(-2), ["outb 0x80 0x1\n", "readb 0x0\n"]);
  for (let i = 0; i < 63; i++) qtest.write(1, 0x1000, 0);
  qtest.in(2, 0xcfc);
  for (let i = 0; i < 63; i++) qtest.write(1, 0x1000, 0);
  assertEquals(sent.filter((line) => line === "readb 0x0\n").length, 1);
});

Deno.test("Qtest ends QEMU when it refuses a command, since answers are ambiguous then", () => {
  const { qtest } = scripted(["FAIL Unknown command 'x'"]);
  assertThrows(() => qtest.read(1, 0), QemuGone, "FAIL Unknown command 'x'");
});

Deno.test("writeCommand() sends no number that QEMU would abort on", () => {
  assertEquals(
    new TextDecoder().decode(writeCommand(4, 2 ** 36, 0xffffffff)),
    "writel 0x1000000000 0xffffffff\n",
  );
  for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 60]) {
    assertThrows(() => writeCommand(4, 0, bad), RangeError);
    assertThrows(() => writeCommand(4, bad, 0), RangeError);
  }
});

Deno.test("barRegisters() stays in its window of memory or ports", () => {
  const { qtest, sent } = scripted([]);
  const memory = barRegisters(qtest, "memory", 0xc000_0000, 16);
  memory.write32(12, 1);
  memory.read16(2);
  const ports = barRegisters(qtest, "io", 0xc080, 16);
  ports.write8(15, 1);
  ports.read32(0);
  assertEquals(sent, [
    "writel 0xc000000c 0x1\n",
    "readw 0xc0000002\n",
    "outb 0xc08f 0x1\n",
    "inl 0xc080\n",
  ]);
  for (const offset of [16, 14, 2, -4]) {
    for (const registers of [memory, ports]) {
      assertThrows(() => registers.read32(offset), RangeError);
    }
  }
});

Deno.test("outCommand() rings a doorbell that is a port", () => {
  assertEquals(new TextDecoder().decode(outCommand(2, 0xc090, 3)), "outw 0xc090 0x3\n");
});

Deno.test("Qtest.intercept() leaves no report of a line unheard that came with an answer", () => {
  const answers = ["OK 0x0000000000000001", "IRQ raise 20", "OK", "IRQ lower 20", "IRQ raise 21"];
  const { qtest, sent, left } = scripted(["OK", "IRQ raise 22", ...answers]);
  const raised: number[] = [];
  qtest.intercept((line) => raised.push(line));
  assertEquals(sent, ["irq_intercept_in ioapic\n"]);
  assertEquals(raised, []);
  assertEquals(qtest.read(1, 0), 1);
  assertEquals(raised, [22, 20, 21]);
  assertEquals([20, 21, 22].map(qtest.raised), [false, true, true]);
  left.push("IRQ lower 22", "OK", "IRQ raise 22");
  qtest.listen();
  assertEquals(raised, [22, 20, 21, 22]);
});

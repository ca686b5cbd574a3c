/**
 * Accesses to device registers that a driver's process cannot make itself: it asks the core, and waits in place. One
 * access is under way at a time; what is asked stands in words of control memory.
 *
 * @module
 */

import { checkAccess, type Registers } from "../pci/registers.ts";
import { ControlWord } from "./control.ts";
import { BusFault } from "./mailbox.ts";

/** Where what is asked stands, in words behind {@linkcode ControlWord.registerAsked}. */
const Ask = { window: 1, width: 2, write: 3, offset: 4, value: 5 } as const;
/** Where the answer stands, behind {@linkcode ControlWord.registerAnswered}. */
const RESULT = 1;

type Words = Int32Array<SharedArrayBuffer>;
type Width = 1 | 2 | 4;

/** How a driver's process asks. */
export interface RegisterPort {
  /** Control memory. */
  readonly words: Words;
  /** Tells the core. */
  readonly ring: () => void;
  /** Returns when `done` is true. */
  readonly wait: (done: () => boolean) => void;
}

/**
 * Windows of registers, seen from a driver's process.
 *
 * @param windows Name and size in bytes of each, in the order in which the core has them.
 */
export function askedRegisters(
  windows: readonly { readonly name: string; readonly bytes: number }[],
  { words, ring, wait }: RegisterPort,
): Readonly<Record<string, Registers>> {
  const { registerAsked, registerAnswered } = ControlWord;
  let asked = 0;
  const answered = () => Atomics.load(words, registerAnswered) === asked;

  function access(window: number, width: Width, write: boolean, offset: number, value: number) {
    words[registerAsked + Ask.window] = window;
    words[registerAsked + Ask.width] = width;
    words[registerAsked + Ask.write] = Number(write);
    words[registerAsked + Ask.offset] = offset;
    words[registerAsked + Ask.value] = value;
    asked = asked + 1 | 0;
    Atomics.store(words, registerAsked, asked);
    ring();
    wait(answered);
    return words[registerAnswered + RESULT]! >>> 0;
  }

  return Object.fromEntries(windows.map(({ name, bytes }, window): [string, Registers] => {
    const read = (width: Width) => (offset: number) => {
      checkAccess(bytes, offset, width);
      return access(window, width, false, offset, 0);
    };
    const write = (width: Width) => (offset: number, value: number) => {
      checkAccess(bytes, offset, width);
      access(window, width, true, offset, value);
    };
    return [name, {
      size: bytes,
      read8: read(1),
      read16: read(2),
      read32: read(4),
      write8: write(1),
      write16: write(2),
      write32: write(4),
    }];
  }));
}

/**
 * Makes the access that a driver's process asks for, if it does.
 *
 * @param windows The windows that it was granted.
 * @returns Whether it asked.
 * @throws BusFault If it asks for what it was not granted.
 */
export function answerRegisters(words: Words, windows: readonly Registers[]): boolean {
  const { registerAsked, registerAnswered } = ControlWord;
  const asked = Atomics.load(words, registerAsked);
  if (asked === words[registerAnswered]) return false;
  const [window, width, write, offset, value] = [
    words[registerAsked + Ask.window]!,
    words[registerAsked + Ask.width]!,
    words[registerAsked + Ask.write]!,
    words[registerAsked + Ask.offset]!,
    words[registerAsked + Ask.value]! >>> 0,
  ];
  const registers = windows[window];
  const aligned = (width === 1 || width === 2 || width === 4) && offset % width === 0;
  if (!registers || !aligned || offset < 0 || offset + width > registers.size) {
    throw new BusFault(
      `the driver accesses ${width} bytes at ${offset} of registers ${window}, which it was not granted`,
    );
  }
  words[registerAnswered + RESULT] = write === 0
    ? readFrom(registers, offset, width)
    : writeTo(registers, offset, width, value);
  Atomics.store(words, registerAnswered, asked);
  return true;
}

function readFrom(registers: Registers, offset: number, width: Width): number {
  if (width === 4) return registers.read32(offset);
  return width === 2 ? registers.read16(offset) : registers.read8(offset);
}

function writeTo(registers: Registers, offset: number, width: Width, value: number): number {
  if (width === 4) registers.write32(offset, value);
  else if (width === 2) registers.write16(offset, value & 0xffff);
  else registers.write8(offset, value & 0xff);
  return 0;
}

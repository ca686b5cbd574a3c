/**
 * Accesses to device registers that a driver's process cannot make itself: it asks the core, and waits in place. One
 * access is under way at a time; what is asked stands in words of control memory.
 *
 * @module
 */

import { readWidth, type Registers, type Width, window, writeWidth } from "../pci/registers.ts";
import { ControlWord } from "./control.ts";
import { BusFault } from "./mailbox.ts";

/** Where what is asked stands, in words behind {@linkcode ControlWord.registerAsked}. */
const Ask = { window: 1, width: 2, write: 3, offset: 4, value: 5 } as const;
/** Where the answer stands, behind {@linkcode ControlWord.registerAnswered}. */
const RESULT = 1;

type Words = Int32Array<SharedArrayBuffer>;

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

  function access(at: number, width: Width, write: boolean, offset: number, value: number) {
    words[registerAsked + Ask.window] = at;
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

  return Object.fromEntries(windows.map(({ name, bytes }, at): [string, Registers] => [
    name,
    window(
      bytes,
      (offset, width) => access(at, width, false, offset, 0),
      (offset, width, value) => void access(at, width, true, offset, value),
    ),
  ]));
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
  const [at, width, write, offset, value] = [
    words[registerAsked + Ask.window]!,
    words[registerAsked + Ask.width]!,
    words[registerAsked + Ask.write]!,
    words[registerAsked + Ask.offset]!,
    words[registerAsked + Ask.value]! >>> 0,
  ];
  const registers = windows[at];
  const aligned = (width === 1 || width === 2 || width === 4) && offset % width === 0;
  if (!registers || !aligned || offset < 0 || offset + width > registers.size) {
    throw new BusFault(
      `the driver accesses ${width} bytes at ${offset} of registers ${at}, which it was not granted`,
    );
  }
  if (write === 0) words[registerAnswered + RESULT] = readWidth(registers, offset, width);
  else writeWidth(registers, offset, width, value);
  Atomics.store(words, registerAnswered, asked);
  return true;
}

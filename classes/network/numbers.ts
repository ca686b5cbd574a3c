import { NetControlWord } from "./protocol.ts";

/** The words of a record in the lane `control` that hold these numbers. */
export function numbers(...values: readonly number[]): Readonly<Record<number, number>> {
  return Object.fromEntries(values.map((value, i) => [NetControlWord.arguments + i, value]));
}

/** The numbers of 32 bits that came back as data. */
export function answeredNumbers(data: Uint8Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(data.buffer, 0, data.length >> 2);
}

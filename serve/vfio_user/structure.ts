/** A field of a structure: how many bytes it has. Those of eight are `bigint`, the others numbers. */
export type FieldBytes = 2 | 4 | 8;

/** Names and widths of a structure's fields, in their order. */
export type Fields = Readonly<Record<string, FieldBytes>>;

/** The values of a structure. */
export type Values<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends 8 ? bigint : number;
};

/** A structure of little-endian fields without gaps. */
export interface Structure<F extends Fields> {
  /** How many bytes it has. */
  readonly bytes: number;
  /** Writes it to the start of `into`. */
  encode(values: Values<F>, into: Uint8Array): void;
  /** Reads it from the start of `from`, which must have all of it. */
  decode(from: Uint8Array): Values<F>;
}

/** Makes a structure of its fields. */
export function structure<const F extends Fields>(fields: F): Structure<F> {
  const list = Object.entries(fields);
  const bytes = list.reduce((sum, [, width]) => sum + width, 0);
  return {
    bytes,
    encode(values, into) {
      const view = viewOf(into, bytes);
      let at = 0;
      for (const [name, width] of list) {
        const value = values[name]!;
        if (width === 8) view.setBigUint64(at, value as bigint, true);
        else if (width === 4) view.setUint32(at, value as number, true);
        else view.setUint16(at, value as number, true);
        at += width;
      }
    },
    decode(from) {
      const view = viewOf(from, bytes);
      const values: Record<string, number | bigint> = {};
      let at = 0;
      for (const [name, width] of list) {
        values[name] = width === 8
          ? view.getBigUint64(at, true)
          : width === 4
          ? view.getUint32(at, true)
          : view.getUint16(at, true);
        at += width;
      }
      return values as Values<F>;
    },
  };
}

function viewOf(bytes: Uint8Array, needed: number): DataView {
  if (bytes.length >= needed) return new DataView(bytes.buffer, bytes.byteOffset, needed);
  throw new RangeError(`Cannot find a structure of ${needed} bytes in ${bytes.length}`);
}

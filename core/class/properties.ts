/**
 * What a driver tells of its device is checked here, once, when it tells it: a class names each of its properties with
 * what it may be.
 *
 * @module
 */

// Properties that a driver tells of its device, checked by their class.

import { shown } from "../bus/arguments.ts";
import type { Told } from "./define.ts";

/** What a driver may tell as a property of its device. */
export interface Property<Value> {
  /** That, for people: `"a whole number, 0 to 255"`. */
  readonly wanted: string;
  /** Whether a value is one. */
  readonly fits: (value: unknown) => boolean;
  /** What it is if the driver leaves it out; if there is no such value, the driver must not. */
  readonly usual?: Value;
}

/** The properties of a class of devices, by name: each with what it may be. */
export type PropertyTypes<Properties> = {
  readonly [Name in keyof Properties]: Property<Properties[Name]>;
};

/** A whole number from `least` to `most`: 32 bits without a sign, if they are left out. */
export function whole(least = 0, most: number = 2 ** 32 - 1): Property<number> {
  return {
    wanted: `a whole number, ${least} to ${most}`,
    fits: (value) => Number.isInteger(value) && value as number >= least && value as number <= most,
  };
}

/** A number of 8 bits without a sign. */
export const u8: Property<number> = whole(0, 0xff);
/** A number of 16 bits without a sign. */
export const u16: Property<number> = whole(0, 0xffff);
/** A number of 32 bits without a sign. */
export const u32: Property<number> = whole();
/** True or false. */
export const flag: Property<boolean> = {
  wanted: "true or false",
  fits: (value) => typeof value === "boolean",
};

/**
 * A text.
 *
 * @param wanted What text, for people: `"a name"`.
 * @param fits Whether a text is one; any is if left out.
 */
export function text(
  wanted = "a text",
  fits: (value: string) => boolean = () => true,
): Property<string> {
  return { wanted, fits: (value) => typeof value === "string" && fits(value) };
}

/** A property that a driver may leave out: it is `usual` then. */
export function usually<Value>(property: Property<Value>, usual: Value): Property<Value> {
  return { ...property, usual };
}

/**
 * Checks what a driver tells, and reads each property once. What else it tells is left out.
 *
 * @param driver The driver's name, for the error.
 * @throws TypeError If a property is not what it may be.
 */
export function readProperties<Properties>(
  types: PropertyTypes<Properties>,
  told: Told,
  driver: string,
): Properties {
  const names = Object.keys(types) as (keyof Properties & string)[];
  return Object.fromEntries(names.map((name) => {
    const { wanted, fits, usual } = types[name];
    const value = told[name] ?? usual;
    if (fits(value)) return [name, value];
    throw new TypeError(
      `Cannot use the property ${name} of the driver ${driver}: it is ${shown(value)}, ` +
        `wanted ${wanted}`,
    );
  })) as Properties;
}

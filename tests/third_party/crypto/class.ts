import { argument, defineClass, demand, type DeviceClass, Word } from "@virtio/deno/class";
import { CryptoOperation, Place } from "./protocol.ts";

/** AES in CBC mode: what works with a key of 16, 24 or 32 bytes, a vector of 16, and 16 to 4096 bytes, whole blocks. */
export type Cipher = (key: Bytes, vector: Bytes, bytes: Bytes) => Promise<Bytes>;
type Bytes = Uint8Array<ArrayBuffer>;

/** An application's view of a crypto device. */
export type Crypto = { readonly encrypt: Cipher; readonly decrypt: Cipher };

/** A crypto device. */
export const crypto: DeviceClass<Crypto> = defineClass({
  lanes: ["requests"],

  open({ requests }) {
    const cipher = (name: keyof Crypto): Cipher => async (key, vector, bytes) => {
      const where = `Crypto.${name}`;
      const data = new Uint8Array(Place.end);
      data.set(argument.copied(bytes, where, "bytes", 16, Place.input), Place.input);
      data.set(argument.copied(vector, where, "vector", 16, 16), Place.vector);
      data.set(argument.copied(key, where, "key", 16, 32), Place.key);
      const { length } = bytes;
      const words = { [Word.first]: key.length };
      const question = { operation: CryptoOperation[name], words, data, length };
      return (await demand(requests, `Cannot ${name} ${length} bytes`, question)).data;
    };
    return { client: { encrypt: cipher("encrypt"), decrypt: cipher("decrypt") } };
  },

  async check({ encrypt, decrypt }, { step }) {
    step("encrypting and decrypting");
    const random = (bytes: number) => globalThis.crypto.getRandomValues(new Uint8Array(bytes));
    const [key, vector, plain] = [random(32), random(16), random(4096)];
    const secret = await encrypt(key, vector, plain);
    const again = await decrypt(key, vector, secret);
    const { subtle } = globalThis.crypto;
    const own = await subtle.importKey("raw", key, "AES-CBC", false, ["encrypt"]);
    // Web Crypto puts a block behind, which tells the length.
    const padded = await subtle.encrypt({ name: "AES-CBC", iv: vector }, own, plain);
    const right = new Uint8Array(padded, 0, plain.length);
    const same = (a: Uint8Array, b: Uint8Array) => a.toHex() === b.toHex();
    const findings = [
      { name: "encrypted", passed: same(secret, right), detail: "as Web Crypto does" },
      { name: "decrypted", passed: same(again, plain), detail: "what was encrypted" },
    ];
    const summary = "AES-256-CBC, 4096 bytes there and back";
    return { findings, figures: { bytes: 8192 }, summary };
  },
});

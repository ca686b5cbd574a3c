/** What a request asks for; its word `Word.first` says how long its key is. */
export const CryptoOperation = { encrypt: 1, decrypt: 2 } as const;
/** Where its parts stand in the slot. What comes out stands apart: one that was interrupted is done again. */
export const Place = { output: 0, input: 4096, vector: 8192, key: 8208, end: 8240 } as const;

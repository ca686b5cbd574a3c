/**
 * What an entropy device and its driver say to each other (virtio 1.4, 5.4): there are no features and no
 * configuration, and a request is nothing but room for random bytes.
 *
 * @module
 */

/** Device id of the entropy device (5.4.1). */
export const DEVICE_ID = 4;

/** Requests (5.4.2). */
export const QUEUE_REQUEST = 0;

/**
 * Names what the bytes of a KV page mean and how they came about. Raise it when a kernel changes either: pages that an older
 * version has stored are then computed again, and stages of different versions refuse to work together.
 */
export const KV_FORMAT_VERSION = 3;

/** CRC-32 of ISO 3309 (the one of zip and PNG): polynomial 0xedb88320, reflected. */

const POLYNOMIAL = 0xedb88320;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = (remainder & 1) === 0 ? remainder >>> 1 : (remainder >>> 1) ^ POLYNOMIAL;
  }
  return remainder;
});

/** @param checksum of the bytes before these, for a checksum over several pieces. */
export function crc32(bytes: Uint8Array, checksum = 0): number {
  let remainder = ~checksum;
  for (let i = 0; i < bytes.length; i++) {
    remainder = (TABLE[(remainder ^ (bytes[i] as number)) & 0xff] as number) ^ (remainder >>> 8);
  }
  return ~remainder >>> 0;
}

/** Figures as text, straight into bytes: the same text as prom-client's, without a string for each. */

/** Bytes of `value`'s text. */
export function figureLength(value: number): number {
  if (!isCount(value)) return figureText(value).length;
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits++;
  return digits;
}

/**
 * Writes `value`'s text.
 * @param length what figureLength() says of it
 */
export function writeFigure(value: number, bytes: Buffer, at: number, length: number): void {
  if (!isCount(value)) {
    bytes.write(figureText(value), at, length, "latin1");
    return;
  }
  let end = at + length;
  let rest = value;
  if (rest > LARGEST_INT) {
    const high = Math.floor(rest / BILLION);
    end = writeDigits(rest - high * BILLION, bytes, end, 9);
    rest = high;
  }
  writeDigits(rest, bytes, end, end - at);
}

const LARGEST_INT = 0x7fff_ffff;
const BILLION = 1_000_000_000;

/** What has only digits. */
function isCount(value: number): boolean {
  return value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value;
}

/** As prom-client writes it. */
function figureText(value: number): string {
  if (Number.isNaN(value)) return "Nan";
  if (!Number.isFinite(value)) return value < 0 ? "-Inf" : "+Inf";
  return `${value}`;
}

/** @returns where the digits begin */
function writeDigits(value: number, bytes: Buffer, end: number, digits: number): number {
  let rest = value | 0;
  let at = end;
  for (const begin = end - digits; at > begin; ) {
    const next = (rest / 10) | 0;
    bytes[--at] = 48 + rest - next * 10;
    rest = next;
  }
  return at;
}

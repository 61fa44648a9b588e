/**
 * Exact numbers as text: JSON numerals turned into the canonical form of an integer or a decimal without ever
 * passing through a float. No state.
 *
 * Canonical: no exponent, no leading zeros, no trailing zeros after the point, no point without digits, `0` for
 * every zero. So two numerals are equal exactly when their canonical texts are.
 */

/** Canonical text of a numeral within DECIMAL(precision, scale), or undefined when it is none or does not fit. */
export function canonicalDecimal(text: string, precision: number, scale: number): string | undefined {
  const numeral = parseNumeral(text)
  if (numeral === undefined) return undefined
  const { digits, pointAt } = numeral
  if (Math.max(pointAt, 0) > precision - scale) return undefined
  if (digits.length - pointAt > scale) return undefined
  return plainText(numeral)
}

/** Why `canonicalDecimal` gave nothing, as the end of a sentence. */
export function decimalFault(text: string, precision: number, scale: number): string {
  const numeral = parseNumeral(text)
  if (numeral === undefined) return 'is not a decimal number'
  if (numeral.digits.length - numeral.pointAt > scale) {
    return `has more than ${count(scale, 'digit')} after the point`
  }
  return `has more than ${count(precision - scale, 'digit')} before the point`
}

/** Canonical text of an integral numeral (`5.0` and `5e0` are 5) of at most 19 digits, or undefined. */
export function canonicalInteger(text: string): string | undefined {
  const numeral = parseNumeral(text)
  if (numeral === undefined) return undefined
  if (numeral.digits.length > numeral.pointAt || numeral.pointAt > 19) return undefined
  return plainText(numeral)
}

/** Whether a text is a JSON numeral. */
export function isNumeral(text: string): boolean {
  return numeralPattern.test(text)
}

/**
 * Canonical text of a numeral in a field without a type, or undefined when it cannot be kept. A double keeps up to
 * 17 digits, and integers of 64 bits are kept exactly; SQL sees exactly these, so what needs more is not accepted.
 */
export function canonicalJsonNumeral(text: string): string | undefined {
  const numeral = parseNumeral(text)
  if (numeral === undefined) return undefined
  const { negative, digits, pointAt } = numeral
  if (digits.length <= pointAt && pointAt <= 20) {
    const value = BigInt(plainText(numeral))
    if (value >= -(2n ** 63n) && value < 2n ** 64n) return plainText(numeral)
  }
  const double = Number(text)
  if (!Number.isFinite(double)) return undefined
  if (digits.length <= 17) return double === 0 ? '0' : String(double)
  const printed = parseNumeral(String(double))
  const same = printed?.negative === negative && printed.digits === digits && printed.pointAt === pointAt
  return same ? String(double) : undefined
}

/** A number whose source text says more than a double may carry; stands in a parsed event where the number was. */
export class ExactNumeral {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }
}

/** Value is 0.digits × 10^pointAt; digits without leading and trailing zeros, '' for zero. */
interface Numeral {
  readonly negative: boolean
  readonly digits: string
  readonly pointAt: number
}

const numeralPattern = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

function parseNumeral(text: string): Numeral | undefined {
  const match = numeralPattern.exec(text)
  if (match === null) return undefined
  const whole = match[2] as string
  const all = whole + (match[3] ?? '')
  let first = 0
  while (first < all.length && all.charCodeAt(first) === 48) first++
  if (first === all.length) return { negative: false, digits: '', pointAt: 0 }
  let last = all.length
  while (all.charCodeAt(last - 1) === 48) last--
  return {
    negative: match[1] === '-',
    digits: all.slice(first, last),
    pointAt: whole.length - first + Number(match[4] ?? 0),
  }
}

function plainText({ negative, digits, pointAt }: Numeral): string {
  const sign = negative ? '-' : ''
  if (digits === '') return '0'
  if (pointAt >= digits.length) return sign + digits + '0'.repeat(pointAt - digits.length)
  if (pointAt > 0) return `${sign}${digits.slice(0, pointAt)}.${digits.slice(pointAt)}`
  return `${sign}0.${'0'.repeat(-pointAt)}${digits}`
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`
}
